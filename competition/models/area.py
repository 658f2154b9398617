"""Enlargement by area, as a member without weights."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config


class AreaConfig(Config):
    """The mean of the area that a high pixel covers, as OpenCV's INTER_AREA.

    Enlarged by a whole factor a high pixel lies within a low one: the result is that of `nearest`.
    """

    name: Literal["area"] = "area"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""

    def build(self) -> "Area":
        return Area(self.scale)


class Area(nn.Module):
    """(N, C, H, W) to (N, C, scale*H, scale*W), within the range of the input."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        return functional.interpolate(low, scale_factor=self.scale, mode="area")
