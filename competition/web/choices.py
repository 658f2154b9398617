"""What a visitor may choose: networks by name, never by path, and the options of every operation."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import safetensors
from pydantic import BaseModel, ConfigDict, Field

# As competition.models has them, which the page does not load: it brings torch. A test compares them.
PLAIN = ("nearest", "bilinear", "bicubic", "lanczos", "area")
ANY_SCALE = ("srcnn", "vdsr")
_SCALES = (2, 3, 4)


class Network(NamedTuple):
    """A network to choose: what `networks.choose` finds it by, and the scales it can."""

    source: str
    scales: tuple[int, ...]


def networks(root: Path) -> dict[str, Network]:
    """Those of ROOT/pretrained and ROOT/runs by name: shipped ones, runs from the newest on, plain enlargers."""
    runs = sorted(root.glob("runs/*/best.safetensors"), key=_written, reverse=True)
    files = {path.stem: path for path in sorted(root.glob("pretrained/*.safetensors"))}
    files |= {path.parent.name: path for path in runs}
    found = {name: network for name, path in files.items() if (network := _read(path, _written(path)))}
    return found | {name: Network(name, _SCALES) for name in PLAIN}


def _written(path: Path) -> int:
    """When a file was written; 0 for one that was deleted meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@lru_cache(1000)  # every row that is drawn asks; a file that is written anew is read anew
def _read(path: Path, written: int) -> Network | None:
    """The network of a weights file that enlarges, None for every other file."""
    try:
        with safetensors.safe_open(path, "np") as file:
            model = json.loads(file.metadata()["competition"])["model"]
            scale = int(model["scale"])
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError):
        return None
    scales = _SCALES if model.get("name") in ANY_SCALE else (scale,)
    return Network(str(path.resolve()), scales) if scale > 1 else None


class Options(BaseModel):
    """What an operation may be told."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Strength = Annotated[float, Field(ge=0, le=30)]
Identity = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Enlarge(Options):
    """Enlarge a picture or a film; for the former perhaps denoise and sharpen before."""

    network: str = Field("", max_length=200)
    scale: Literal["", "2", "3", "4"] = ""
    self_ensemble: bool = False
    denoise: Literal["none", "bilateral", "nlmeans"] = "none"
    strength: Strength = 5.0
    sharpen: float = Field(0.0, ge=0, le=3)


class Cut(Options):
    """Cut a part out of a film, in seconds: fast at key frames, or exactly."""

    start: float = Field(0.0, ge=0, le=10**6)
    seconds: float = Field(30.0, gt=0, le=10**6)
    exact: bool = False


class Extract(Options):
    """Take a film apart: one frame every so many seconds, or all for 0."""

    every: float = Field(0.0, ge=0, le=10**6)
    archive: Literal["zip", "npz"] = "zip"


class Merge(Options):
    """Put this file and others together into one film; pictures are its frames, so many a second."""

    others: list[Identity] = Field(default_factory=list, max_length=10_000)
    rate: float = Field(25.0, gt=0, le=300)


class Play(Options):
    """Make a film that browsers play."""


OPERATIONS: Mapping[str, type[Options]] = {
    "enlarge": Enlarge,
    "preview": Enlarge,
    "estimate": Enlarge,
    "cut": Cut,
    "extract": Extract,
    "merge": Merge,
    "play": Play,
}
"""What can be asked for by name."""
OF_PICTURES = ("enlarge", "preview", "estimate", "merge")
"""Those that can be done to a picture too."""
QUICK_ONES = ("look", "preview", "estimate", "play")
"""Those that somebody waits for before the page."""
