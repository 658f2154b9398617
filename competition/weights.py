"""A weights file that describes itself: one safetensors file with the model's configuration and score inside."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from competition.config import Config, parse
from competition.errors import BadCheckpoint, CompetitionError, NumericalError
from competition.models import ModelConfig

# One key of our own: safetensors does not keep the order of several, and equal weights shall be equal bytes.
_KEY = "competition"

State = dict[str, Tensor]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_TENSORS = 100_000
_MOST_HEADER = 4_000_000  # bytes; the default network's has 140,000 with its average


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
    """The bytes of a weights file; equal content gives equal bytes. Raises NumericalError as `require_finite` does."""
    tensors = {f"weights.{name}": tensor.detach().cpu().contiguous() for name, tensor in content.weights.items()}
    tensors |= {f"ema.{name}": tensor.detach().cpu().contiguous() for name, tensor in content.ema.items()}
    require_finite(tensors)
    return safetensors.torch.save(tensors, {_KEY: content.description.model_dump_json()})


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise NumericalError that names the first tensor with a value that is not finite."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            broken = int((~torch.isfinite(tensor)).sum())
            raise NumericalError(
                f"{name}: {broken} of {tensor.numel()} values are not finite, nothing was written. "
                "Lower optimizer.lr; the last saved state is good"
            )


def read(path: Path) -> Weights:
    """Read a weights file; raises BadCheckpoint when it is missing, damaged, not finite or not this project's."""
    with _opened(path) as file:
        description = _description(path, file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    parts: dict[str, State] = {"weights": {}, "ema": {}}
    for name, tensor in tensors.items():
        part, _, parameter = name.partition(".")
        if fault := _fault(tensor) if part in parts else "neither of `weights.` nor of `ema.`":
            raise BadCheckpoint(f"{path}: {name} is {fault}. Restore it or choose other weights")
        parts[part][parameter] = tensor
    return Weights(parts["weights"], parts["ema"], description)


def read_description(path: Path) -> Description:
    """What a weights file says of itself, without reading its tensors; raises BadCheckpoint as `read` does."""
    with _opened(path) as file:
        return _description(path, file.metadata())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        _require_short_header(path)
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (OSError, safetensors.SafetensorError) as error:
        raise BadCheckpoint(f"{path}: {error}. Restore it or choose other weights") from error


def _description(path: Path, metadata: dict[str, str] | None) -> Description:
    if _KEY not in (metadata or {}):
        raise BadCheckpoint(f"{path}: says nothing about its network. Choose a weights file that this project wrote")
    try:
        return parse((metadata or {})[_KEY], Description, str(path))
    except CompetitionError as error:
        raise BadCheckpoint(*error.lines) from error


def _require_short_header(path: Path) -> None:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _MOST_HEADER:
        raise BadCheckpoint(f"{path}: no weights file, its header would have {length:,} bytes. Choose other weights")


def _fault(tensor: Tensor) -> str | None:
    if tensor.dtype in FLOATS:
        return None if tensor.float().isfinite().all() else "not finite"
    return f"of {tensor.dtype}" if tensor.is_floating_point() or tensor.is_complex() else None


def build_network(path: Path) -> tuple[nn.Module, Description]:
    """The network of a weights file in evaluation mode, float32, with the averaged weights where it has them."""
    content = read(path)
    state = content.ema or content.weights
    with _bounded(sum(tensor.numel() for tensor in state.values()), path):
        network = content.description.model.build()
    load_state(network, state, str(path))
    return network.eval(), content.description


@contextlib.contextmanager
def _bounded(held: int, path: Path) -> Iterator[None]:
    """Raise BadCheckpoint when a network grows far beyond the numbers its file holds: it could fill the memory."""
    room = 2 * held + 1_000_000

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal room
        room -= parameter.numel() if parameter is not None else 0
        if room < 0:
            raise MemoryError

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise BadCheckpoint(f"{path}: describes a network far larger than its weights. Choose other weights") from error
    finally:
        hook.remove()


def load_state(network: nn.Module, state: State, origin: str, partial: bool = False) -> str:
    """Copy `state` into `network` and report the coverage in one line.

    Strict unless `partial`: raises BadCheckpoint that names what is missing, left over or of another shape.
    """
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and _fits(tensor, own[name])}
    missing = [name for name in own if name not in fitting]
    unused = [name for name in state if name not in fitting]
    if (missing or unused) and not partial:
        raise BadCheckpoint(
            f"{origin}: fits {len(fitting)} of {len(own)} tensors. "
            f"Missing: {_some(missing)}; not used: {_some(unused)}. Choose the weights' own model configuration"
        )
    network.load_state_dict(fitting, strict=False)
    return f"{origin}: {len(fitting)} of {len(own)} tensors loaded, {len(unused)} of the file not used"


def _fits(tensor: Tensor, own: Tensor) -> bool:
    return tensor.shape == own.shape and tensor.is_floating_point() == own.is_floating_point()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"
