"""What the truth's help can put right in a whole prediction: its channels' order, its place, tone and colour.

Every fix is the best of its kind by squared error, and is left undone where it gains nothing.
"""

import itertools
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import minimize_scalar

from competition.analysis.diagnosis.places import Plane

Order = tuple[int, int, int]
Shift = tuple[float, float]

STRAIGHT: Order = (0, 1, 2)
# By how much another order of the channels, or a shift by whole pixels, must lower the squared error: for half of grey
# pictures another order does so a little.
_CLEARLY = 0.95
_GAMMAS = (0.5, 2.0)


class Mended(NamedTuple):
    """A prediction after some fixes, float32 (H, W, 3) in levels, and what they were."""

    levels: Plane
    order: Order = STRAIGHT
    """Which predicted channels show the truth's red, green and blue best."""
    shift: Shift = (0.0, 0.0)
    """By how many pixels the prediction lay below and right of the truth."""
    gamma: float = 1.0
    """(prediction / 255) ** gamma served best."""

    def mse(self, truth: Plane) -> float:
        """Against the truth, float32 (H, W, 3) in levels."""
        return mean_square(self.levels - truth)


def mean_square(error: Plane) -> float:
    """In float64, of which parts can be subtracted."""
    return float(np.mean(error * error, dtype=np.float64))


def in_order(mended: Mended, truth: Plane) -> Mended:
    """With its channels in the order that fits best."""
    apart = [[mean_square(mended.levels[..., p] - truth[..., t]) for p in range(3)] for t in range(3)]
    orders: list[Order] = list(itertools.permutations(range(3)))  # type: ignore[arg-type]
    total = {order: sum(apart[t][p] for t, p in enumerate(order)) for order in orders}
    best = min(orders, key=total.__getitem__)
    if total[best] >= _CLEARLY * total[STRAIGHT]:
        return mended
    return mended._replace(levels=mended.levels[..., best], order=best)


def in_place(mended: Mended, truth: Plane) -> Mended:
    """Moved by whole pixels, as phase correlation (Kuglin and Hines 1975) finds them, and by the rest."""
    luma, predicted = (np.ascontiguousarray(plane.mean(2)) for plane in (truth, mended.levels))
    window = cv2.createHanningWindow(luma.shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(luma, predicted, window)
    whole = (round(down), round(right))
    moved = mended._replace(levels=_moved(mended.levels, whole), shift=whole) if any(whole) else mended
    if moved.mse(truth) >= _CLEARLY * mended.mse(truth):
        moved = mended
    finer = _in_place_by_slopes(moved, truth)
    return finer if finer.mse(truth) < moved.mse(truth) else moved


def _in_place_by_slopes(mended: Mended, truth: Plane) -> Mended:
    """Moved by the fraction of a pixel that the derivatives tell.

    To first order a picture moved by s is the picture plus s times its derivative: unlike interpolation at a fraction
    of a pixel, adding an odd filter cannot pass for a shift by smoothing.
    """
    # Central differences, [-1, 0, 1] / 2.
    down, right = (cv2.Sobel(mended.levels, cv2.CV_32F, *order, ksize=1, scale=0.5) for order in ((0, 1), (1, 0)))
    error = (truth - mended.levels).ravel()
    slopes = [down.ravel(), right.ravel()]
    normal = [[float(one @ other) for other in slopes] for one in slopes]
    by = np.linalg.lstsq(normal, [float(one @ error) for one in slopes])[0].clip(-1, 1)
    levels = mended.levels + np.float32(by[0]) * down + np.float32(by[1]) * right
    return mended._replace(levels=levels, shift=(mended.shift[0] + float(by[0]), mended.shift[1] + float(by[1])))


def _moved(levels: Plane, by: tuple[int, int]) -> Plane:
    """What lies `by` pixels below and right comes here; the last rows and columns are repeated."""
    rows, columns = (np.clip(np.arange(side) + step, 0, side - 1) for side, step in zip(levels.shape, by, strict=False))
    return np.asarray(levels[rows][:, columns])


def in_tone(mended: Mended, truth: Plane) -> Mended:
    """Raised to the power that fits best, one for all channels; found from the sums at each rounded level."""
    places = (mended.levels.clip(0, 255) + 0.5).astype(np.uint8).ravel()
    count, total = np.bincount(places, minlength=256), np.bincount(places, truth.ravel(), 256)
    values = np.arange(256) / 255

    def cost(gamma: float) -> float:
        toned = 255 * values**gamma
        return float(count @ toned**2 - 2 * total @ toned)

    gamma = float(minimize_scalar(cost, bounds=_GAMMAS, method="bounded").x)
    levels = np.float32(255) * (mended.levels.clip(0, 255) / np.float32(255)) ** np.float32(gamma)
    raised = mended._replace(levels=levels, gamma=gamma)
    return raised if raised.mse(truth) < mended.mse(truth) else mended


def in_colour(mended: Mended, truth: Plane) -> Mended:
    """With the gain and the offset of each channel that fit best."""
    planes = []
    for plane, true in zip(np.moveaxis(mended.levels, 2, 0), np.moveaxis(truth, 2, 0), strict=True):
        mean, mean_true = plane.mean(dtype=np.float64), true.mean(dtype=np.float64)
        centred = plane - np.float32(mean)
        variance = mean_square(centred)
        gain = float(np.mean(centred * true, dtype=np.float64)) / variance if variance else 1.0
        planes.append(centred * np.float32(gain) + np.float32(mean_true))
    return mended._replace(levels=np.stack(planes, 2))


def by_gain_and_offset(mended: Mended, truth: Plane) -> tuple[float, float]:
    """By how much t = a p, and t = p + b, one a or b for all channels, lower the squared error of t = p."""
    error = mended.levels - truth
    slope, power = (float(np.mean(mended.levels * other, dtype=np.float64)) for other in (error, mended.levels))
    return (slope**2 / power if power else 0.0), float(np.mean(error, dtype=np.float64)) ** 2
