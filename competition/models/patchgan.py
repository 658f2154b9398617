"""PatchGAN, the discriminator of Pix2Pix: which patches of a picture are real, given what it was made of?"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config


class PatchGANConfig(Config):
    """Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, section 6.1.2."""

    width: int = Field(64, ge=1)
    """Channels after the first halving; they double with each further layer, up to eight times as many."""
    halvings: int = Field(3, ge=1, le=6)
    """Layers in steps of 2: 3 judge patches of 70x70 (C64-C128-C256-C512), 1 of 16x16 (C64-C128)."""
    norm: Literal["instance", "none"] = "instance"
    """instance (batch normalisation with a batch of one) or none, in all layers but the first and the last."""

    def build(self) -> "PatchGAN":
        return PatchGAN(self)


class PatchGAN(nn.Module):
    """4x4 convolutions, the last two in steps of 1."""

    def __init__(self, config: PatchGANConfig) -> None:
        super().__init__()
        channels = [6, *(config.width * min(2**layer, 8) for layer in range(config.halvings + 1)), 1]
        strides = [2] * config.halvings + [1, 1]
        layers: list[nn.Module] = []
        for number, stride in enumerate(strides):
            normed = config.norm == "instance" and 0 < number < len(strides) - 1
            conv = nn.Conv2d(channels[number], channels[number + 1], 4, stride, padding=1, bias=not normed)
            nn.init.normal_(conv.weight, 0.0, 0.02)
            layers += [conv, *([nn.InstanceNorm2d(channels[number + 1], affine=True)] if normed else [])]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """The input and a picture, both (N, 3, H, W) in [0, 1], to a logit for each patch, (N, 1, h, w): is it real?"""
        logits: Tensor = self.layers(torch.cat([low, high], 1) * 2 - 1)
        return logits


def opinion(logits: Tensor, real: bool) -> Tensor:
    """Cross entropy to the answer that all patches are real, or made: equation 1 of Pix2Pix, in float32."""
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
