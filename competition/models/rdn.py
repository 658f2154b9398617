"""RDN: residual dense blocks whose outputs are all fused, then sub-pixel enlargement."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from competition.config import Config
from competition.models.convolution import convolve
from competition.models.recompute import Blocks


class RDNConfig(Config):
    """Zhang et al., "Residual dense network for image super-resolution", CVPR 2018, section 3.

    At a scale of 4 the defaults have 16,520,067 parameters; the paper's best network, of 16 blocks of 8 convolutions,
    has 22,271,107; the one of its ablations, of 20 blocks of 6 and a growth of 32, has 5,764,227.
    """

    name: Literal["rdn"] = "rdn"
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""
    num_feat: int = Field(64, ge=1)
    """Channels between the blocks (the paper's G0)."""
    num_block: int = Field(20, ge=1)
    """Residual dense blocks (D)."""
    num_conv: int = Field(6, ge=1)
    """Densely connected convolutions of a block (C)."""
    num_grow_ch: int = Field(64, ge=1)
    """Channels that each of them adds (G)."""

    def build(self) -> "RDN":
        upscale = sub_pixel(self.num_feat, self.scale)
        return RDN(self.num_feat, self.num_block, self.num_conv, self.num_grow_ch, upscale, self.num_feat)


class DenseLayer(nn.Module):
    """A convolution and ReLU, whose output stands beside the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, inputs + outputs, H, W)."""
        return torch.cat([x, convolve(self.conv, x).relu()], 1)


class RDB(nn.Module):
    """Residual dense block: dense layers, local feature fusion by a 1x1 convolution, local residual (figure 3)."""

    def __init__(self, num_feat: int, num_conv: int, num_grow_ch: int) -> None:
        super().__init__()
        widths = [num_feat + number * num_grow_ch for number in range(num_conv + 1)]
        self.layers = nn.Sequential(*(DenseLayer(width, num_grow_ch) for width in widths[:-1]))
        self.lff = nn.Conv2d(widths[-1], num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) to the same shape."""
        fused: Tensor = self.lff(self.layers(x))
        return x + fused


class RDN(nn.Module):
    """Figure 2 of the paper; parameter names as in yjn870's RDN-pytorch, so that its published weights load."""

    def __init__(
        self, num_feat: int, num_block: int, num_conv: int, num_grow_ch: int, upscale: nn.Module, width: int
    ) -> None:
        """`upscale` makes (N, width, scale*H, scale*W) of (N, num_feat, H, W)."""
        super().__init__()
        self.sfe1 = nn.Conv2d(3, num_feat, 3, padding=1)
        self.sfe2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.rdbs = Blocks(RDB(num_feat, num_conv, num_grow_ch) for _ in range(num_block))
        fusion = nn.Conv2d(num_block * num_feat, num_feat, 1)
        self.gff = nn.Sequential(fusion, nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.upscale = upscale
        self.output = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), about [0, 1] and not clipped."""
        first = convolve(self.sfe1, low)
        features = list(self.rdbs.outputs(convolve(self.sfe2, first)))
        fused = self.gff(torch.cat(features, 1)) + first
        return convolve(self.output, self.upscale(fused))


def sub_pixel(num_feat: int, scale: int) -> nn.Module:
    """Convolutions and pixel shuffles, by 4 in two steps; Shi et al., "ESPCN", CVPR 2016."""
    steps = [2, 2] if scale == 4 else [scale]
    pairs = [(nn.Conv2d(num_feat, num_feat * step**2, 3, padding=1), nn.PixelShuffle(step)) for step in steps]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))
