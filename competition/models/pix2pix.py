"""Pix2Pix's generator, a U-Net; `train_gan` trains it against the discriminator of patchgan.py."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config
from competition.models.unet import fill, resize

Norm = Literal["instance", "none"]


class Pix2PixConfig(Config):
    """Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, section 6.1.1.

    C64-C128-C256-C512-C512-C512-C512-C512 and back, 4x4 convolutions in steps of 2. Without its dropout, a source of
    noise that has no place where one truth is wanted (and whose effect the authors found minor).
    """

    name: Literal["pix2pix"] = "pix2pix"
    width: int = Field(64, ge=1)
    """Channels after the first halving; they double at each further one, up to eight times as many."""
    depth: int = Field(8, ge=2, le=8)
    """Halvings; the paper's 8 leave one pixel of 256."""
    norm: Norm = "instance"
    """instance (the paper's batch normalisation with its batch of one) or none: the statistics of a patch are not those
    of a whole picture, and its brightness is lost with them."""
    scale: Literal[1] = 1
    """Enlargement factor."""

    def build(self) -> "Pix2Pix":
        return Pix2Pix(self.width, self.depth, self.norm)


class Pix2Pix(nn.Module):
    """Encoder and decoder with skips between layers of one size; a hyperbolic tangent ends it."""

    def __init__(self, width: int, depth: int, norm: Norm) -> None:
        super().__init__()
        self.multiple = 2**depth
        channels = [width * min(2**level, 8) for level in range(depth)]
        outer = [3, *channels[:-1]]
        # The innermost layer may have one pixel, all of which a normalisation would take away; the outermost has none.
        normed = [norm if 0 < level < depth - 1 else "none" for level in range(depth)]
        self.downs = nn.ModuleList(_layer(nn.Conv2d, *one) for one in zip(outer, channels, normed, strict=True))
        joined = [2 * count for count in channels[:-1]] + channels[-1:]
        normed = ["none", *[norm] * (depth - 1)]
        self.ups = nn.ModuleList(_layer(nn.ConvTranspose2d, *one) for one in zip(joined, outer, normed, strict=True))

    def forward(self, low: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to the same shape, within [0, 1]."""
        x = 2 * fill(low, self.multiple) - 1
        levels: list[Tensor] = []
        for down in self.downs:
            x = down(functional.leaky_relu(x, 0.2) if levels else x)
            levels.append(x)
        for up, level in zip(self.ups[::-1], [*levels[-2::-1], None], strict=True):
            x = up(functional.relu(x))
            x = x if level is None else torch.cat([x, level], 1)
        return resize((x.tanh() + 1) / 2, *low.shape[-2:])


def _layer(kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], channels: int, out: int, norm: str) -> nn.Module:
    """A 4x4 convolution that halves or doubles, weights from N(0, 0.02), and its normalisation."""
    conv = kind(channels, out, 4, stride=2, padding=1, bias=norm == "none")
    nn.init.normal_(conv.weight, 0.0, 0.02)
    return nn.Sequential(conv, nn.InstanceNorm2d(out, affine=True)) if norm == "instance" else conv
