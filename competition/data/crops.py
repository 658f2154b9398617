"""The detailed parts of a pair, stacked so that one call degrades them all."""

from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Reduced = TypeVar("Reduced", npt.NDArray[np.uint8], npt.NDArray[np.float32])

# In low pixels; crops begin where a JPEG with halved chroma begins a block. The margin covers every kernel and a blur
# of sigma 4 at a scale of 4.
INNER, MARGIN = 64, 8
OUTER = INNER + 2 * MARGIN


@dataclass(frozen=True)
class Crops:
    """`low`: uint8 RGB, `count` crops one below another; `high`: the same places with a margin all round.

    A picture no larger than the crops together is one crop without margin.
    """

    low: Picture
    high: Picture
    count: int
    margin: int

    def trim(self, reduced: Reduced) -> Reduced:
        """What a reduction of `high` shows of `low`: without the margins, in which neighbouring crops mix."""
        if not self.margin:
            return reduced
        inside = slice(self.margin, -self.margin)
        crops = reduced.reshape(self.count, -1, *reduced.shape[1:])[:, inside, inside]
        return np.ascontiguousarray(crops.reshape(-1, *crops.shape[2:]))


def cut(low: Picture, high: Picture, scale: int, count: int) -> Crops:
    """Up to `count` crops of a pair, uint8 RGB (h, w, 3) and (scale * h, scale * w, 3).

    They lie where the high picture has most detail and begin at corners of the low picture's 16 x 16 blocks.
    """
    height, width = low.shape[:2]
    if height * width <= count * OUTER**2 or min(height, width) < MARGIN + OUTER:
        return Crops(low, high, 1, 0)
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(high, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    side = scale * OUTER
    starts = [range(MARGIN, side - OUTER + 1, INNER) for side in (height, width)]
    places = list(product(*starts))
    found = [detail[scale * y : scale * y + side, scale * x : scale * x + side].mean() for y, x in places]
    chosen = [places[index] for index in np.argsort(found)[::-1][:count]]
    begin, end = MARGIN, MARGIN + INNER
    inside = [low[y + begin : y + end, x + begin : x + end] for y, x in chosen]
    around = [high[scale * y : scale * y + side, scale * x : scale * x + side] for y, x in chosen]
    return Crops(np.concatenate(inside), np.concatenate(around), len(chosen), MARGIN)
