"""HAT: window attention beside channel attention, and windows that see beyond their border; its authors' names."""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from competition.models import windows
from competition.models.windows import Group, WindowAttention, WindowNetwork, WindowSettings

_CONV_SCALE = 0.01


class HATConfig(WindowSettings):
    """Chen et al., "Activating more pixels in image super-resolution Transformer", CVPR 2023, section 3.

    The defaults are HAT: 20,772,507 parameters at x4. HAT-S, `{embed_dim: 144, compress_ratio: 24, squeeze_factor:
    24}`, has 9,621,183, HAT-L, with twelve groups of 6, 40,846,575. Stochastic depth is left out.
    """

    name: Literal["hat"] = "hat"
    window_size: int = Field(16, ge=4, le=32, multiple_of=4)
    """Side of a window in low pixels; the overlapping ones are half as large again."""
    compress_ratio: int = Field(3, ge=1)
    """The channel attention blocks have so many times fewer channels inside."""
    squeeze_factor: int = Field(30, ge=1)
    """The channel attention itself has so many times fewer channels inside."""

    @model_validator(mode="after")
    def _channels_are_left(self) -> "HATConfig":
        for key in ("compress_ratio", "squeeze_factor"):
            if getattr(self, key) > self.embed_dim:
                raise ValueError(f"model.{key} {getattr(self, key)} is larger than model.embed_dim {self.embed_dim}")
        return self

    def build(self) -> WindowNetwork:
        groups = [self._group(depth) for depth in self.depths]
        return WindowNetwork(groups, self.embed_dim, self.window_size, self.scale)

    def _group(self, depth: int) -> Group:
        sizes = self.embed_dim, self.num_heads, self.window_size
        overlapping = OverlappingAttentionBlock(*sizes, self.mlp_ratio)
        return Group(self.embed_dim, [self._block(number) for number in range(depth)], overlapping)

    def _block(self, number: int) -> "HybridAttentionBlock":
        attention = WindowAttention(self.embed_dim, self.num_heads, self.window_size, shifted=number % 2 == 1)
        channels = ChannelAttentionBlock(self.embed_dim, self.compress_ratio, self.squeeze_factor)
        return HybridAttentionBlock(self.embed_dim, attention, channels, self.mlp_ratio)


class HybridAttentionBlock(nn.Module):
    """X = MSA(LN(X)) + 0.01 CAB(LN(X)) + X; X = MLP(LN(X)) + X (equation 2)."""

    def __init__(self, dim: int, attention: WindowAttention, channels: "ChannelAttentionBlock", ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.conv_block = channels
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = windows.perceptron(dim, ratio)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) to the same shape; `mask` hides what shifted windows must not see."""
        normed = self.norm1(x)
        channels = self.conv_block(normed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.attn(normed, mask) + _CONV_SCALE * channels
        return torch.add(x, self.mlp(self.norm2(x)))


class ChannelAttentionBlock(nn.Module):
    """Two convolutions and a factor for each channel (figure 4, CAB)."""

    def __init__(self, dim: int, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        inside = dim // compress_ratio
        convs = nn.Conv2d(dim, inside, 3, padding=1), nn.GELU(), nn.Conv2d(inside, dim, 3, padding=1)
        self.cab = nn.Sequential(*convs, ChannelAttention(dim, squeeze_factor))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        result: Tensor = self.cab(x)
        return result


class ChannelAttention(nn.Module):
    """Zhang et al., "Image super-resolution using very deep residual channel attention networks", ECCV 2018, eq. 9."""

    def __init__(self, dim: int, squeeze_factor: int) -> None:
        super().__init__()
        inside = dim // squeeze_factor
        layers = nn.Conv2d(dim, inside, 1), nn.ReLU(inplace=True), nn.Conv2d(inside, dim, 1), nn.Sigmoid()
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return torch.mul(x, self.attention(x))


class OverlappingAttentionBlock(nn.Module):
    """Windows that attend to windows half as large again around them, then a perceptron (OCAB; equation 5)."""

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int, ratio: int) -> None:
        super().__init__()
        self.window, self.outer = window, window + window // 2
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        width = self.window + self.outer - 1
        self.relative_position_bias_table = windows.bias_table(width, heads)
        # Negative steps wrap around: the authors' order of the table, which their weights are in.
        steps = windows.positions(self.outer) - windows.positions(window)[:, None] + window - self.outer + 1
        self.register_buffer("relative_position_index", windows.table_index(steps, width), persistent=False)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = windows.perceptron(dim, ratio)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C), H and W multiples of the window, to the same shape."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, -1)
        bias = self.relative_position_bias_table[self.relative_position_index]
        seen = windows.attend(windows.cut_windows(query, self.window), self._cut(key), self._cut(value), bias)
        x = x + self.proj(windows.join_windows(seen, self.window, x.shape))
        return torch.add(x, self.mlp(self.norm2(x)))

    def _cut(self, x: Tensor) -> Tensor:
        """Overlapping windows (N * windows, outer^2, C), zero outside the picture."""
        margin = (self.outer - self.window) // 2
        padded = functional.pad(x, (0, 0, margin, margin, margin, margin))
        around = padded.unfold(1, self.outer, self.window).unfold(2, self.outer, self.window)
        return around.permute(0, 1, 2, 4, 5, 3).reshape(-1, self.outer**2, x.shape[-1])
