"""Bilinear enlargement, as a member without weights."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config


class BilinearConfig(Config):
    """Straight lines between the middles of the low pixels, as OpenCV's INTER_LINEAR and MATLAB's imresize."""

    name: Literal["bilinear"] = "bilinear"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""

    def build(self) -> "Bilinear":
        return Bilinear(self.scale)


class Bilinear(nn.Module):
    """(N, C, H, W) to (N, C, scale*H, scale*W), within the range of the input."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, low: Tensor) -> Tensor:
        return functional.interpolate(low, scale_factor=self.scale, mode="bilinear")
