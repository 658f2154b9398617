"""A network ready to enlarge pictures: what `infer`, `convert` and `video` share."""

from typing import NamedTuple

import torch
from torch.nn import functional

from competition.engine import Backend, Precision, build_engine
from competition.ensemble import SelfEnsemble, enlarge_by
from competition.errors import UsageError
from competition.files import sha256
from competition.images import Samples, quantize, to_tensor
from competition.networks import choose
from competition.predictions import Record
from competition.tiling import Tiled


class Upscaler(NamedTuple):
    """A network ready to enlarge; `settings` is what its predictions depend on."""

    tiled: Tiled
    device: torch.device
    settings: Record


def load_upscaler(
    source: str,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    precision: Precision = "float32",
    backend: Backend = "torch",
    scale: int | None = None,
) -> Upscaler:
    """The network of a run folder, a weights file, a pretrained name or a plain enlarger, as `choose` finds it."""
    settings: Record = {"source": source, "self_ensemble": self_ensemble, "tile": tile}
    network, description, path = choose(source, scale)
    settings |= {"precision": precision, "backend": backend, "description": description.model_dump(mode="json")}
    if path:
        settings |= {"weights": sha256(path)}
    device = torch.device("cuda" if torch.cuda.is_available() and backend != "openvino" else "cpu")
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tiled = Tiled(build_engine(network, precision, backend), network, description.model.scale, tile)
    return Upscaler(tiled, device, settings)


class Enlarger:
    """Enlarges 8- and 16-bit pictures by `scale`; `settings` is what its results depend on.

    A network of a larger scale than the wanted one enlarges first and is reduced then, by antialiased bicubic.
    """

    def __init__(
        self, source: str, scale: int | None = None, self_ensemble: SelfEnsemble = "none", tile: int | None = None
    ) -> None:
        """`source` is what `choose` takes; raises what it raises, UsageError too for a scale beyond the network's."""
        try:
            self.upscaler = load_upscaler(source, self_ensemble, tile, scale=scale)
        except UsageError:
            self.upscaler = load_upscaler(source, self_ensemble, tile)
            if scale is None or scale > self.upscaler.tiled.scale:
                raise
        self.scale = scale or self.upscaler.tiled.scale
        self.settings: Record = self.upscaler.settings | {"scale": self.scale}

    def __call__(self, low: Samples) -> Samples:
        """uint8 or uint16 RGB (H, W, 3) to (scale*H, scale*W, 3) of the same depth, rounded once.

        Raises NumericalError where the network's output is not finite, OutOfMemory where the smallest tiles do not fit.
        """
        upscaler = self.upscaler
        high = enlarge_by(upscaler.tiled, to_tensor(low).to(upscaler.device), upscaler.settings["self_ensemble"])
        if self.scale != upscaler.tiled.scale:
            size = [self.scale * length for length in low.shape[:2]]
            high = functional.interpolate(high, size, mode="bicubic", antialias=True)
        enlarged: Samples = quantize(high, low.dtype.itemsize * 8)
        return enlarged
