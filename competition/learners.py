"""A network with its optimiser: the optimiser's moments as named tensors, and back."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Learner(NamedTuple):
    """A network and its optimiser, changed in place."""

    model: nn.Module
    optimizer: torch.optim.Optimizer


def load_moments(learner: Learner, saved: dict[str, Tensor]) -> None:
    """Give an optimiser the moments that `moments` told, in place; parameters without any begin anew."""
    state: dict[int, dict[str, Tensor]] = {}
    names = {parameter: name for name, parameter in learner.model.named_parameters()}
    parameters = (parameter for group in learner.optimizer.param_groups for parameter in group["params"])
    for index, parameter in enumerate(parameters):
        keys = [key for key in saved if key.rpartition(".")[0] == names[parameter]]
        state[index] = {key.rpartition(".")[2]: _in_layout_of(parameter, saved[key]) for key in keys}
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _in_layout_of(parameter: nn.Parameter, saved: Tensor) -> Tensor:
    """Moments in the memory layout of their parameter, which fused updates need; the step counter as it is."""
    alike = saved.shape == parameter.shape
    # A copy in any case: `saved` lies in the mapped file, and would change with it.
    return torch.empty_like(parameter, dtype=saved.dtype).copy_(saved) if alike else saved.clone()


def moments(learner: Learner) -> dict[str, Tensor]:
    """The optimiser's state as `parameter.entry`, so that it does not depend on an order."""
    state: dict[nn.Parameter, dict[str, Any]] = learner.optimizer.state  # type: ignore[assignment]
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, parameter in learner.model.named_parameters()
        for key, value in state.get(parameter, {}).items()
    }


def expected_size(learner: Learner) -> int:
    """Bytes that a network and its moments will have in a state; two moments a parameter before the first step."""
    parameters = list(learner.model.parameters())
    own = file_size(moments(learner).values()) or file_size([*parameters, *parameters])
    return file_size(learner.model.state_dict().values()) + own


def file_size(tensors: Iterable[Tensor]) -> int:
    """Bytes of a safetensors file."""
    return sum(tensor.nbytes + 128 for tensor in tensors)  # a header names each tensor, its type and shape
