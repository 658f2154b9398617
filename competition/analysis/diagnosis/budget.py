"""What oracles would take off a picture's squared error: each fix alone, and one after the other, which adds up.

The error is first made smaller by what could be done to the whole picture (no rounding; its channels, its place, its
tone put right with the truth's help), then cut into places (clipped samples, the border) and frequencies. A step takes
off what the squared error falls by, so that all steps together take off all of it, exactly.
"""

import itertools
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from competition.analysis.diagnosis.places import Plane
from competition.analysis.diagnosis.sources import Picture
from competition.analysis.diagnosis.spectrum import frequencies
from competition.parts import PARTS

Array = npt.NDArray[np.float64]
Order = tuple[int, int, int]

FIXES = ("rounding", "channel order", "shift", "gamma", "colour", "clipping", "border", "low", "middle", "high")
# Pixels from the sides that count as border.
BORDER = 16
STRAIGHT: Order = (0, 1, 2)
# By how much another order of the channels, or a shift by whole pixels, must lower the squared error: half of grey
# pictures' orders do so a little.
_CLEARLY = 0.95
_GAMMAS = (0.5, 2.0)
# A gamma closer to 1 moves no sample by half a level.
_NO_GAMMA = 0.005


class Budget(NamedTuple):
    """The squared error of one picture and what lowers it."""

    parts: Array
    """Taken off by each of FIXES in turn, (10,): mean squared levels per sample; of sum `mse`."""
    alone: Array
    """Taken off by each fix if it alone is made, (10,)."""
    order: Order
    """Which predicted channels show the truth's red, green and blue best."""
    shift: tuple[float, float]
    """By how many pixels the prediction lies below and right of the truth."""
    gamma: float
    """(prediction / 255) ** gamma serves best."""


class Mended(NamedTuple):
    """A prediction after some fixes, float32 (H, W, 3) in levels, and what they were."""

    levels: Plane
    order: Order = STRAIGHT
    shift: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0


def budget(picture: Picture, scale: int) -> Budget:
    """The budget of one picture; `scale` tells up to which frequency its low picture reached."""
    truth = picture.truth.astype(np.float32)
    exact, shown = Mended(picture.prediction / np.float32(257)), Mended(picture.shown.astype(np.float32))
    whole, unrounded = _mse(shown, truth), _mse(exact, truth)
    alone = [whole - unrounded, *(whole - _mse(fix(shown, truth), truth) for fix in _WHOLE)]
    alone += _remains(shown, picture, scale, in_turn=False)
    mended, left = exact, [whole, unrounded]
    for fix in _WHOLE:
        mended = fix(mended, truth)
        left.append(_mse(mended, truth))
    parts = [*-np.diff(left), *_remains(mended, picture, scale, in_turn=True)]
    return Budget(np.array(parts), np.array(alone), mended.order, mended.shift, mended.gamma)


def _mse(mended: Mended, truth: Plane) -> float:
    return _mean_square(mended.levels - truth)


# ---- fixes of the whole picture -------------------------------------------------------------------------------------


def _in_order(mended: Mended, truth: Plane) -> Mended:
    """With its channels in the order that fits best."""
    apart = [[_mean_square(mended.levels[..., p] - truth[..., t]) for p in range(3)] for t in range(3)]
    orders: list[Order] = list(itertools.permutations(range(3)))  # type: ignore[arg-type]
    total = {order: sum(apart[t][p] for t, p in enumerate(order)) for order in orders}
    best = min(orders, key=total.__getitem__)
    if total[best] >= _CLEARLY * total[STRAIGHT]:
        return mended
    return mended._replace(levels=mended.levels[..., best], order=best)


def _in_place(mended: Mended, truth: Plane) -> Mended:
    """Moved by whole pixels, as phase correlation finds them, and by the rest, as the derivatives do.

    To first order a picture moved by s is the picture plus s times its derivative: unlike interpolation at a fraction
    of a pixel, adding an odd filter cannot pass for a shift by smoothing.
    """
    luma, predicted = (np.ascontiguousarray(plane.mean(2)) for plane in (truth, mended.levels))
    window = cv2.createHanningWindow(luma.shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(luma, predicted, window)
    whole = (round(down), round(right))
    moved = _moved(mended.levels, whole)
    if not any(whole) or _mean_square(moved - truth) >= _CLEARLY * _mean_square(mended.levels - truth):
        whole, moved = (0, 0), mended.levels
    # Central differences of [-1, 0, 1] / 2.
    slopes = [cv2.Sobel(moved, cv2.CV_32F, *order, ksize=1, scale=0.5).ravel() for order in ((0, 1), (1, 0))]
    error = (truth - moved).ravel()
    rest = np.linalg.lstsq([[one @ other for other in slopes] for one in slopes], [one @ error for one in slopes])[0]
    rest = rest.clip(-1, 1).astype(np.float32)
    finer = moved + (rest[0] * slopes[0] + rest[1] * slopes[1]).reshape(moved.shape)
    if _mean_square(finer - truth) >= _mean_square(moved - truth):
        finer, rest = moved, np.zeros(2, np.float32)
    return mended._replace(levels=finer, shift=(whole[0] + float(rest[0]), whole[1] + float(rest[1])))


def _moved(levels: Plane, by: tuple[int, int]) -> Plane:
    """What lies `by` pixels below and right comes here; the last rows and columns are repeated."""
    rows, columns = (np.clip(np.arange(side) + step, 0, side - 1) for side, step in zip(levels.shape, by, strict=False))
    return np.asarray(levels[rows][:, columns])


def _in_tone(mended: Mended, truth: Plane) -> Mended:
    """Raised to the power that fits best, one for all channels; found from the sums at each 8-bit level."""
    level = (mended.levels.clip(0, 255) + 0.5).astype(np.uint8).ravel()
    count, total = np.bincount(level, minlength=256), np.bincount(level, truth.ravel(), 256)
    values = np.arange(256) / 255

    def cost(gamma: float) -> float:
        toned = 255 * values**gamma
        return float(count @ toned**2 - 2 * total @ toned)

    gamma = float(minimize_scalar(cost, bounds=_GAMMAS, method="bounded").x)
    toned = np.float32(255) * (mended.levels.clip(0, 255) / np.float32(255)) ** np.float32(gamma)
    if abs(gamma - 1) < _NO_GAMMA or _mean_square(toned - truth) >= _mean_square(mended.levels - truth):
        return mended
    return mended._replace(levels=toned, gamma=gamma)


def _in_colour(mended: Mended, truth: Plane) -> Mended:
    """With the gain and the offset of each channel that fit best."""
    planes = []
    for plane, true in zip(np.moveaxis(mended.levels, 2, 0), np.moveaxis(truth, 2, 0), strict=True):
        mean, mean_true = plane.mean(dtype=np.float64), true.mean(dtype=np.float64)
        centred = plane - np.float32(mean)
        variance = _mean_square(centred)
        gain = float(np.mean(centred * true, dtype=np.float64)) / variance if variance else 1.0
        planes.append(centred * np.float32(gain) + np.float32(mean_true))
    return mended._replace(levels=np.stack(planes, 2))


_WHOLE = (_in_order, _in_place, _in_tone, _in_colour)


def _mean_square(error: Plane) -> float:
    return float(np.mean(error * error, dtype=np.float64))


# ---- places and frequencies of what remains -------------------------------------------------------------------------


def _remains(mended: Mended, picture: Picture, scale: int, in_turn: bool) -> list[float]:
    """The squared error at clipped samples, in the border, and at low, middle and high frequencies, (5,).

    In turn, a part is without the places before it, and all of them are all that remains.
    """
    error = mended.levels - picture.truth
    border = np.ones((*error.shape[:2], 1), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    found = []
    for place in (np.isin(picture.prediction, (0, 65535))[..., mended.order], border):
        left = np.where(place, np.float32(0), error)
        found.append(_mean_square(error) - _mean_square(left))
        error = left if in_turn else error
    return [*found, *_by_band(error, scale)]


def _by_band(error: Plane, scale: int) -> list[float]:
    """Mean squares below half of what the low picture can hold, from there to all it can, and above."""
    limit = 1 / (2 * scale)
    bands = np.digitize(frequencies(*error.shape[:2]), (limit / 2, limit)).ravel()
    forward = PARTS["band"].forward
    sums = sum(np.bincount(bands, np.square(forward(error[..., channel])).ravel(), 3) for channel in range(3))
    return [float(total) / error.size for total in sums]  # type: ignore[union-attr]
