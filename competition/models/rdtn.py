"""RDTN: a light RDN that enlarges by transposed convolutions instead of sub-pixel ones."""

from typing import Literal

from pydantic import Field
from torch import nn

from competition.config import Config
from competition.models.rdn import RDN


class RDTNConfig(Config):
    """Five residual dense blocks of four convolutions; the rest as Zhang et al., "RDN", CVPR 2018.

    At a scale of 4 the defaults have 886,147 parameters.
    """

    name: Literal["rdtn"] = "rdtn"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""
    num_feat: int = Field(64, ge=1)
    """Channels between the blocks."""
    num_block: int = Field(5, ge=1)
    """Residual dense blocks."""
    num_conv: int = Field(4, ge=1)
    """Densely connected convolutions of a block."""
    num_grow_ch: int = Field(32, ge=1)
    """Channels that each of them adds."""
    width: int = Field(16, ge=1)
    """Channels of the enlarged features."""

    def build(self) -> RDN:
        upscale = transposed(self.num_feat, self.width, self.scale)
        return RDN(self.num_feat, self.num_block, self.num_conv, self.num_grow_ch, upscale, self.width)


def transposed(num_feat: int, width: int, scale: int) -> nn.Module:
    """Transposed convolutions, by 4 in two steps, whose kernels overlap their neighbours by a pixel all round.

    Dong et al., "Accelerating the super-resolution convolutional neural network" (FSRCNN), ECCV 2016, section 3.3.
    """
    steps = [2, 2] if scale == 4 else [scale]
    inputs, outputs = [num_feat] * len(steps), [num_feat] * (len(steps) - 1) + [width]
    layers = zip(inputs, outputs, steps, strict=True)
    return nn.Sequential(*(nn.ConvTranspose2d(i, o, step + 2, step, padding=1) for i, o, step in layers))
