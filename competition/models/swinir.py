"""SwinIR: groups of Swin Transformer layers, with basicsr's parameter names so that published weights load."""

from typing import Literal

import torch
from torch import Tensor, nn

from competition.models.windows import Group, Upsampler, WindowAttention, WindowNetwork, WindowSettings, perceptron


class SwinIRConfig(WindowSettings):
    """Liang et al., "SwinIR: image restoration using Swin Transformer", ICCVW 2021, section 3.

    The defaults are SwinIR-M: 11,900,199 parameters at x4. The light one, `{embed_dim: 60, depths: [6, 6, 6, 6],
    upsampler: pixelshuffledirect}`, has 929,628. Stochastic depth is left out: its authors found no gain.
    """

    name: Literal["swinir"] = "swinir"
    upsampler: Upsampler = "pixelshuffle"
    """Reconstruction: convolutions and pixel shuffles, or a single one of each straight to the picture (light)."""

    def build(self) -> WindowNetwork:
        groups = [Group(self.embed_dim, [self._layer(n) for n in range(depth)]) for depth in self.depths]
        return WindowNetwork(groups, self.embed_dim, self.window_size, self.scale, self.upsampler)

    def _layer(self, number: int) -> "SwinLayer":
        attention = WindowAttention(self.embed_dim, self.num_heads, self.window_size, shifted=number % 2 == 1)
        return SwinLayer(self.embed_dim, attention, self.mlp_ratio)


class SwinLayer(nn.Module):
    """X = MSA(LN(X)) + X; X = MLP(LN(X)) + X (section 3.2, equations 5 and 6)."""

    def __init__(self, dim: int, attention: WindowAttention, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = perceptron(dim, ratio)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) to the same shape; `mask` hides what shifted windows must not see."""
        x = x + self.attn(self.norm1(x), mask)
        return torch.add(x, self.mlp(self.norm2(x)))
