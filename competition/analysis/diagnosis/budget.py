"""What oracles would take off a picture's squared error: each fix alone, and one after the other, which adds up.

The error is first made smaller by what could be done to the whole picture (no rounding; its channels, its place, its
tone and colour put right), then cut into places (clipped samples, the border) and frequencies. A step takes off what
the squared error falls by, so that all steps together take off all of it, exactly.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from competition.analysis.diagnosis.mending import (
    Mended,
    Order,
    Shift,
    by_gain_and_offset,
    in_colour,
    in_order,
    in_place,
    in_tone,
    mean_square,
)
from competition.analysis.diagnosis.places import Plane
from competition.analysis.diagnosis.sources import Picture
from competition.analysis.diagnosis.spectrum import frequencies
from competition.parts import PARTS

Array = npt.NDArray[np.float64]

FIXES = ("rounding", "channel order", "shift", "gamma", "colour", "clipping", "border", "low", "middle", "high")
_WHOLE = (in_order, in_place, in_tone, in_colour)
# Pixels from the sides that count as border.
BORDER = 16


class Budget(NamedTuple):
    """The squared error of one picture and what lowers it."""

    mse: float
    """As scored, in mean squared levels per sample, as all errors here."""
    parts: Array
    """Taken off by each of FIXES in turn, (10,), of sum `mse`."""
    alone: Array
    """Taken off by each fix if it alone is made, (10,)."""
    order: Order
    shift: Shift
    gamma: float
    """These three as in `Mended`."""
    rivals: tuple[float, float]
    """What one gain, and what one offset, for all channels takes off alone: tells a gamma from those."""


def budget(picture: Picture, scale: int) -> Budget:
    """The budget of one picture; `scale` tells up to which frequency its low picture reached."""
    truth = picture.truth.astype(np.float32)
    exact, shown = Mended(picture.prediction / np.float32(257)), Mended(picture.shown.astype(np.float32))
    left = [shown.mse(truth), exact.mse(truth)]
    alone = [left[0] - left[1], *(left[0] - fix(shown, truth).mse(truth) for fix in _WHOLE)]
    alone += _remains(shown, picture, truth, scale, in_turn=False)
    mended = exact
    for fix in _WHOLE:
        mended = fix(mended, truth)
        left.append(mended.mse(truth))
    parts = [*-np.diff(left), *_remains(mended, picture, truth, scale, in_turn=True)]
    rivals = by_gain_and_offset(shown, truth)
    return Budget(left[0], np.array(parts), np.array(alone), mended.order, mended.shift, mended.gamma, rivals)


def _remains(mended: Mended, picture: Picture, truth: Plane, scale: int, in_turn: bool) -> list[float]:
    """The squared error at clipped samples, in the border, and at low, middle and high frequencies, (5,).

    In turn, a part is without the places before it, and all of them are all that remains.
    """
    error = mended.levels - truth
    border = np.ones((*error.shape[:2], 1), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    found = []
    clipped = (picture.prediction == 0) | (picture.prediction == 65535)
    for place in (clipped[..., mended.order], border):
        left = np.where(place, np.float32(0), error)
        found.append(mean_square(error) - mean_square(left))
        error = left if in_turn else error
    return [*found, *_by_band(error, scale)]


def _by_band(error: Plane, scale: int) -> list[float]:
    """Mean squares below half of what the low picture can hold, from there to all it can, and above."""
    limit = 1 / (2 * scale)
    bands = np.digitize(frequencies(*error.shape[:2]), (limit / 2, limit)).ravel()
    total = np.zeros(3)
    for channel in range(3):
        total += np.bincount(bands, np.square(PARTS["band"].forward(error[..., channel])).ravel(), 3)
    return list(total / error.size)
