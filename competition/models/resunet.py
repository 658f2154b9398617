"""ResUNet: a U-Net of residual blocks that takes the light out of a picture which does not belong there."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from competition.config import Config
from competition.models.convolution import convolve
from competition.models.unet import Correction, Decoder, ResidualBlock, fill, resize


class ResUNetConfig(Config):
    """Zhang et al., "Road extraction by deep residual U-Net", IEEE GRSL 2018, figure 2.

    Without batch normalisation, halved by 2x2 convolutions, and with what the network finds added to its input instead
    of a sigmoid: pictures come back, no masks.
    """

    name: Literal["resunet"] = "resunet"
    width: int = Field(64, ge=1)
    """Channels at the picture's size; they double at each level."""
    depth: int = Field(3, ge=1, le=8)
    """Levels below it, each with half the sides of the one above."""
    scale: Literal[1] = 1
    """Enlargement factor."""

    def build(self) -> "ResUNet":
        return ResUNet(self.width, self.depth)


class ResUNet(nn.Module):
    """y = x + f(x), f an encoder of residual blocks and its decoder."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.halvings = nn.ModuleList(nn.Conv2d(count, 2 * count, 2, stride=2) for count in channels[:-1])
        self.blocks = nn.ModuleList(ResidualBlock(count, count) for count in channels)
        self.decoder = Decoder(channels)
        self.last = Correction(width)

    def forward(self, low: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to the same shape, about [0, 1] and not clipped."""
        x = convolve(self.first, fill(low, self.multiple))
        levels = [self.blocks[0](x)]
        for halve, block in zip(self.halvings, self.blocks[1:], strict=True):
            levels.append(block(halve(levels[-1])))
        correction = self.last(self.decoder(levels))
        return low + resize(correction, *low.shape[-2:])
