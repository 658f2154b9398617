"""How well a low picture without noise explains the one that was found, with and without JPEG in between."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from competition.data.degrade import Field
from competition.data.traces import block_transform, blocks, luma_tables

Mask = npt.NDArray[np.bool_]
Surprise = Callable[[float], float]

# Variance of rounding, in square levels; of luma when R, G and B are rounded, (0.299² + 0.587² + 0.114²) / 12, and of
# luma that is then rounded for JPEG.
ROUNDING = 1 / 12
_LUMA_ROUNDING = 0.0373
CODED_ROUNDING = _LUMA_ROUNDING + ROUNDING
# What a single coefficient that nothing explains may cost.
_OUTLIER = 1e-5
# Blocks that are compared even if pixels of them are clipped.
_FEWEST = 24
# Nats by which a part must prefer a sigma of its own.
_CLEARLY = 30.0


class Noise(NamedTuple):
    """White noise: sigma in levels; and the largest ratio of sigma between parts of the picture.

    The parts are detailed and flat blocks, coarse and fine frequencies: near 1 for noise, larger for what is no noise.
    """

    sigma: float
    unevenness: float


class Evidence(Protocol):
    """A found low plane (h, w); every clean one compared with it has the same shape and is float32 in [0, 255]."""

    def loss(self, clean: Field) -> float:
        """Negative log likelihood, in nats, up to a constant."""

    def noise(self, clean: Field) -> Noise:
        """The noise that would lead from `clean` to the found picture."""


class Pixels:
    """Evidence of a picture that went through no JPEG.

    low: one channel (h, w); counted: the pixels to compare; detail: (h, w), how much there is to see around each.
    """

    def __init__(self, low: Field, counted: Mask, detail: Field) -> None:
        self._low, self._counted = low, counted
        self._chosen = _choose(counted)
        self._parts = _parts(detail, self._chosen)

    def loss(self, clean: Field) -> float:
        """With noise of any sigma, profiled out."""
        errors = (clean - self._low)[self._counted] ** 2
        return 0.5 * errors.size * float(np.log(errors.mean() + ROUNDING))

    def noise(self, clean: Field) -> Noise:
        squares = block_transform((clean - self._low) * self._counted)[self._chosen] ** 2

        def surprise(part: Mask) -> Surprise:
            count, mean = int(part.sum()), float(squares[part].mean())
            return lambda sigma: 0.5 * count * (2 * float(np.log(sigma)) + mean / sigma**2)

        return _compare([surprise(part) for part in self._parts], ROUNDING)


class Coefficients:
    """Evidence of a picture that went through JPEG of a known quality: its quantised luma coefficients.

    Arguments as for `Pixels`, but `low` is luma. `sigma` is the noise to reckon with before the JPEG, in levels of
    luma; without it a clean picture is judged by its distance to the coefficients' quantisation cells.
    """

    def __init__(self, low: Field, counted: Mask, detail: Field, quality: int) -> None:
        self._chosen = _choose(counted)
        self._parts = _parts(detail, self._chosen)
        self._steps = luma_tables()[quality - 1]
        self._levels = np.round(self._transform(low))
        self.sigma: float | None = None

    def loss(self, clean: Field) -> float:
        away = np.abs(self._transform(clean) - self._levels)
        if self.sigma is not None:
            return _surprise(away, self._steps, self.sigma)
        outside = (away - np.float32(0.5)).clip(0) * self._steps
        return 0.5 * int(outside.size) * float(np.log(np.mean(outside**2) + _LUMA_ROUNDING))

    def noise(self, clean: Field) -> Noise:
        away = np.abs(self._transform(clean) - self._levels)
        steps = np.broadcast_to(self._steps, away.shape)

        def surprise(part: Mask) -> Surprise:
            near, far = away[part], steps[part]
            return lambda sigma: _surprise(near, far, sigma)

        return _compare([surprise(part) for part in self._parts], CODED_ROUNDING)

    def _transform(self, plane: Field) -> Field:
        values: Field = block_transform(plane - 128)[self._chosen] / self._steps
        return values


def _choose(counted: Mask) -> Mask:
    """The blocks that count as a whole; where they are few, the _FEWEST that count most. Mask (blocks,)."""
    share = blocks(counted).mean((1, 2))
    least = np.sort(share)[-min(_FEWEST, len(share))]
    return np.asarray(share >= min(1.0, least))


def _parts(detail: Field, chosen: Mask) -> list[Mask]:
    """All, the flat, the detailed blocks, the coarse and the fine frequencies: masks (blocks, 8, 8)."""
    amount = blocks(detail).mean((1, 2))[chosen][:, None, None]
    flat, detailed = np.quantile(amount, (1 / 3, 2 / 3))
    order = np.add.outer(np.arange(8), np.arange(8))
    parts = (order >= 0, amount <= flat, amount >= detailed, order <= 3, order >= 8)
    return [np.broadcast_to(part, (len(amount), 8, 8)) for part in parts]


def _compare(surprises: list[Surprise], rounding: float) -> Noise:
    """The noise of the whole, which comes first, against that of the parts that clearly differ from it."""
    whole, *sigmas = (_most_likely(surprise) for surprise in surprises)
    telling = [s for s, of in zip(sigmas, surprises[1:], strict=True) if of(whole) - of(s) > _CLEARLY]
    unevenness = max(whole, *telling) / min(whole, *telling) if telling else 1.0
    return Noise(float(np.sqrt(max(0.0, whole**2 - rounding))), unevenness)


def _most_likely(surprise: Surprise) -> float:
    """The sigma under which the coefficients surprise least, 0.1 to 128 levels."""
    found = minimize_scalar(
        lambda exponent: surprise(2.0**exponent), bounds=(-3.3, 7), method="bounded", options={"xatol": 0.01}
    )
    return float(2.0**found.x)


def _surprise(away: Field, steps: Field, sigma: float) -> float:
    """Nats by which coefficients `away` cells from what was found surprise, under noise of sigma levels."""
    spread = np.float32(sigma) / steps
    chance = ndtr((0.5 - away) / spread) - ndtr((-0.5 - away) / spread)
    return -float(np.log(chance + _OUTLIER).sum())
