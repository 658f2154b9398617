"""Lets timm and basicsr be imported beside torch and torchvision builds they do not expect; import it before them."""

import importlib.util
import sys
import types
from pathlib import Path

import torch


def _declare_detection_operators() -> None:
    """Declare the operators whose absence stops `import torchvision` when its library cannot be loaded.

    A torchvision built for CUDA does not load beside a CPU torch. Its Python code registers fake versions of `nms`
    at import and so needs the schemas; nothing here calls them. Where torchvision's own library loads, nothing changes.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
            return
        except OSError:
            continue
    declare = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        declare.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _keep.append(declare)


def _supply_functional_tensor() -> None:
    """Give basicsr the module `torchvision.transforms.functional_tensor`, gone since torchvision 0.17."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules:
        return
    module = types.ModuleType(name)

    def rgb_to_grayscale(image: torch.Tensor, num_output_channels: int = 1) -> torch.Tensor:
        from torchvision.transforms import functional

        grey: torch.Tensor = functional.rgb_to_grayscale(image, num_output_channels)
        return grey

    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module


_keep: list[torch.library.Library] = []  # a Library that is collected takes its declarations with it
_declare_detection_operators()
_supply_functional_tensor()
