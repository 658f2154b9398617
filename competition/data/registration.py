"""How a low picture lies against its high one: sub-pixel shift, brightness and likeness of one pair."""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from competition.images import Bytes

GRID = 4
# Low pixels at the border that are not compared: smoothing and the resize conventions differ there.
MARGIN = 4
# A shift is only told where its standard error is below this, in low pixels.
UNSURE = 0.1
# Shifts closer than this, in low pixels, count as equal: aliasing and median filters move honest photographs by up to
# 0.096 (175 photographs, nearest sampling at every offset with and without noise, median of 7x7 pixels).
TOLERANCE = 0.1

Plane = npt.NDArray[np.float32]
Shift = tuple[float, float]
Verdict = Literal["aligned", "sampled off centre", "shifted", "unsure"]


class Registration(NamedTuple):
    """A pair's alignment. Shifts are (down, right) in low pixels and NaN where nothing can be told.

    A positive shift says that the low picture shows a thing further down or right than its high picture does, where
    low pixel i is meant to cover high pixels scale*i to scale*i + scale - 1. In high pixels it is `scale` times that.
    """

    shift: Shift
    error: float
    """Standard error of `shift`, in low pixels; NaN with it."""
    likeness: float
    """Correlation of the luma of both pictures, aligned and slightly smoothed, in [-1, 1]; 0 when nothing was found."""
    tiles: tuple[tuple[Shift, ...], ...]
    """The shift in each cell of a GRID x GRID grid, rows from the top."""
    gain: tuple[float, float, float]
    """low = gain * reduced high + offset, per channel, in 8-bit levels."""
    offset: tuple[float, float, float]
    psnr: float
    """PSNR in dB of the area-reduced high picture against the low one, RGB, whole frame, peak 255."""


class Found(NamedTuple):
    """The first three fields of `Registration`."""

    shift: Shift
    error: float
    likeness: float


NOTHING = Found((np.nan, np.nan), np.nan, 0.0)


class Planes(NamedTuple):
    """Smoothed luma of a pair, float32; `fine` has `factor` times the rows and columns of `low`."""

    low: Plane
    fine: Plane
    factor: int


def register(low: Bytes, high: Bytes, scale: int) -> Registration:
    """Register uint8 RGB (h, w, 3) against (scale*h, scale*w, 3).

    The shift is OpenCV's: phase correlation (Kuglin and Hines 1975) finds whole pixels, maximisation of the enhanced
    correlation coefficient (Evangelidis and Psarakis 2008) the fraction. Phase correlation alone errs by up to 0.1 low
    pixels on photographs, because of aliasing and of what enters at the borders; both ignore brightness.
    """
    planes = smooth_planes(low, high, scale)
    found = find_shift(planes)
    reduced = _area(high, low.shape[1], low.shape[0])
    gain, offset = photometry(low, reduced)
    return Registration(*found, _tile_shifts(planes, found.shift), gain, offset, float(cv2.PSNR(low, reduced)))


def verdict(shift: Shift, error: float, scale: int) -> Verdict:
    """What a shift means: `sampled off centre` is one that taking every scale-th pixel makes.

    Sampling high pixels scale*i + k, after whatever blur, moves a picture by (scale-1)/2 - k high pixels down and
    right; that is a convention of reduction, and no fault of a pair, though all pairs of a set should share it.
    """
    if np.isnan(error):
        return "unsure"
    tolerance = TOLERANCE + error
    conventions = ((scale - 1) / 2 - k for k in range(scale))
    if np.abs(shift).max() <= tolerance:
        return "aligned"
    if any(np.abs(np.subtract(shift, high_pixels / scale)).max() <= tolerance for high_pixels in conventions):
        return "sampled off centre"
    return "shifted"


# ---- shift ----------------------------------------------------------------------------------------------------------


def smooth_planes(low: Bytes, high: Bytes, scale: int) -> Planes:
    """Luma of both pictures without the finest detail, which degradations alias, blur or drown in noise."""
    factor = min(scale, 2)  # twice as fine is enough to interpolate in, and four times faster than the whole picture
    fine = _area(high, low.shape[1] * factor, low.shape[0] * factor)
    return Planes(_luma(low, 0.7), _luma(fine, 0.7 * factor), factor)


def find_shift(planes: Planes) -> Found:
    """The shift as in `Registration`; NaN where the picture is too flat or too noisy."""
    height, width = planes.low.shape
    if min(height, width) < 2 * MARGIN + 8:
        return NOTHING
    reduced = cv2.resize(planes.fine, (width, height), interpolation=cv2.INTER_AREA)
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    # A copy, because OpenCV multiplies what it is given by the window when no padding is needed.
    (right, down), _ = cv2.phaseCorrelate(reduced, planes.low.copy(), window)
    starts = {(0, 0), (round(down), round(right))}
    found = [_refine(planes, _overlap(planes.low, start), start) for start in sorted(starts)]
    return max(found, key=lambda result: result.likeness)


def _overlap(low: Plane, start: tuple[int, int]) -> tuple[slice, slice]:
    """The low pixels that both pictures show, without a margin, when one is moved by `start`."""
    rows, columns = (
        slice(MARGIN + max(by, 0), size - MARGIN + min(by, 0)) for size, by in zip(low.shape, start, strict=True)
    )
    return rows, columns


def _tile_shifts(planes: Planes, start: Shift) -> tuple[tuple[Shift, ...], ...]:
    rows, columns = (np.linspace(MARGIN, size - MARGIN, GRID + 1).astype(int) for size in planes.low.shape)
    whole = (0, 0) if np.isnan(start).any() else (round(start[0]), round(start[1]))

    def shift(row: int, column: int) -> Shift:
        return _refine(planes, (slice(*rows[row : row + 2]), slice(*columns[column : column + 2])), whole).shift

    return tuple(tuple(shift(row, column) for column in range(GRID)) for row in range(GRID))


def _refine(planes: Planes, window: tuple[slice, slice], start: tuple[int, int]) -> Found:
    """Shift of the low pixels in `window`, searched around a whole shift."""
    low = planes.low[window]
    fine, origin = _surroundings(planes, window, start)
    if min(low.shape) < 8 or min(fine.shape) < 8 * planes.factor:
        return NOTHING
    # The map from low pixels to fine ones: their centres coincide when nothing is shifted.
    centre = (planes.factor - 1) / 2
    corner = [planes.factor * (window[i].start - start[i]) + centre - origin[i] for i in (1, 0)]
    warp = np.array([[planes.factor, 0, corner[0]], [0, planes.factor, corner[1]]], np.float32)
    everywhere = np.full(fine.shape, 255, np.uint8)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-6)
    try:
        likeness, found = cv2.findTransformECC(low, fine, warp, cv2.MOTION_TRANSLATION, criteria, everywhere, 1)
    except cv2.error:  # what OpenCV says of a constant picture and of one that does not converge
        return NOTHING
    error = _standard_error(likeness, fine, planes.factor, low.size)
    if not error <= UNSURE:
        return NOTHING
    moved = [start[i] - float(found[1 - i, 2] - corner[1 - i]) / planes.factor for i in (0, 1)]
    return Found((moved[0], moved[1]), error, likeness)


def _surroundings(planes: Planes, window: tuple[slice, slice], start: tuple[int, int]) -> tuple[Plane, tuple[int, int]]:
    """The fine pixels of a window and of MARGIN low pixels around it, and where they begin."""
    ends = [
        (max(cut.start - by - MARGIN, 0) * planes.factor, max(cut.stop - by + MARGIN, 0) * planes.factor)
        for cut, by in zip(window, start, strict=True)
    ]
    return planes.fine[slice(*ends[0]), slice(*ends[1])], (ends[0][0], ends[1][0])


def _standard_error(likeness: float, fine: Plane, factor: int, pixels: int) -> float:
    """The Cramér-Rao bound of a shift between two pictures that correlate by `likeness`, in low pixels.

    What does not correlate counts as noise, of which smoothing leaves one independent value in six pixels; the slope
    is that across the weakest direction, so that a lone straight edge tells nothing.
    """
    down, right = (cv2.Sobel(fine, cv2.CV_32F, *order, scale=factor / 8) for order in ((0, 1), (1, 0)))
    tensor = np.array([[np.mean(down**2), np.mean(down * right)], [np.mean(down * right), np.mean(right**2)]])
    slope = float(np.linalg.eigvalsh(tensor)[0])
    if likeness <= 0 or slope <= 0:
        return np.inf
    noise = (1 - min(likeness, 1) ** 2) / likeness**2 * float(np.var(fine)) + 1e-2
    return float(np.sqrt(6 * noise / (pixels * slope)))


# ---- brightness -----------------------------------------------------------------------------------------------------


def photometry(low: Bytes, reduced: Bytes) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Gain and offset per channel of low = gain * reduced + offset, uint8 (h, w, 3) both, by robust least squares.

    A channel without contrast has gain 1.
    """
    first, second = (thumbnail(picture, 32).reshape(-1, 3) for picture in (reduced, low))
    fits = [_line(first[:, channel], second[:, channel]) for channel in range(3)]
    gains, offsets = zip(*fits, strict=True)
    return gains, offsets


def thumbnail(picture: Bytes, side: int) -> npt.NDArray[np.float32]:
    """Area-reduced float32 (h, w, 3) of a uint8 picture, both sides at most `side`, values in [0, 255]."""
    height, width = picture.shape[:2]
    return _area(picture, min(width, side), min(height, side)).astype(np.float32)


def _line(x: Plane, y: Plane) -> tuple[float, float]:
    centre = float(np.median(x))
    if x.std() < 1:
        return 1.0, float(np.median(y)) - centre

    def misfit(line: Any) -> Any:
        return line[0] * (x - centre) + line[1] - y

    gain, middle = least_squares(misfit, [1.0, float(np.median(y))], loss="soft_l1", f_scale=2.0).x
    return float(gain), float(middle - gain * centre)


def _luma(picture: Bytes, sigma: float) -> Plane:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _area(picture: Bytes, width: int, height: int) -> Bytes:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
