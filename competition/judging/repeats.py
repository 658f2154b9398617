"""Finds a part of a picture that stands a second time elsewhere in it, as when a tile was pasted twice."""

from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from competition.images import Bytes

# High pixels: side of the windows that are looked for, distance of the windows, side of the least tile that is found.
_WINDOW, _STEP = 8, 16  # the first a power of two
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_BITS = 22
_LEAST = 3  # windows in a row and in a column
# Levels between the darkest and the brightest value of a window with something in it.
_CONTRAST = 12
# Mean difference in 8-bit levels from which two parts of a low picture differ.
_DIFFERENT = 4.0

Hashes = npt.NDArray[np.uint64]


class Repeat(NamedTuple):
    """Two equal parts of a picture, in high pixels: (row, column) of the one, of the other, (height, width) of both."""

    first: tuple[int, int]
    second: tuple[int, int]
    size: tuple[int, int]


def repeated(picture: Bytes, low: Bytes, scale: int) -> Repeat | None:
    """The largest part of uint8 (scale*h, scale*w, 3) that is repeated where the low picture (h, w, 3) is not."""
    if min(picture.shape[:2]) < 2 * _WINDOW:
        return None
    hashes = _hashes(picture)
    anchors = _anchors(picture, hashes)
    moves = _moves(hashes, anchors)
    for move, count in Counter(moves.values()).most_common(8):
        if count < _LEAST**2:
            break
        found = _extent([at for at, by in moves.items() if by == move], move)
        if min(found.size) >= (_LEAST - 1) * _STEP and _apart(found) and _differs(low, found, scale):
            return found
    return None


def _hashes(picture: Bytes) -> Hashes:
    """A number for the window that begins at each pixel: equal windows have equal ones, others hardly ever.

    Polynomials modulo 2^64 in the pixels, along columns and then along rows; windows are joined two and two.
    """
    red, green, blue = (picture[..., channel].astype(np.uint64) for channel in range(3))
    values: Hashes = red | green << np.uint64(8) | blue << np.uint64(16)
    for factor in _FACTORS:
        step = 1
        while step < _WINDOW:
            values = values[:-step] * np.uint64(pow(factor, step, 2**64)) + values[step:]
            step *= 2
        values = values.T
    return values


def _anchors(picture: Bytes, hashes: Hashes) -> dict[int, tuple[int, int]]:
    """The windows of a coarse grid that hold something, by their numbers."""
    grey = picture[..., 1]
    kernel = np.ones((_WINDOW, _WINDOW), np.uint8)
    anchor = (0, 0)
    span = cv2.dilate(grey, kernel, anchor=anchor).astype(int) - cv2.erode(grey, kernel, anchor=anchor)
    rows, columns = (range(0, size, _STEP) for size in hashes.shape)
    return {
        int(hashes[row, column]): (row, column) for row in rows for column in columns if span[row, column] >= _CONTRAST
    }


def _moves(hashes: Hashes, anchors: dict[int, tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """For each anchor that stands elsewhere too, how far away: (down, right)."""
    if not anchors:
        return {}
    # A table of the last bits tells most windows apart before their whole numbers are looked for.
    known = np.array(sorted(anchors), np.uint64)
    last = np.uint64(2**_BITS - 1)
    table = np.zeros(2**_BITS, bool)
    table[known & last] = True
    rows, columns = np.nonzero(table[hashes & last])
    candidates = hashes[rows, columns]
    found = known[np.searchsorted(known, candidates).clip(0, len(known) - 1)] == candidates
    rows, columns = rows[found], columns[found]
    moves = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        at = anchors[int(hashes[row, column])]
        if (row, column) != at:
            moves[at] = (row - at[0], column - at[1])
    return moves


def _extent(places: list[tuple[int, int]], move: tuple[int, int]) -> Repeat:
    first, last = np.min(places, 0), np.max(places, 0)
    size = last - first + _WINDOW
    top, left = int(first[0]), int(first[1])
    return Repeat((top, left), (top + move[0], left + move[1]), (int(size[0]), int(size[1])))


def _apart(found: Repeat) -> bool:
    """Whether the two parts have no pixel in common: what equals itself a few pixels further is a drawn edge."""
    return any(abs(found.second[axis] - found.first[axis]) >= found.size[axis] for axis in (0, 1))


def _differs(low: Bytes, found: Repeat, scale: int) -> bool:
    parts = []
    for row, column in (found.first, found.second):
        top, left = row // scale, column // scale
        parts.append(low[top : top + found.size[0] // scale, left : left + found.size[1] // scale].astype(float))
    height, width = (min(part.shape[axis] for part in parts) for axis in (0, 1))
    return bool(np.abs(parts[0][:height, :width] - parts[1][:height, :width]).mean() > _DIFFERENT)
