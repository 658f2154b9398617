"""Entry point: picks a composition by index and finishes the picture."""

from collections.abc import Callable

import cv2
import numpy as np

from competition.data.scenes import views_open, views_street
from competition.data.scenes.nature import Daylight, random_daylight
from competition.data.scenes.textures import Picture, to_picture

_COMPOSITIONS: tuple[Callable[[np.random.Generator, Picture, Daylight], None], ...] = (
    views_street.canyon,
    views_street.close_facade,
    views_open.park_skyline,
    views_open.railway,
    views_street.shop_row,
    views_open.yard,
    views_street.corner,
)


def draw_scene(seed: int, index: int, size: int = 2048) -> Picture:
    """Draw city view number `index` of a seeded series.

    seed, index: non-negative; equal arguments give equal pictures, and the composition changes with the index.
    size: side in pixels, at least 256.
    Returns uint8 RGB, shape (size, size, 3), values 0..255.
    Raises ValueError for a negative seed or index, or a smaller size.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    if size < 256:
        raise ValueError(f"size must be at least 256 pixels, got {size}")
    # The counter's top word keeps the streams of different indices from overlapping.
    rng = np.random.Generator(np.random.Philox(key=seed, counter=index << 192))
    canvas = np.zeros((size, size, 3), np.uint8)
    _COMPOSITIONS[index % len(_COMPOSITIONS)](rng, canvas, random_daylight(rng))
    return _develop(canvas)


def _develop(canvas: Picture) -> Picture:
    """Apply the lens blur and falloff and the tone curve of a camera."""
    size = canvas.shape[0]
    soft = np.asarray(cv2.GaussianBlur(canvas, (3, 3), 0.42), np.uint8)
    levels = np.arange(256, dtype=np.float32) / 255
    bend = np.sin(2 * np.pi * (levels - 0.5)).astype(np.float32)
    curve = to_picture(255 * levels + np.float32(9) * bend)
    toned = np.asarray(cv2.LUT(soft, curve), np.uint8)
    axis = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    falloff = np.clip(256 * (1 - 0.07 * (axis[:, None] + axis[None, :])), 0, 255).astype(np.uint8)
    return np.asarray(cv2.multiply(toned, cv2.merge((falloff, falloff, falloff)), scale=1 / 255), np.uint8)
