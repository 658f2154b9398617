"""Faults of a pair that only its pixels show: two scenes, a shift, a turn, swapped colours, a mere enlargement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from competition.data.registration import Planes, Shift, find_shift, photometry, smooth_planes, thumbnail
from competition.errors import Fault
from competition.images import Bytes

# Pairs smaller than this, in low pixels, show too little to be judged.
SMALLEST = 8
# Low pixels of shift at which a pair is refused: half a pixel less its error. Blurring and taking every fourth pixel
# shifts by 0.375, which is a convention, not a fault; with `scale` growing it comes near a half.
REFUSED_SHIFT = 0.45
# Correlation of structures of about 10 low pixels: over 0.91 in honest pairs (noise of 30 levels and a blur of 3 pixels
# included), under 0.19 in 379 pairs of different photographs. Pictures that differ less than VISIBLE (rms) may be flat.
SAME_SCENE = 0.5
VISIBLE = 10.0
# A turned or recoloured thumbnail must explain this much of what the plain one leaves unexplained.
EXPLAINED = 0.75
SAME_PICTURE = 0.6
# What a high picture shows beyond its low one, as a share of what the low one shows beyond its own half: over 0.37 in
# photographs, over 0.033 in photographs out of focus, under 0.029 in enlargements by five methods.
ENLARGED = 0.03
ENLARGEMENTS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
ENLARGED_WINDOW = 128
# Gain and offset (8-bit levels, at mid-grey) between which brightness counts as kept.
GAINS = (0.5, 2.0)
OFFSET = 40.0

Plane = npt.NDArray[np.float32]


class Subject(NamedTuple):
    """One pair under judgement: names for messages, uint8 RGB pixels (h, w, 3) and (scale*h, scale*w, 3)."""

    low_name: str
    high_name: str
    low: Bytes
    high: Bytes
    scale: int


def content_faults(low_name: str | Path, high_name: str | Path, low: Bytes, high: Bytes, scale: int) -> list[Fault]:
    """What makes a pair's content unusable; empty for an honest pair, however blurred, noisy or compressed.

    Kinds: "constant", "turned", "channels swapped", "other scene", "shifted", "brightness", "enlarged". The first that
    applies is given, because it explains the later ones; "constant" may come twice, once for each picture.
    """
    subject = Subject(str(low_name), str(high_name), low, high, scale)
    checks: tuple[Callable[[Subject], list[Fault]], ...] = (_constant, _disguised, _displaced, _brightness, _enlarged)
    for check in checks:
        if faults := check(subject):
            return faults
    return []


def _constant(pair: Subject) -> list[Fault]:
    return [
        Fault("constant", name, f"is all one colour, {tuple(picture[0, 0].tolist())}", "Replace it by the real picture")
        for name, picture in ((pair.low_name, pair.low), (pair.high_name, pair.high))
        if (picture == picture[0, 0]).all()
    ]


# ---- turned or recoloured -------------------------------------------------------------------------------------------


def _disguised(pair: Subject) -> list[Fault]:
    """Finds the one of eight symmetries and two channel orders under which thumbnails agree best."""
    low, high = thumbnail(pair.low, 32), thumbnail(pair.high, 32)
    if low.shape != high.shape or min(low.shape[:2]) < SMALLEST:
        return []
    square = pair.low.shape[0] == pair.low.shape[1]
    fits = {
        (name, order): _correlation(low, turned[..., :: -1 if order == "BGR" else 1])
        for name, turned in _symmetries(high, square).items()
        for order in ("RGB", "BGR")
    }
    plain, (name, order) = fits["", "RGB"], max(fits, key=lambda key: fits[key])
    explained = 1 - fits[name, order] < (1 - EXPLAINED) * (1 - plain)
    if not explained or fits[name, order] < SAME_PICTURE or _difference(low, high) < 1:
        return []
    if name:
        return [Fault("turned", pair.low_name, f"is {pair.high_name} {name}", "Turn it back or remove the pair")]
    cause = f"has red and blue swapped against {pair.high_name}"
    return [Fault("channels swapped", pair.low_name, cause, "Swap them back in one of the two")]


def _symmetries(picture: Plane, square: bool) -> dict[str, Plane]:
    """The picture turned and mirrored, by the words for it; quarter turns only where the size allows them."""
    turns = {"": 0, "turned by 180 degrees": 2} | ({"turned left": 1, "turned right": 3} if square else {})
    turned = {words: np.rot90(picture, quarters) for words, quarters in turns.items()}
    mirrored = {"mirrored left to right": picture[:, ::-1], "mirrored top to bottom": picture[::-1]}
    diagonals = {
        "mirrored at a diagonal": picture.swapaxes(0, 1),
        "mirrored at the other diagonal": np.rot90(picture, 2).swapaxes(0, 1),
    }
    return turned | mirrored | (diagonals if square else {})


# ---- displaced ------------------------------------------------------------------------------------------------------


def _displaced(pair: Subject) -> list[Fault]:
    if min(pair.low.shape[:2]) < SMALLEST:
        return []
    planes = smooth_planes(pair.low, pair.high, pair.scale)
    shift = find_shift(planes).shift
    difference, likeness = _structure(planes, shift)
    if likeness < SAME_SCENE and difference > VISIBLE**2:
        cause = f"shows another scene than {pair.high_name}"
        return [Fault("other scene", pair.low_name, cause, "Replace one of the two")]
    allowed = max(REFUSED_SHIFT, (pair.scale - 1) / (2 * pair.scale) + 0.05)
    # Comparisons with NaN, an unknown shift, are false.
    if likeness >= SAME_SCENE and np.abs(shift).max() >= allowed and not _sampled(pair, shift):
        down, right = (round(by, 1) + 0.0 for by in shift)
        cause = f"shifted by about ({down}, {right}) low pixels down and right against {pair.high_name}"
        return [Fault("shifted", pair.low_name, cause, "Align or remove the pair")]
    return []


def _sampled(pair: Subject, shift: Shift) -> bool:
    """Whether single high pixels explain the low picture better than means of the shifted high picture do.

    Aliasing of fine stripes makes such honest pictures look shifted by up to 0.51 low pixels.
    """
    scale, (down, right) = pair.scale, shift
    size = (pair.high.shape[1], pair.high.shape[0])
    warp = np.array([[1, 0, right * scale], [0, 1, down * scale]], np.float64)
    moved = cv2.warpAffine(pair.high, warp, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    means = cv2.resize(moved, pair.low.shape[1::-1], interpolation=cv2.INTER_AREA)
    samples = (pair.high[first::scale, first::scale] for first in range(scale))
    low = pair.low.astype(np.float32)
    return min(_difference(low, sample) for sample in samples) < _difference(low, means)


def _structure(planes: Planes, shift: Shift) -> tuple[float, float]:
    """Mean squared difference of the pictures without fine detail, and the correlation of their structures."""
    down, right = (0 if np.isnan(by) else round(by) for by in shift)
    height, width = planes.low.shape
    reduced = _resize(planes.fine, (width, height), cv2.INTER_AREA)
    first = _smooth(planes.low, 1.5)[_from(down), _from(right)]
    second = _smooth(reduced, 1.5)[_from(-down), _from(-right)]
    return _difference(first, second), _correlation(first - _smooth(first, 6), second - _smooth(second, 6))


def _from(shift: int) -> slice:
    """What a picture moved by `shift` has in common with one that was not."""
    return slice(max(shift, 0), min(shift, 0) or None)


# ---- brightness and detail ------------------------------------------------------------------------------------------


def _brightness(pair: Subject) -> list[Fault]:
    reduced = cv2.resize(pair.high, pair.low.shape[1::-1], interpolation=cv2.INTER_AREA)
    gains, offsets = photometry(pair.low, np.asarray(reduced, np.uint8))
    moved = [gain * 128 + offset - 128 for gain, offset in zip(gains, offsets, strict=True)]
    if all(GAINS[0] <= gain <= GAINS[1] for gain in gains) and max(map(abs, moved)) <= OFFSET:
        return []
    contrast = ", ".join(f"{gain:.2f}" for gain in gains)
    levels = ", ".join(f"{level:+.0f}" for level in moved)
    cause = (
        f"differs in brightness from {pair.high_name}: contrast times {contrast}, mid-grey {levels} levels (R, G, B)"
    )
    return [Fault("brightness", pair.low_name, cause, "Undo the change or remove the pair")]


def _enlarged(pair: Subject) -> list[Fault]:
    """Compares the middle of the high picture with the enlarged low one, by the usual methods."""
    height, width = pair.low.shape[:2]
    if pair.scale == 1 or min(height, width) < SMALLEST:
        return []
    rows, columns = (_middle(size, ENLARGED_WINDOW) for size in (height, width))
    low = _grey(pair.low[rows, columns])
    high = _grey(pair.high[_times(rows, pair.scale), _times(columns, pair.scale)])
    size, half = (low.shape[1], low.shape[0]), (low.shape[1] // 2, low.shape[0] // 2)
    beyond_half = _difference(_resize(_resize(low, half, cv2.INTER_AREA), size, cv2.INTER_CUBIC), low)
    inner = (slice(pair.scale, -pair.scale),) * 2  # what lies outside the window would count near its border
    for method in ENLARGEMENTS:
        enlarged = _resize(low, (high.shape[1], high.shape[0]), method)
        if _difference(enlarged[inner], high[inner]) < ENLARGED * beyond_half:
            cause = f"is only an enlargement of {pair.low_name}"
            return [Fault("enlarged", pair.high_name, cause, "Replace it by the real high picture")]
    return []


# ---- planes ---------------------------------------------------------------------------------------------------------


def _middle(size: int, most: int) -> slice:
    start = max(0, (size - most) // 2)
    return slice(start, min(size, start + most))


def _times(cut: slice, scale: int) -> slice:
    return slice(cut.start * scale, cut.stop * scale)


def _grey(picture: Bytes) -> Plane:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY), np.float32)


def _resize(plane: Plane, size: tuple[int, int], method: int) -> Plane:
    """To (width, height)."""
    return np.asarray(cv2.resize(plane, size, interpolation=method), np.float32)


def _smooth(plane: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _difference(first: Plane, second: npt.NDArray[Any]) -> float:
    """Mean squared difference."""
    return float(np.mean((first - second) ** 2))


def _correlation(first: Plane, second: Plane) -> float:
    """Pearson's correlation; 0 for a flat picture."""
    first, second = first - first.mean(), second - second.mean()
    spread = float(np.sqrt(np.mean(first**2) * np.mean(second**2)))
    return float(np.mean(first * second)) / spread if spread else 0.0
