"""Luma as MATLAB's rgb2ycbcr defines it (BT.601), of float pictures, and pictures with another luma."""

from torch import Tensor

# Y in [16, 235] of RGB in [0, 1]: an offset and a share of each channel.
OFFSET = 16.0
SHARES = (65.481, 128.553, 24.966)


def luma(picture: Tensor) -> Tensor:
    """Y of RGB (N, 3, H, W) in [0, 1]: (N, 1, H, W) in [16/255, 235/255], not rounded."""
    red, green, blue = picture.chunk(3, 1)
    return (OFFSET + SHARES[0] * red + SHARES[1] * green + SHARES[2] * blue) / 255


def with_luma(picture: Tensor, y: Tensor) -> Tensor:
    """RGB (N, 3, H, W) with `y` (N, 1, H, W) as its luma; the colour differences Cb and Cr stay."""
    # In the inverse of rgb2ycbcr, Y has the same factor in all three channels.
    return picture + (y - luma(picture)) * (255 / sum(SHARES))
