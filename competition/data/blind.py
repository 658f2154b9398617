"""What a low picture tells of its making without the high one: JPEG, median filter, blur, repeated pixels, noise."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from competition.data.traces import SMALLEST, Plane, blocks, find_quality, green, luma

Picture = npt.NDArray[np.uint8]

# The limits were set on urban100 001-060 and bsd100 001-080, reduced in the ways of `competition.data.degrade`.
_TEXTURED = (
    12  # levels between darkest and brightest of 3 x 3 pixels; flat ground is equal to itself however it was made
)
_FEWEST_TEXTURED = 100
_MEDIAN_EQUAL, _MEDIAN_STREAK = 0.11, 1.2
_BLURRED = 0.002
_LONGEST_REPEAT = 8
# Mean absolute residual of the smoothest twentieth of blocks of white noise, over that of all blocks; simulated.
_SMOOTHEST = 0.75


class Look(NamedTuple):
    """What one picture shows; False and None also where it has too little texture to tell.

    jpeg: quality of the compression it went through as a whole. median: a median filter was its last step, or last but
    weak noise. blurred: it holds almost nothing at the finest detail, as after a Gaussian of 0.8 low pixels or more.
    repeat: side of the squares of equal pixels that an enlargement by nearest neighbour leaves, 1 for none.
    noise: sigma of green in 8-bit levels; in a picture without smooth ground, texture counts as noise.
    aliasing: power at the finest detail over that of middling detail. equal: share of neighbours in texture that are
    equal. streak: that share over the share of neighbours one level apart.
    """

    jpeg: int | None
    median: bool
    blurred: bool
    repeat: int
    noise: float
    aliasing: float | None
    equal: float | None
    streak: float | None

    @property
    def traces(self) -> list[str]:
        """In words: `median filter`, `JPEG 90`."""
        named = {
            f"pixels repeated {self.repeat} times": self.repeat > 1,
            "median filter": self.median,
            "blur": self.blurred,
            f"JPEG {self.jpeg}": self.jpeg,
        }
        return [words for words, found in named.items() if found]


def look(picture: Picture) -> Look:
    """Look at a uint8 RGB picture (H, W, 3) of SMALLEST x SMALLEST pixels or more.

    Raises ValueError for a smaller one.
    """
    if min(picture.shape[:2]) < SMALLEST:
        raise ValueError(f"expected {SMALLEST} x {SMALLEST} pixels or more, got {picture.shape[:2]}")
    plane = luma(picture)
    repeat, aliasing = find_repeat(plane), measure_aliasing(plane)
    equal, streak = measure_streaks(picture) or (None, None)
    # Squares of equal pixels are equal to their neighbours without any filter.
    median = repeat == 1 and (equal or 0) > _MEDIAN_EQUAL and (streak or 0) > _MEDIAN_STREAK
    return Look(
        jpeg=find_quality(picture),
        median=median,
        blurred=aliasing is not None and aliasing < _BLURRED,
        repeat=repeat,
        noise=measure_noise(green(picture)),
        aliasing=aliasing,
        equal=equal,
        streak=streak,
    )


def measure_noise(plane: Plane) -> float:
    """Sigma of white noise in 8-bit levels (Immerkær, 1996), on the smoothest twentieth of the 8 x 8 blocks."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    residual = np.asarray(np.abs(cv2.filter2D(plane, -1, mask))[1:-1, 1:-1])
    smoothest = np.percentile(blocks(residual).mean((1, 2)), 5)
    return float(np.sqrt(np.pi / 2) / 6 * smoothest / _SMOOTHEST)


def measure_aliasing(plane: Plane) -> float | None:
    """Mean power at 0.42 to 0.5 cycles a pixel, along rows or columns, over that at 0.12 to 0.2; None for no detail."""
    window = np.outer(*(np.hanning(side) for side in plane.shape))
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2
    down, right = np.abs(np.fft.fftfreq(plane.shape[0]))[:, None], np.fft.rfftfreq(plane.shape[1])[None]
    frequency = np.maximum(down, right)
    middle = power[(frequency > 0.12) & (frequency < 0.2)].mean()
    return float(power[frequency > 0.42].mean() / middle) if middle > 1 else None


def measure_streaks(picture: Picture) -> tuple[float, float] | None:
    """Share of equal horizontal neighbours in texture, and that over the share one level apart; None without texture.

    A median filter makes neighbours equal that no linear filter would (Kirchner and Fridrich, 2010; Cao et al., 2010).
    """
    plane, square = np.ascontiguousarray(picture[..., 1]), np.ones((3, 3), np.uint8)
    textured = cv2.subtract(cv2.dilate(plane, square), cv2.erode(plane, square))[:, 1:] > _TEXTURED
    steps = np.abs(np.diff(green(picture), axis=1))[textured]
    if steps.size < _FEWEST_TEXTURED:
        return None
    equal, near = float((steps == 0).mean()), float((steps == 1).mean())
    return equal, equal / max(near, 1 / steps.size)


def find_repeat(plane: Plane) -> int:
    """Side of the squares of equal pixels the picture is made of, at most 8; 1 where there are none."""
    steps = [np.abs(np.diff(plane, axis=axis)).mean(1 - axis) for axis in (0, 1)]
    for side in range(_LONGEST_REPEAT, 1, -1):
        if all(_only_every(side, along) for along in steps):
            return side
    return 1


def _only_every(side: int, steps: Plane) -> bool:
    """Whether neighbouring rows (or columns) differ only at the borders of squares, wherever the first one ends."""
    lines = steps[: steps.size // side * side].reshape(-1, side).mean(0)
    return bool(lines.max() > 0 and np.sort(lines)[-2] == 0)
