"""Tries ways of reducing on the crops of a pair, and refines the blur of those that fit best."""

from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from competition.data.crops import Crops
from competition.data.degrade import (
    LOW_MEDIANS,
    LOW_WINDOWS,
    MEDIANS,
    RESIZES,
    Degradation,
    Field,
    blur,
    filter_median,
    make_clean,
    reduce,
)
from competition.data.evidence import Coefficients, Evidence, Pixels
from competition.data.traces import green, luma

BLURS = (0.0, 0.6, 0.9, 1.2, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0)
LOW_BLURS = (0.0, 0.5, 0.7, 0.9, 1.2, 1.5)
_SOME = 1.0
# The least and the largest blur that are looked for.
_RANGES = {"blur": (0.35, 6.0), "low_blur": (0.3, 5.0)}
# Families that are refined beside the best one of each resize.
_MORE_FAMILIES = 4
# Low pixels at a picture's edge, where border conventions differ; levels next to 0 and 255, where noise is clipped.
_BORDER, _CLIPPED = 4, 16
# Share of the pixels below which clipped ones count too.
_FEW = 0.02


class Fit(NamedTuple):
    """A way of reducing, a degradation without noise and JPEG, and its negative log likelihood in nats."""

    way: Degradation
    loss: float

    @property
    def steps(self) -> int:
        return len(self.way.kind.split("+"))

    @property
    def blurred(self) -> str:
        """The key of its blur: ways with a low blur have no other."""
        return "low_blur" if self.way.low_blur else "blur"

    @property
    def family(self) -> Degradation:
        """What remains of a way when its blur may change."""
        return self.way.model_copy(update={self.blurred: _SOME})


class Comparison:
    """The crops of a pair in luma: makes clean low pictures of the high ones and judges them by the low ones.

    quality: of the JPEG that the low picture went through, or None.
    """

    def __init__(self, crops: Crops, scale: int, quality: int | None) -> None:
        self._crops, self._scale = crops, scale
        # Without JPEG the green channel does, which medians treat as a picture of its own; JPEG quantises luma.
        self._plane = green if quality is None else luma
        self._high = {median: self._plane(filter_median(crops.high, median)) for median in MEDIANS}
        self._blurred: tuple[tuple[int, float], Field] = ((0, 0.0), self._high[0])
        low, counted = self._plane(crops.low), countable(crops, scale)
        edges = np.abs(cv2.Laplacian(self._high[0], cv2.CV_32F)).astype(np.float32)
        detail = crops.trim(reduce(edges, "area", scale))
        self.evidence: Evidence = (
            Pixels(low, counted, detail) if quality is None else Coefficients(low, counted, detail, quality)
        )

    def clean(self, way: Degradation) -> Field:
        """The low plane before noise and JPEG."""
        if way.low_median and self._plane is luma:
            return luma(self._crops.trim(make_clean(self._crops.high, way, self._scale)))
        key = (way.median, way.blur)
        if self._blurred[0] != key:
            self._blurred = (key, blur(self._high[way.median], way.blur))
        reduced = reduce(self._blurred[1], way.resize, self._scale)
        return self._crops.trim(blur(filter_median(reduced, way.low_median), way.low_blur, way.low_window))

    def fit(self, way: Degradation) -> Fit:
        return Fit(way, self.evidence.loss(self.clean(way)))


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
    """Every way of reducing with every median and each blur of BLURS, or with a median or a blur of the low picture."""
    before = product(MEDIANS, BLURS, RESIZES)
    ways = [Degradation(resize=resize, median=median, blur=sigma) for median, sigma, resize in before]
    ways += [Degradation(resize=resize, low_median=median) for median, resize in product(LOW_MEDIANS[1:], RESIZES)]
    after = product(LOW_WINDOWS, LOW_BLURS[1:], RESIZES)
    ways += [Degradation(resize=resize, low_blur=sigma, low_window=window) for window, sigma, resize in after]
    return [comparison.fit(way) for way in ways]


def refine(comparison: Comparison, fits: list[Fit]) -> list[Fit]:
    """The likely families of ways, each without blur and with its likeliest blur.

    Likely are the best family of each resize, as its blur may lie between those tried, and the best others.
    """
    ranked = sorted(fits, key=lambda fit: fit.loss)
    families = {fit.family: fit for fit in reversed(ranked)}.values()
    firsts = {fit.way.resize: fit for fit in reversed(ranked)}.values()
    others = sorted((fit for fit in families if fit not in firsts), key=lambda fit: fit.loss)
    refined = []
    for fit in [*firsts, *others[:_MORE_FAMILIES]]:
        sharp = fit.way.model_copy(update={fit.blurred: 0.0, "low_window": 0})
        refined += [comparison.fit(sharp), _with_likeliest_blur(comparison, fit)]
    return refined


def _with_likeliest_blur(comparison: Comparison, fit: Fit) -> Fit:
    """The same family with its likeliest blur, which lies between the neighbours of this one among those tried."""
    tried, (least, largest) = (BLURS if fit.blurred == "blur" else LOW_BLURS), _RANGES[fit.blurred]
    now = getattr(fit.way, fit.blurred)
    below = max((sigma for sigma in tried if sigma < now - 0.1), default=least)
    above = min((sigma for sigma in tried if sigma > now + 0.1), default=largest)

    def at(sigma: float) -> Fit:
        return comparison.fit(fit.way.model_copy(update={fit.blurred: float(sigma)}))

    found = minimize_scalar(
        lambda sigma: at(sigma).loss, bounds=(max(below, least), above), method="bounded", options={"xatol": 0.01}
    )
    return at(found.x)
