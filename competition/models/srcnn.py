"""SRCNN, the first convolutional network for super-resolution: three layers on a bicubic enlargement."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from competition.config import Config
from competition.models.initialisers import Initialiser, initialise
from competition.models.refinement import CHANNELS, Channel, refine

Side = Literal[1, 3, 5, 7, 9, 11]


class SRCNNConfig(Config):
    """Dong et al., "Image super-resolution using deep convolutional networks", IEEE TPAMI 2016, section 3.

    9-1-5 with 64 and 32 filters on luma has 8,032 weights and 97 biases; 9-5-5 has 57,184 and 97.
    """

    name: Literal["srcnn"] = "srcnn"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor; the weights do not depend on it."""
    channel: Channel = "y"
    """What the layers see: luma, with the colour as bicubic has it, or all three channels."""
    kernels: tuple[Side, Side, Side] = (9, 1, 5)
    """Sides of the three layers' filters: patch extraction, non-linear mapping, reconstruction."""
    widths: tuple[PositiveInt, PositiveInt] = (64, 32)
    """Filters of the first two layers."""
    initialiser: Initialiser = "gaussian"
    """What the weights start from; the paper's is normal with a deviation of 0.001."""

    def build(self) -> "SRCNN":
        return SRCNN(self)


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping and reconstruction; names as in yjn870's SRCNN-pytorch."""

    def __init__(self, config: SRCNNConfig) -> None:
        super().__init__()
        self.scale, self.channel = config.scale, config.channel
        ends, widths, sides = CHANNELS[config.channel], config.widths, config.kernels
        self.conv1 = _convolution(ends, widths[0], sides[0])
        self.conv2 = _convolution(widths[0], widths[1], sides[1])
        self.conv3 = _convolution(widths[1], ends, sides[2])
        initialise(self, config.initialiser)

    def forward(self, low: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), not clipped; another scale on request."""
        return refine(self._layers, low, scale or self.scale, self.channel)

    def _layers(self, x: Tensor) -> Tensor:
        """Equations 1 to 3."""
        high: Tensor = self.conv3(self.conv2(self.conv1(x).relu()).relu())
        return high


def _convolution(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    # Borders are repeated, as the authors' published code does when it tests.
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="replicate")
