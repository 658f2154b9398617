"""Crops of pictures for a page: as JPEGs, and signed residuals as heat maps on one fixed scale."""

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from competition.analysis.curves import png
from competition.images import Bytes, encode_jpeg

# 8-bit levels from which on a residual has the strongest colour: the same in all reports, so that they compare.
REACH = 64
# Blue below the truth, red above it, also to colour-blind eyes.
SIGNED, UNSIGNED = "RdBu_r", "inferno"
# Standard deviation, in 8-bit levels, from which on a disagreement is brightest.
FAR = 16


def cut(picture: Bytes, y: int, x: int, height: int, width: int) -> Bytes:
    """A crop, moved inside where it would reach over the edge."""
    top, left = (
        min(max(0, start), max(0, whole - size))
        for start, whole, size in ((y, picture.shape[0], height), (x, picture.shape[1], width))
    )
    return picture[top : top + height, left : left + width]


def residual(prediction: Bytes, truth: Bytes) -> Bytes:
    """Prediction minus truth, the mean of the channels, as a heat map from -REACH to REACH levels."""
    levels = (prediction.astype(np.float32) - truth).mean(2)
    return _coloured(levels / (2 * REACH) + 0.5, SIGNED)


def disagreement(levels: npt.NDArray[np.floating]) -> Bytes:
    """A map of standard deviations in 8-bit levels, (H, W), brightest from FAR on."""
    return _coloured(levels / FAR, UNSIGNED)


def colour_bar() -> bytes:
    """The scale of `residual`."""
    return _bar(SIGNED, -REACH, REACH, "prediction − truth [8-bit levels], mean of the channels")


def disagreement_bar() -> bytes:
    """The scale of `disagreement`."""
    return _bar(UNSIGNED, 0, FAR, "standard deviation of the members [8-bit levels]")


def jpeg(picture: Bytes, side: int = 0, quality: int = 88) -> bytes:
    """A JPEG; `side` is the largest it may have, 0 for any."""
    longest = max(picture.shape[:2])
    if side and longest > side:
        size = [max(1, round(length * side / longest)) for length in picture.shape[1::-1]]
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(np.ascontiguousarray(picture), quality)


def _coloured(shares: npt.NDArray[np.floating], name: str) -> Bytes:
    coloured = matplotlib.colormaps[name](np.clip(shares, 0, 1), bytes=True)
    return np.asarray(coloured[..., :3], np.uint8)


def _bar(name: str, low: float, high: float, label: str) -> bytes:
    figure = Figure(figsize=(4.6, 0.62), layout="constrained")
    figure.colorbar(
        ScalarMappable(Normalize(low, high), name), figure.add_subplot(), orientation="horizontal", label=label
    )
    return png(figure)
