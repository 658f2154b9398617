"""VDSR: a deep plain network that learns what a bicubic enlargement lacks, for several scales at once."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from competition.config import Config
from competition.models.convolution import convolve
from competition.models.initialisers import Initialiser, initialise
from competition.models.recompute import Blocks
from competition.models.refinement import CHANNELS, Channel, refine

Activation = Literal["relu", "tanh", "sigmoid", "maxout"]


class VDSRConfig(Config):
    """Kim et al., "Accurate image super-resolution using very deep convolutional networks", CVPR 2016, section 3.

    Depth 20 with 64 filters on luma has 664,704 weights and 1,217 biases.
    """

    name: Literal["vdsr"] = "vdsr"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor; the weights do not depend on it."""
    channel: Channel = "y"
    """What the layers see: luma, with the colour as bicubic has it, or all three channels."""
    depth: int = Field(20, ge=2)
    """Convolutions, all of 3x3."""
    width: int = Field(64, ge=1)
    """Channels between them."""
    residual: bool = True
    """Add the layers' output to the enlargement, or let it be the result."""
    activation: Activation = "relu"
    """After every convolution but the last; maxout takes the greater of two, from twice as many filters."""
    initialiser: Initialiser = "he"
    """What the weights start from."""

    def build(self) -> "VDSR":
        return VDSR(self)


class Layer(nn.Module):
    """A convolution and its activation."""

    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.conv = _convolution(inputs, outputs, activation)
        self.activate = _ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return self.activate(convolve(self.conv, x))


def _convolution(inputs: int, outputs: int, activation: Activation) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs * (2 if activation == "maxout" else 1), 3, padding=1)


def _maxout(x: Tensor) -> Tensor:
    """Goodfellow et al., "Maxout networks", ICML 2013, of two pieces."""
    return torch.maximum(*x.chunk(2, 1))


_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "maxout": _maxout,
}


class VDSR(nn.Module):
    """Figure 2 of the paper; names as in twtygqyy's pytorch-vdsr, which has no biases."""

    def __init__(self, config: VDSRConfig) -> None:
        super().__init__()
        self.scale, self.channel, self.residual = config.scale, config.channel, config.residual
        ends, width, activation = CHANNELS[config.channel], config.width, config.activation
        self.input = _convolution(ends, width, activation)
        self.activate = _ACTIVATIONS[activation]
        self.residual_layer = Blocks(Layer(width, width, activation) for _ in range(config.depth - 2))
        self.output = nn.Conv2d(width, ends, 3, padding=1)
        initialise(self, config.initialiser)

    def forward(self, low: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), not clipped; another scale on request."""
        return refine(self._layers, low, scale or self.scale, self.channel)

    def _layers(self, x: Tensor) -> Tensor:
        features = self.activate(convolve(self.input, x))
        difference = convolve(self.output, self.residual_layer(features))
        return x + difference if self.residual else difference
