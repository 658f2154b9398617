"""What SwinIR and HAT share: attention within windows of a picture, and the frame around the groups of blocks."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from competition.config import Config
from competition.models.recompute import Blocks

Upsampler = Literal["pixelshuffle", "pixelshuffledirect"]

# A published file may hold what its network works out again: at which distance two pixels of a window are, and which
# pixels of a training patch may see each other.
TABLES = r"(.*\.)?(relative_position_index(_SA|_OCA)?|attn_mask)"

_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, RGB
_UPSAMPLE_WIDTH = 64
_HIDDEN = -100.0  # what is added for pixels that must not see each other, as the published networks do


class WindowSettings(Config):
    """Sizes of a network with attention in windows."""

    name: str
    embed_dim: int = Field(180, ge=1)
    """Channels."""
    depths: tuple[int, ...] = Field((6, 6, 6, 6, 6, 6), min_length=1, max_length=100)
    """Attention blocks of each group."""
    num_heads: int = Field(6, ge=1)
    """Heads of every attention; they share the channels."""
    window_size: int = Field(8, ge=2, le=32, multiple_of=2)
    """Side of a window in low pixels."""
    mlp_ratio: int = Field(2, ge=1)
    """Channels inside the two-layer perceptrons, as a multiple of those outside."""
    scale: Literal[2, 3, 4] = 4
    """Enlargement factor."""

    @model_validator(mode="after")
    def _heads_share_the_channels(self) -> "WindowSettings":
        if self.embed_dim % self.num_heads:
            raise ValueError(f"model.embed_dim {self.embed_dim} is no multiple of model.num_heads {self.num_heads}")
        return self


class WindowNetwork(nn.Module):
    """Shallow features, groups of attention blocks around one long skip, and reconstruction from both."""

    mean: Tensor

    def __init__(
        self, groups: Iterable[nn.Module], dim: int, window: int, scale: int, upsampler: Upsampler = "pixelshuffle"
    ) -> None:
        super().__init__()
        self.window, self.scale = window, scale
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, dim, 3, padding=1)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(dim)))
        self.layers = Blocks(groups)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv_before_upsample: nn.Module = nn.Identity()
        self.conv_last: nn.Module = nn.Identity()
        if upsampler == "pixelshuffledirect":
            self.upsample = nn.Sequential(nn.Conv2d(dim, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        else:
            width = _UPSAMPLE_WIDTH
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(dim, width, 3, padding=1), nn.LeakyReLU(inplace=True))
            self.upsample = _shuffles(scale, width)
            self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        self.apply(_initialise)

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), about [0, 1] and not clipped."""
        height, width = low.shape[-2:]
        rows, columns = (height + self.window - 1) // self.window, (width + self.window - 1) // self.window
        shallow = self.conv_first(_take(low, rows * self.window, columns * self.window) - self.mean)
        deep = self.layers(self.patch_embed(shallow.permute(0, 2, 3, 1)), shift_mask(rows, columns, self.window, low))
        x = shallow + self.conv_after_body(self.norm(deep).permute(0, 3, 1, 2))
        high = self.conv_last(self.upsample(self.conv_before_upsample(x))) + self.mean
        return _take(high, height * self.scale, width * self.scale)


class Group(nn.Module):
    """Attention blocks, perhaps one that sees across windows, and a convolution around a skip."""

    def __init__(self, dim: int, blocks: Iterable[nn.Module], overlapping: nn.Module | None = None) -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
        if overlapping is not None:
            self.residual_group["overlap_attn"] = overlapping
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) to the same shape; `mask` is that of `shift_mask`."""
        deep = x
        for block in self.residual_group["blocks"].children():
            deep = block(deep, mask)
        if "overlap_attn" in self.residual_group:
            deep = self.residual_group["overlap_attn"](deep)
        return torch.add(x, self.conv(deep.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class WindowAttention(nn.Module):
    """Multi-head self-attention in each window: softmax(Q K^T / sqrt(d) + B) V, B by relative position.

    Liu et al., "Swin Transformer", ICCV 2021, equation 4. Shifted windows lie half a window lower and further right.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2 if shifted else 0
        self.qkv = nn.Linear(dim, 3 * dim)
        self.relative_position_bias_table = bias_table(2 * window - 1, heads)
        at = positions(window)
        index = table_index(at[:, None] - at + window - 1, 2 * window - 1)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C), H and W multiples of the window, to the same shape; `mask` is that of `shift_mask`."""
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        query, key, value = self.qkv(cut_windows(x, self.window)).chunk(3, -1)
        bias = self.relative_position_bias_table[self.relative_position_index]
        seen = attend(query, key, value, bias, mask if self.shift else None)
        x = join_windows(self.proj(seen), self.window, x.shape)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, mask: Tensor | None = None) -> Tensor:
    """What n queries (N, n, C) see of m keys and values (N, m, C): softmax(Q K^T / sqrt(d) + bias) V for each head.

    `bias` is (n, m, heads); `mask` (windows, n, m) is added for the windows of each picture.
    """
    heads = bias.shape[-1]
    query, key, value = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value))
    bias = bias.permute(2, 0, 1)
    if mask is not None:
        bias = (bias + mask.unsqueeze(1)).repeat(query.shape[0] // mask.shape[0], 1, 1, 1)
    seen = functional.scaled_dot_product_attention(query, key, value, bias.expand(query.shape[0], -1, -1, -1))
    return torch.cat(seen.unbind(1), -1)  # not a view, whose strides depend on the kernel that was chosen


def perceptron(dim: int, ratio: int) -> nn.Sequential:
    """Two layers at each pixel, `ratio` times as wide inside."""
    layers = {"fc1": nn.Linear(dim, ratio * dim), "act": nn.GELU(), "fc2": nn.Linear(ratio * dim, dim)}
    return nn.Sequential(OrderedDict(layers))


def cut_windows(x: Tensor, window: int) -> Tensor:
    """(N, H, W, C) to (N * windows, window^2, C)."""
    count, height, width, channels = x.shape
    rows, columns = height // window, width // window
    x = x.reshape(count, rows, window, columns, window, channels).transpose(2, 3)
    return x.reshape(count * rows * columns, window**2, channels)


def join_windows(windows: Tensor, window: int, shape: torch.Size) -> Tensor:
    """Undo `cut_windows`, to the given shape (N, H, W, C)."""
    count, height, width, channels = shape
    x = windows.reshape(count, height // window, width // window, window, window, channels).transpose(2, 3)
    return x.reshape(count, height, width, channels)


def shift_mask(rows: int, columns: int, window: int, like: Tensor) -> Tensor:
    """(windows, window^2, window^2): 0 where two pixels of a shifted window are neighbours in the picture, else -100.

    Shifting is rolling: the last windows of a row or column hold pixels from opposite borders.
    """
    vertical, horizontal = (_sides(number * window, window, like) for number in (rows, columns))
    sides = cut_windows((3 * vertical[:, None] + horizontal)[None, :, :, None], window).squeeze(-1)
    return (sides[:, None] != sides[:, :, None]).to(like.dtype) * _HIDDEN


def _sides(length: int, window: int, like: Tensor) -> Tensor:
    """For each pixel of a rolled row: 2 if it came from the beginning, 1 if it shares a window with such, else 0."""
    place = torch.arange(length, device=like.device)
    return (place >= length - window).int() + (place >= length - window // 2).int()


def positions(side: int) -> Tensor:
    """Line and column (side^2, 2) of each pixel of a square."""
    return torch.cartesian_prod(torch.arange(side), torch.arange(side))


def table_index(steps: Tensor, width: int) -> Tensor:
    """Rows of a bias table, `width` for each step down and one for each to the right, from steps (…, 2)."""
    return (steps[..., 0] * width + steps[..., 1]) % width**2


def bias_table(width: int, heads: int) -> nn.Parameter:
    """A bias for each relative position and head."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(width**2, heads), std=0.02))


def _shuffles(scale: int, width: int) -> nn.Sequential:
    """Convolutions and pixel shuffles to `scale`: one for 2 and 3, two for 4."""
    steps = [2, 2] if scale == 4 else [scale]
    pairs = [(nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step)) for step in steps]
    return nn.Sequential(*(module for pair in pairs for module in pair))


def _take(x: Tensor, height: int, width: int) -> Tensor:
    """The first rows and columns, the picture reflected at its end where there are too few.

    Without a branch on the size and without a view, so that exported programs take pictures of any size.
    """
    for axis, size in ((-2, height), (-1, width)):
        last = torch.arange(x.shape[axis], device=x.device)[-1:]  # a tensor, as ONNX divides by no other sizes
        period = (2 * last).clamp(min=1)
        place = torch.arange(size, device=x.device) % period
        x = x.index_select(axis, torch.minimum(place, period - place))
    return x


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
