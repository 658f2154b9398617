"""What U-Nets share: sizes they do not divide, residual blocks, and the way back from coarse features to the picture.

Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015, figure 1.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from competition.models.convolution import convolve, convolve_doubled


def fill(x: Tensor, multiple: int) -> Tensor:
    """(…, H, W) continued below and to the right by its mirror image until `multiple` divides both sides.

    At least twice: exported programs make a difference between one pixel of coarse features and more.
    """
    filled = (side + -side % multiple for side in x.shape[-2:])
    height, width = (torch.sym_max(side, 2 * multiple) for side in filled)  # type: ignore[no-untyped-call]
    return resize(x, height, width)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """The first rows and columns of (…, H, W), or all of them and as much of their mirror image as is lacking.

    Without a branch on the size and without a view, so that exported programs take pictures of any size.
    """
    for axis, size in ((-2, height), (-1, width)):
        last = torch.arange(x.shape[axis], device=x.device)[-1:]  # a tensor, as ONNX divides by no other sizes
        index = torch.arange(size, device=x.device) % (2 * last + 2)
        x = x.index_select(axis, torch.minimum(index, 2 * last + 1 - index))
    return x


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3; He et al., "Identity mappings in deep residual networks", ECCV 2016, fig. 4e.

    Without batch normalisation, whose statistics of patches are not those of whole pictures. Where the number of
    channels changes, the way around is a 1x1 convolution.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.around = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        with torch.no_grad():  # small at first, as without normalisation every block would add to the variance
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, H, W)."""
        inner = convolve(self.conv1, functional.relu(x))
        around: Tensor = self.around(x)
        return around + convolve(self.conv2, functional.relu(inner))


class Decoder(nn.Module):
    """Features are doubled in size, level by level, and joined with those that the encoder had there."""

    def __init__(self, channels: Sequence[int]) -> None:
        """`channels` of the encoder's levels, the finest first; each level has half the sides of the one before."""
        super().__init__()
        steps = list(pairwise(channels))
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in steps)
        self.blocks = nn.ModuleList(ResidualBlock(2 * fine, fine) for fine, _ in steps)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """The levels' features (N, channels, H, W), the finest first, to new ones of the finest's shape."""
        x = levels[-1]
        for up, block, level in zip(self.ups[::-1], self.blocks[::-1], levels[-2::-1], strict=True):
            x = block(torch.cat([convolve_doubled(up, x), level], 1))  # type: ignore[arg-type]
        return x


class Correction(nn.Module):
    """The last layer: what is to be added to the picture, little at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, 3, H, W)."""
        return convolve(self.conv, functional.relu(x))
