"""A weights file that describes itself: one safetensors file with the model's configuration and score inside."""

from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor, nn

from competition.config import Config, parse
from competition.errors import BadCheckpoint, CompetitionError
from competition.models import ModelConfig

# One key of our own: safetensors does not keep the order of several, and equal weights shall be equal bytes.
_KEY = "competition"

State = dict[str, Tensor]


class Score(Config):
    """A mean validation score and what it means."""

    value: float
    """Mean over the validation pictures, in dB."""
    definition: str
    """The metric in words; only scores of one definition are compared."""


class Description(Config):
    """What a weights file says of itself."""

    model: ModelConfig
    """The network these weights fit."""
    step: int = 0
    """Optimiser steps taken."""
    score: Score | None = None
    """Validation score of these weights, where one was measured."""
    made_of: tuple[str, ...] = ()
    """The weights whose mean these are; empty for weights as they were trained."""


class Weights(NamedTuple):
    """The content of a weights file: current weights, averaged weights (may be empty) and the description."""

    weights: State
    ema: State
    description: Description


def encode(content: Weights) -> bytes:
    """The bytes of a weights file; equal content gives equal bytes."""
    tensors = {f"weights.{name}": tensor.detach().cpu().contiguous() for name, tensor in content.weights.items()}
    tensors |= {f"ema.{name}": tensor.detach().cpu().contiguous() for name, tensor in content.ema.items()}
    return safetensors.torch.save(tensors, {_KEY: content.description.model_dump_json()})


def read(path: Path) -> Weights:
    """Read a weights file; raises BadCheckpoint when it is missing, damaged or not one of this project's."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadCheckpoint(f"{path}: {error}. Restore it or choose other weights") from error
    if _KEY not in metadata:
        raise BadCheckpoint(f"{path}: says nothing about its network. Choose a weights file that this project wrote")
    try:
        description = parse(metadata[_KEY], Description, str(path))
    except CompetitionError as error:
        raise BadCheckpoint(*error.lines) from error
    parts: dict[str, State] = {"weights": {}, "ema": {}}
    for name, tensor in tensors.items():
        part, _, parameter = name.partition(".")
        parts.setdefault(part, {})[parameter] = tensor
    return Weights(parts["weights"], parts["ema"], description)


def build_network(path: Path) -> tuple[nn.Module, Description]:
    """The network of a weights file in evaluation mode, float32, with the averaged weights where it has them."""
    content = read(path)
    network = content.description.model.build()
    load_state(network, content.ema or content.weights, str(path))
    return network.eval(), content.description


def load_state(network: nn.Module, state: State, origin: str, partial: bool = False) -> str:
    """Copy `state` into `network` and report the coverage in one line.

    Strict unless `partial`: raises BadCheckpoint that names what is missing, left over or of another shape.
    """
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    missing = [name for name in own if name not in fitting]
    unused = [name for name in state if name not in fitting]
    if (missing or unused) and not partial:
        raise BadCheckpoint(
            f"{origin}: fits {len(fitting)} of {len(own)} tensors. "
            f"Missing: {_some(missing)}; not used: {_some(unused)}. Choose the weights' own model configuration"
        )
    network.load_state_dict(fitting, strict=False)
    return f"{origin}: {len(fitting)} of {len(own)} tensors loaded, {len(unused)} of the file not used"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"
