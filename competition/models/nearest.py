"""Nearest-neighbour enlargement: each low pixel becomes a square."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config


class NearestConfig(Config):
    """Repeats pixels."""

    name: Literal["nearest"] = "nearest"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""

    def build(self) -> "Nearest":
        return Nearest(self.scale)


class Nearest(nn.Module):
    """(N, C, H, W) to (N, C, scale*H, scale*W)."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        return functional.interpolate(low, scale_factor=self.scale, mode="nearest")
