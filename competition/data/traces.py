"""Traces that JPEG leaves in a decoded picture: DCT coefficients at multiples of the quantisation steps."""

from functools import lru_cache
from io import BytesIO
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn

Plane = npt.NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

# Side of the smallest picture, in pixels, of whose making anything can be told.
SMALLEST = 16

# A decoder rounds the luma and then R, G and B: sqrt(1/12 + (0.299² + 0.587² + 0.114²) / 12) levels.
_DECODER_SIGMA = 0.35
_OUTLIERS = 0.02


class Grid(NamedTuple):
    """The most likely JPEG quality and the evidence for it: mean log likelihood ratio of the informative coefficients
    against a picture that was never quantised, in nats; and how many there are."""

    quality: int
    evidence: float
    coefficients: int


def green(picture: npt.NDArray[np.uint8]) -> Plane:
    """Green of a uint8 RGB (…, 3) picture, float32 (…) in [0, 255]."""
    return picture[..., 1].astype(np.float32)


def luma(picture: npt.NDArray[np.uint8] | Plane) -> Plane:
    """Luma of an RGB (…, 3) picture as JPEG weighs it, float32 (…) in [0, 255]."""
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


@lru_cache(maxsize=1)
def luma_tables() -> npt.NDArray[np.float32]:
    """Steps of libjpeg's luma quantisation for the qualities 1 to 100, shape (100, 8, 8)."""
    tables = []
    for quality in range(1, 101):
        _, code = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        with Image.open(BytesIO(code.tobytes())) as picture:
            tables.append(np.reshape(picture.quantization[0], (8, 8)))
    return np.array(tables, np.float32)


def find_grid(picture: npt.NDArray[np.uint8]) -> Grid:
    """The JPEG quality whose quantisation best fits a uint8 RGB (H, W, 3) picture that begins at a block's corner.

    For each quality, a coefficient d with step T whose multiple nearest to it, n T, is not zero has the likelihood
    ratio T N(d - n T; sigma) against smoothly spread values (after Fan and de Queiroz, 2003). Evidence up to quality
    98; at 99 and 100 the steps are as fine as the decoder's own rounding.
    """
    values = _coefficients(picture)
    best = Grid(100, 0.0, 0)
    for quality, table in enumerate(luma_tables().reshape(100, 64)[:, 1:], 1):
        multiples = np.round(values / table)
        counted = multiples != 0
        steps = np.broadcast_to(table, values.shape)[counted]
        rest = (values[counted] - multiples[counted] * steps) / _DECODER_SIGMA
        density = steps / (np.sqrt(2 * np.pi) * _DECODER_SIGMA) * np.exp(-(rest**2) / 2)
        total = float(np.log((1 - _OUTLIERS) * density + _OUTLIERS).sum())
        if total > best.evidence * best.coefficients:
            best = Grid(quality, total / rest.size, rest.size)
    return best


def find_quality(picture: npt.NDArray[np.uint8]) -> int | None:
    """The JPEG quality a uint8 RGB (H, W, 3) picture went through as a whole, or None where nothing speaks for one."""
    grid = find_grid(picture)
    return grid.quality if grid.evidence > 0.1 and grid.evidence * grid.coefficients > 50 else None


def _coefficients(picture: npt.NDArray[np.uint8]) -> Plane:
    """AC coefficients of the luma's blocks, shape (blocks, 63)."""
    # Where a decoder clips, the coefficients are no longer those it read.
    clipped = np.any((picture == 0) | (picture == 255), -1)
    whole = ~blocks(np.asarray(clipped)).any((1, 2))
    return block_transform(luma(picture) - 128)[whole].reshape(-1, 64)[:, 1:]


def blocks(plane: npt.NDArray[Value]) -> npt.NDArray[Value]:
    """The whole 8 x 8 blocks of a plane (h, w), shape (blocks, 8, 8)."""
    height, width = (side // 8 * 8 for side in plane.shape)
    split = plane[:height, :width].reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)
    return np.asarray(split.reshape(-1, 8, 8))


def block_transform(plane: Plane) -> Plane:
    """Orthonormal DCT of each 8 x 8 block of a plane (h, w), shape (blocks, 8, 8): JPEG's, before quantisation."""
    return np.asarray(dctn(blocks(plane), axes=(1, 2), norm="ortho"), np.float32)
