"""Where in a picture its squared error lies: at what structure, brightness, channel, distance to the border, tile."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from competition.analysis.diagnosis.sources import Picture
from competition.images import Bytes

Array = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float32]

CHANNELS = ("red", "green", "blue")
# Ends of the bins of distance to the nearest side, in pixels; the last bin is open.
DISTANCES = (1, 2, 4, 8, 16, 32, 64)
# 8-bit levels in a bin of brightness.
LEVELS = 16
# Side of a tile in pixels; at the right and the bottom they are cut.
TILE = 64
# Middles of the sectors of edge orientation, in degrees from horizontal, counter-clockwise.
ORIENTATIONS = tuple(22.5 * number for number in range(8))
FLAT, TEXTURE = 0, len(ORIENTATIONS) + 1
# Root mean square gradient of luma below which a place is flat, in levels per pixel; and the coherence of the structure
# tensor from which it has one direction: 0 for none, 1 for a straight edge.
_GRADIENT, _COHERENT = 2.0, 0.5
_SIGMA = 2.0


class Sums(NamedTuple):
    """Sums over the samples of each part of a picture, each (parts,)."""

    samples: Array
    error: Array
    """Of prediction minus truth, in levels."""
    squares: Array
    plain: Array
    """Squares of bicubic's errors; NaN without a low picture."""


class Tiles(NamedTuple):
    """Sums over the samples of each tile, each (rows, columns)."""

    samples: Array
    squares: Array
    plain: Array


class Errors(NamedTuple):
    """Prediction minus truth of one picture as scored, float32 (H, W, 3) in levels, and bicubic's if it is known."""

    own: Plane
    plain: Plane | None


def errors_of(picture: Picture) -> Errors:
    """The differences that everything here is made of."""
    truth = picture.truth.astype(np.float32)
    plain = None if picture.bicubic is None else picture.bicubic - truth
    return Errors(picture.shown - truth, plain)


def by_texture(errors: Errors, truth: Bytes) -> Sums:
    """Parts: FLAT, the edges of each of ORIENTATIONS, TEXTURE."""
    return _over_channels(errors, [textures(truth)] * 3, TEXTURE + 1)


def by_distance(errors: Errors) -> Sums:
    """Parts: the bins between DISTANCES."""
    height, width = errors.own.shape[:2]
    down, right = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in (height, width))
    labels = np.digitize(np.minimum(down[:, None], right[None]), DISTANCES).astype(np.uint8)
    return _over_channels(errors, [labels] * 3, len(DISTANCES) + 1)


def by_brightness(errors: Errors, shown: Bytes) -> Sums:
    """Parts: the bins of LEVELS of the predicted red, then of green, then of blue.

    Of the predicted value, not the true one: a good prediction is the mean of the truths that it may stand for, so that
    its bias at each of its own values is 0; at each true value it cannot be.
    """
    bins = 256 // LEVELS
    labels = [shown[..., channel] // LEVELS + np.uint8(bins * channel) for channel in range(3)]
    return _over_channels(errors, labels, 3 * bins)


def by_channel(errors: Errors) -> Sums:
    """Parts: red, green, blue."""
    height, width = errors.own.shape[:2]
    return _over_channels(errors, [np.full((height, width), channel, np.uint8) for channel in range(3)], 3)


def by_tile(errors: Errors) -> Tiles:
    """Sums over squares of TILE pixels."""
    squares = [_tiled(np.square(part).sum(2)) for part in errors if part is not None]
    samples = _tiled(np.full(errors.own.shape[:2], 3, np.float32))
    return Tiles(samples, squares[0], squares[1] if len(squares) > 1 else np.full_like(samples, np.nan))


def moments(picture: Picture) -> Array:
    """Sums of the products of 1, the predicted red, green and blue, and the true ones, about mid-grey: (7, 7)."""
    samples = np.concatenate([picture.shown, picture.truth], 2).reshape(-1, 6) - np.float32(128)
    samples = np.column_stack([np.ones(len(samples), np.float32), samples])
    return np.asarray(samples.T @ samples, np.float64)


def textures(truth: Bytes) -> npt.NDArray[np.uint8]:
    """FLAT, TEXTURE or the number of an orientation plus 1 for each pixel, (H, W), by the structure tensor of luma.

    Bigün and Granlund, "Optimal orientation detection of linear symmetry", ICCV 1987.
    """
    luma = cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY).astype(np.float32)
    right, down = (cv2.Sobel(luma, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), _SIGMA) for product in (right**2, down**2, right * down))
    energy = xx + yy
    coherence = np.hypot(xx - yy, 2 * xy) / np.maximum(energy, 1e-6)
    # The gradient's direction with y downwards; the edge runs across it, and counter-clockwise is upwards.
    edge = 90 - np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    sector = np.floor(edge / 22.5 + 0.5).astype(int) % len(ORIENTATIONS)
    labels = np.where(coherence > _COHERENT, sector + 1, TEXTURE)
    labels[energy < _GRADIENT**2] = FLAT
    return labels.astype(np.uint8)


def _over_channels(errors: Errors, labels: Sequence[npt.NDArray[np.uint8]], parts: int) -> Sums:
    """The sums; `labels` (H, W), below `parts`, of red, green and blue."""
    sums = np.zeros((len(Sums._fields), parts))
    for channel, places in enumerate(labels):
        flat, own = places.ravel(), errors.own[..., channel]
        plain = None if errors.plain is None else errors.plain[..., channel] ** 2
        for number, values in enumerate((None, own, own**2, plain)):
            sums[number] += np.bincount(flat, None if values is None else values.ravel(), parts)
    return Sums(*sums) if errors.plain is not None else Sums(*sums)._replace(plain=np.full(parts, np.nan))


def _tiled(values: Plane) -> Array:
    starts = (np.arange(0, side, TILE) for side in values.shape)
    return np.add.reduceat(np.add.reduceat(values.astype(np.float64), next(starts), 0), next(starts), 1)
