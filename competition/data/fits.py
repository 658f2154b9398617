"""Tries ways of reducing on the crops of a pair, and refines the blur of those that fit best."""

from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from competition.data.crops import Crops
from competition.data.degrade import MEDIANS, RESIZES, Degradation, Field, Median, Resize, blur, filter_median, reduce
from competition.data.evidence import Coefficients, Evidence, Pixels
from competition.data.traces import luma

BLURS = (0.0, 0.6, 0.9, 1.2, 1.6, 2.0, 2.5, 3.2)
LEAST_BLUR, LARGEST_BLUR = 0.35, 4.0
# Pairs of resize and median that are refined beside the best pair of each resize.
_MORE_PAIRS = 3
# Low pixels at a picture's edge, where border conventions differ; levels next to 0 and 255, where noise is clipped.
_BORDER, _CLIPPED = 4, 16
# Share of the pixels below which clipped ones count too.
_FEW = 0.02


class Fit(NamedTuple):
    """A way of reducing and its negative log likelihood in nats."""

    resize: Resize
    median: Median
    blur: float
    loss: float

    @property
    def degradation(self) -> Degradation:
        return Degradation(resize=self.resize, median=self.median, blur=round(self.blur, 2))

    @property
    def steps(self) -> int:
        """Steps before the reduction."""
        return bool(self.median) + bool(self.blur)


class Comparison:
    """The crops of a pair in luma: makes clean low pictures of the high ones and judges them by the low ones.

    quality: of the JPEG that the low picture went through, or None.
    """

    def __init__(self, crops: Crops, scale: int, quality: int | None) -> None:
        self._crops, self._scale = crops, scale
        self._high = {median: luma(filter_median(crops.high, median)) for median in MEDIANS}
        low, counted = luma(crops.low), countable(crops, scale)
        detail = self.reduce(np.abs(cv2.Laplacian(self._high[0], cv2.CV_32F)).astype(np.float32), "area")
        self.evidence: Evidence = (
            Pixels(low, counted, detail) if quality is None else Coefficients(low, counted, detail, quality)
        )

    def blur(self, median: Median, sigma: float) -> Field:
        """The high crops, filtered and blurred."""
        return blur(self._high[median], sigma)

    def reduce(self, blurred: Field, resize: Resize) -> Field:
        return self._crops.trim(reduce(blurred, resize, self._scale))

    def clean(self, fit: Fit) -> Field:
        return self.reduce(self.blur(fit.median, fit.blur), fit.resize)

    def fit(self, resize: Resize, median: Median, sigma: float) -> Fit:
        clean = self.reduce(self.blur(median, sigma), resize)
        return Fit(resize, median, sigma, self.evidence.loss(clean))


def countable(crops: Crops, scale: int) -> npt.NDArray[np.bool_]:
    """Pixels (h, w) of the low crops that noise moves both ways and no border reaches; all where these are few."""
    bright = crops.trim(reduce(crops.high.astype(np.float32), "area", scale))
    inside = (crops.low > 0) & (crops.low < 255) & (bright >= _CLIPPED) & (bright <= 255 - _CLIPPED)
    counted = np.asarray(inside.all(-1))
    if not crops.margin:
        counted[:_BORDER] = counted[-_BORDER:] = False
        counted[:, :_BORDER] = counted[:, -_BORDER:] = False
    return counted if counted.mean() > _FEW else np.ones_like(counted)


def search(comparison: Comparison) -> list[Fit]:
    """Every way of reducing with every median and each blur of BLURS."""
    fits = []
    for median, sigma in product(MEDIANS, BLURS):
        blurred = comparison.blur(median, sigma)
        for resize in RESIZES:
            loss = comparison.evidence.loss(comparison.reduce(blurred, resize))
            fits.append(Fit(resize, median, sigma, loss))
    return fits


def refine(comparison: Comparison, fits: list[Fit]) -> list[Fit]:
    """The likely ways of reducing, each without blur and with its likeliest blur.

    Likely are the best pair of resize and median for each resize, as its blur may lie between those tried, and the
    best other pairs.
    """
    ranked = sorted(fits, key=lambda fit: fit.loss)
    pairs = {(fit.resize, fit.median): fit for fit in reversed(ranked)}
    firsts = {fit.resize: fit for fit in reversed(ranked)}.values()
    others = sorted(set(pairs.values()) - set(firsts), key=lambda fit: fit.loss)
    refined = []
    for fit in [*firsts, *others[:_MORE_PAIRS]]:
        refined += [comparison.fit(fit.resize, fit.median, 0.0), _with_likeliest_blur(comparison, fit)]
    return refined


def _with_likeliest_blur(comparison: Comparison, fit: Fit) -> Fit:
    """The same pair with its likeliest blur, which lies between the neighbours of this one in BLURS."""
    below = max((sigma for sigma in BLURS if sigma < fit.blur - 0.1), default=LEAST_BLUR)
    above = min((sigma for sigma in BLURS if sigma > fit.blur + 0.1), default=LARGEST_BLUR)
    found = minimize_scalar(
        lambda sigma: comparison.fit(fit.resize, fit.median, float(sigma)).loss,
        bounds=(max(below, LEAST_BLUR), above),
        method="bounded",
        options={"xatol": 0.01},
    )
    return comparison.fit(fit.resize, fit.median, float(found.x))
