"""Makes the low picture of a pair from the high one, in one of several named ways."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]


def degrade(high: Picture, kind: str, rng: np.random.Generator, scale: int = 4) -> Picture:
    """Reduce a high picture to its low picture.

    high: uint8 RGB, shape (H, W, 3), H and W multiples of `scale`.
    kind: one of `KINDS`; the random strength of a kind is drawn from `rng`.
    Returns uint8 RGB, shape (H / scale, W / scale, 3).
    Raises ValueError for an unknown kind, a scale below 1, or a picture of another type or shape.
    """
    if kind not in _DEGRADATIONS:
        raise ValueError(f"unknown degradation {kind!r}; known: {', '.join(KINDS)}")
    if high.dtype != np.uint8 or high.ndim != 3 or high.shape[2] != 3:
        raise ValueError(f"expected a uint8 picture of shape (H, W, 3), got {high.dtype} {high.shape}")
    if scale < 1 or high.shape[0] % scale or high.shape[1] % scale:
        raise ValueError(f"height and width must be multiples of scale {scale}, got {high.shape[:2]}")
    return _DEGRADATIONS[kind](high, rng, scale)


def _bicubic(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    return _round(_reduce_bicubic(high.astype(np.float32), scale))


def _area(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    return _round(_reduce_area(high, scale))


def _nearest(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    height, width = high.shape[:2]
    sampled = cv2.resize(high, (width // scale, height // scale), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(sampled, np.uint8)


def _median_blur(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    window = int(rng.choice((3, 5)))
    return _round(_reduce_area(np.asarray(cv2.medianBlur(high, window), np.uint8), scale))


def _gaussian_blur(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    sigma = rng.uniform(0.8, 2.0)
    blurred = cv2.GaussianBlur(high.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return _round(_reduce_bicubic(np.asarray(blurred, np.float32), scale))


def _noise(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    clean = _reduce_bicubic(high.astype(np.float32), scale)
    sigma = np.float32(rng.uniform(2.0, 6.0))
    return _round(clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32))


def _jpeg(high: Picture, rng: np.random.Generator, scale: int) -> Picture:
    low = _bicubic(high, rng, scale)
    quality = int(rng.integers(60, 91))
    encoded, code = cv2.imencode(".jpg", low[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise RuntimeError(f"JPEG encoding failed for a picture of shape {low.shape}")
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[:, :, ::-1])


def _round(values: Field) -> Picture:
    """Round half up and clip to the uint8 range."""
    rounded: Field = np.floor(values + np.float32(0.5))
    return rounded.clip(0, 255).astype(np.uint8)


def _reduce_area(picture: Picture, scale: int) -> Field:
    """Mean of each scale x scale block, without rounding."""
    height, width = picture.shape[:2]
    reduced = cv2.resize(picture.astype(np.float32), (width // scale, height // scale), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.float32)


def _reduce_bicubic(picture: Field, scale: int) -> Field:
    """Antialiased bicubic reduction of float32 (H, W, 3), without rounding."""
    shorter = _reduce_rows(picture, scale)
    return np.ascontiguousarray(_reduce_rows(shorter.transpose(1, 0, 2), scale).transpose(1, 0, 2))


def _reduce_rows(picture: Field, scale: int) -> Field:
    taps, weights = _bicubic_taps(picture.shape[0], scale)
    total = np.zeros((len(taps), *picture.shape[1:]), np.float32)
    for tap, weight in zip(taps.T, weights.T, strict=True):
        total += weight[:, None, None] * picture[tap]
    return total


@lru_cache(maxsize=8)
def _bicubic_taps(length: int, scale: int) -> tuple[npt.NDArray[np.int64], Field]:
    """Source rows and weights of the widened Keys kernel, both (length / scale, 4 * scale + 2).

    The border is symmetric (the edge row repeats); the weights of each low row sum to one.
    """
    centres = (np.arange(length // scale) + 0.5) * scale - 0.5
    taps = np.floor(centres - 2 * scale).astype(np.int64)[:, None] + np.arange(4 * scale + 2)
    weights = _keys((taps - centres[:, None]) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(taps, 2 * length)
    return np.minimum(mirrored, 2 * length - 1 - mirrored), weights.astype(np.float32)


def _keys(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys cubic convolution kernel with a = -0.5."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))


_DEGRADATIONS: dict[str, Callable[[Picture, np.random.Generator, int], Picture]] = {
    "bicubic": _bicubic,
    "area": _area,
    "nearest": _nearest,
    "median_blur": _median_blur,
    "gaussian_blur": _gaussian_blur,
    "noise": _noise,
    "jpeg": _jpeg,
}
KINDS: tuple[str, ...] = tuple(_DEGRADATIONS)
