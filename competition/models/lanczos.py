"""Lanczos enlargement, as a member without weights."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from competition.config import Config
from competition.models.bicubic import mirrored

_RADIUS = 3


class LanczosConfig(Config):
    """Windowed sinc over six low pixels (a = 3), as PIL's LANCZOS and MATLAB's lanczos3."""

    name: Literal["lanczos"] = "lanczos"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""

    def build(self) -> "Lanczos":
        return Lanczos(self.scale)


class Lanczos(nn.Module):
    """Duchon, "Lanczos filtering in one and two dimensions", Journal of Applied Meteorology 1979."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) in [0, 1] to (N, C, scale*H, scale*W); overshoots are left for the final rounding."""
        return _enlarge(_enlarge(low, 2, self.scale), 3, self.scale)


def _enlarge(low: Tensor, axis: int, scale: int) -> Tensor:
    """Along one axis; the border is mirrored."""
    length, padded = low.shape[axis], mirrored(low, axis, _RADIUS)
    phases = []
    for phase in range(scale):
        first, taps = _taps((phase + 0.5) / scale - 0.5)
        seen = [padded.narrow(axis, _RADIUS + first + number, length) for number in range(len(taps))]
        phases.append(sum((tap * pixels for tap, pixels in zip(taps, seen, strict=True)), torch.zeros_like(low)))
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _taps(position: float) -> tuple[int, list[float]]:
    """The first low pixel that a high one sees, counted from its own, and the weights of those from there on."""
    first = math.floor(position) - _RADIUS + 1
    weights = [_kernel(position - first - number) for number in range(2 * _RADIUS)]
    return first, [weight / sum(weights) for weight in weights]


def _kernel(x: float) -> float:
    if abs(x) >= _RADIUS:
        return 0.0
    return 1.0 if x == 0 else _RADIUS * math.sin(math.pi * x) * math.sin(math.pi * x / _RADIUS) / (math.pi * x) ** 2
