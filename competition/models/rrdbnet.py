"""RRDBNet, the network of ESRGAN and Real-ESRGAN, with basicsr's parameter names so that published weights load."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config
from competition.models.convolution import activate, convolve, convolve_doubled, dense_block
from competition.models.recompute import Blocks


class RRDBSettings(Config):
    """What RRDBNet and its variants have in common."""

    name: str
    num_feat: int = Field(64, ge=1)
    """Channels between the blocks."""
    num_block: int = Field(23, ge=1)
    """Residual-in-residual dense blocks."""
    num_grow_ch: int = Field(32, ge=1)
    """Channels that each convolution adds inside a dense block."""
    scale: Literal[1, 2, 4] = 4
    """Enlargement factor; 1 and 2 un-shuffle the input by 4 and 2 and then enlarge by 4."""


class RRDBNetConfig(RRDBSettings):
    """Wang et al., "ESRGAN", ECCVW 2018, section 3.1; un-shuffled inputs after Wang et al., "Real-ESRGAN", 2021."""

    name: Literal["rrdbnet"] = "rrdbnet"

    def build(self) -> "RRDBNet":
        return RRDBNet(self.num_feat, self.num_block, self.num_grow_ch, self.scale)


class ResidualDenseBlock(nn.Module):
    """Five densely connected convolutions, their output scaled by 0.2 and added to the input (figure 4 of ESRGAN)."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_grow_ch, 3, padding=1)
        self.conv2 = nn.Conv2d(num_feat + num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv3 = nn.Conv2d(num_feat + 2 * num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv4 = nn.Conv2d(num_feat + 3 * num_grow_ch, num_grow_ch, 3, padding=1)
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, padding=1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            _initialise(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) to the same shape."""
        return dense_block((self.conv1, self.conv2, self.conv3, self.conv4, self.conv5), x)


DenseBlock = Callable[[int, int], nn.Module]


class RRDB(nn.Module):
    """Residual in residual: three dense blocks, their output scaled by 0.2 and added to the input."""

    def __init__(self, num_feat: int, num_grow_ch: int, dense_block: DenseBlock = ResidualDenseBlock) -> None:
        super().__init__()
        self.rdb1 = dense_block(num_feat, num_grow_ch)
        self.rdb2 = dense_block(num_feat, num_grow_ch)
        self.rdb3 = dense_block(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) to the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=0.2)


class RRDBNet(nn.Module):
    """Convolution, a trunk of RRDBs around one long skip, two nearest-neighbour doublings, two convolutions.

    The variants put other dense blocks into the RRDBs, or further trunks behind the doublings.
    """

    def __init__(
        self,
        num_feat: int,
        num_block: int,
        num_grow_ch: int,
        scale: int,
        dense_block: DenseBlock = ResidualDenseBlock,
        body_up1: nn.Module | None = None,
        body_up2: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.unshuffle = 4 // scale
        self.conv_first = nn.Conv2d(3 * self.unshuffle**2, num_feat, 3, padding=1)
        self.body = Blocks(RRDB(num_feat, num_grow_ch, dense_block) for _ in range(num_block))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.body_up1 = nn.Identity() if body_up1 is None else body_up1
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.body_up2 = nn.Identity() if body_up2 is None else body_up2
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, 3, 3, padding=1)

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), about [0, 1] and not clipped."""
        first = self.head(low)
        high = self.tail(first + convolve(self.conv_body, self.body(first)))
        return self.cut(high, low)

    def head(self, low: Tensor) -> Tensor:
        """The layers before the blocks: (N, 3, H, W) to num_feat channels at a quarter of the high picture's size.

        Sizes that the un-shuffle does not divide are filled up by repeating the edge; `cut` takes that away again.
        """
        if self.unshuffle > 1:
            height, width = low.shape[-2:]
            low = _take(low, height + -height % self.unshuffle, width + -width % self.unshuffle)
        features: Tensor = self.conv_first(functional.pixel_unshuffle(low, self.unshuffle))
        return features

    def tail(self, x: Tensor) -> Tensor:
        """The layers after the long skip: (N, num_feat, H, W) to (N, 3, 4*H, 4*W)."""
        x = self.body_up1(activate(convolve_doubled(self.conv_up1, x)))
        x = self.body_up2(activate(convolve_doubled(self.conv_up2, x)))
        return convolve(self.conv_last, activate(convolve(self.conv_hr, x)))

    def cut(self, high: Tensor, low: Tensor) -> Tensor:
        """The part of the tail's output that belongs to the low picture."""
        return high if self.unshuffle == 1 else _take(high, low.shape[-2] * self.scale, low.shape[-1] * self.scale)


def _take(x: Tensor, height: int, width: int) -> Tensor:
    """The first rows and columns, the last one repeated where there are too few.

    Without a branch on the size and without a view, so that exported programs take pictures of any size.
    """
    for axis, size in ((-2, height), (-1, width)):
        x = x.index_select(axis, torch.arange(size, device=x.device).clamp(max=x.shape[axis] - 1))
    return x


def _initialise(conv: nn.Conv2d) -> None:
    """Small residual branches (He's initialisation times 0.1), which ESRGAN found to train best (section 3.1)."""
    nn.init.kaiming_normal_(conv.weight)
    with torch.no_grad():
        conv.weight.mul_(0.1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
