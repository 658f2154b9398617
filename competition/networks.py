"""The network that a word on the command line means: a run, a weights file, published weights or bicubic."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from competition import pretrained, weights
from competition.errors import BadCheckpoint
from competition.models.bicubic import BicubicConfig


class Chosen(NamedTuple):
    """A network in evaluation mode, what it says of itself, and the file it came from, if any."""

    network: nn.Module
    description: weights.Description
    path: Path | None


def choose(source: str) -> Chosen:
    """The network behind a run folder (its best weights), a weights file, a pretrained name or `bicubic` (x4).

    Raises BadCheckpoint for weights that are missing or damaged, UsageError where `source` is none of these.
    """
    if source == "bicubic":
        config = BicubicConfig()
        return Chosen(config.build().eval(), weights.Description(model=config), None)
    path = Path(source) / "best.safetensors" if Path(source).is_dir() else pretrained.locate(source)
    if not path.exists():
        raise BadCheckpoint(f"{path}: missing, the run has not validated yet. Let it train on")
    network, description = weights.build_network(path)
    return Chosen(network, description, path)
