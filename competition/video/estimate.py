"""What enlarging a film will take, measured on a few of its frames."""

from pathlib import Path
from typing import NamedTuple

from competition.ensemble import SelfEnsemble
from competition.media.limits import OWN, Limits


class Estimate(NamedTuple):
    """Seconds that the whole film will take and bytes it will be, frames to do, seconds a frame, size in pixels.

    Until the end the finished chunks lie beside the film, so twice `bytes` must be free.
    """

    seconds: float
    bytes: int
    frames: int
    per_frame: float
    width: int
    height: int


def estimate_film(
    path: Path,
    output: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    trial: float = 5.0,
    limits: Limits = OWN,
    name: str | None = None,
) -> Estimate:
    """Enlarge and encode frames from the middle for `trial` seconds, at least two; writes nothing.

    OUTPUT only says which container is meant. Raises what `enlarge_film` raises.
    """
    raise NotImplementedError
