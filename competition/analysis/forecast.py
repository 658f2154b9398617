"""Where a validation curve is heading: a power law through its points, with an honest interval."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from competition.analysis.series import Series

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
# A law of three unknowns needs a point more to show how well it fits.
FEWEST = 4
# Exponents that are considered, equally likely on a logarithmic scale: from hardly bent to bent at once.
EXPONENTS = np.geomspace(0.05, 3, 161)
# Scores are logged with many digits, yet they say no more than this, in dB.
_PRECISION = 1e-4
# Exponents this much less likely than the best one are left out.
_NEGLIGIBLE = 1e-5


class Forecast(NamedTuple):
    """Scores to expect at `steps`, all (n,), in the unit of the series: median and interval of CONFIDENCE."""

    steps: Array
    median: Array
    low: Array
    high: Array


def forecast(series: Series, steps: Array) -> Forecast | None:
    """Expect score(step) = limit - amplitude * step**-exponent, as learning curves mostly run; None of too few points.

    Each exponent has a linear fit of the two other unknowns; its prediction of a new score, a Student t around the
    line, counts as much as the points make the exponent likely (flat priors for limit, amplitude and the logarithm of
    the noise). Hestness et al., "Deep learning scaling is predictable, empirically", 2017, for the law.
    """
    if len(series.steps) < FEWEST or np.any(series.steps <= 0):
        return None
    fits = [_fit(series, steps, exponent) for exponent in EXPONENTS]
    likely = np.array([fit.evidence for fit in fits])
    shares = np.exp(likely - likely.max())
    counted = shares > _NEGLIGIBLE
    shares = shares[counted] / shares[counted].sum()
    centres, spreads = (np.array([fit[part] for fit in fits])[counted] for part in (0, 1))
    ends = ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2)
    low, median, high = (_quantile(end, shares, centres, spreads, len(series.steps) - 2) for end in ends)
    return Forecast(steps, median, low, high)


class _Fit(NamedTuple):
    """One exponent's prediction: centre and spread at each step (n,), and the logarithm of how likely it is."""

    centre: Array
    spread: Array
    evidence: float


def _fit(series: Series, steps: Array, exponent: float) -> _Fit:
    """Least squares for the score at the last point and the gain since the first: the same for all exponents."""
    first, last = series.steps[0] ** -exponent, series.steps[-1] ** -exponent
    design, wanted = (
        np.stack([np.ones_like(at), (at**-exponent - last) / (first - last)], 1) for at in (series.steps, steps)
    )
    information = np.linalg.inv(design.T @ design)
    solution = information @ design.T @ series.values
    freedom = len(series.steps) - 2
    error = float(np.sum((series.values - design @ solution) ** 2)) + freedom * _PRECISION**2
    leverage = np.einsum("ij,jk,ik->i", wanted, information, wanted)
    spread = np.sqrt(error / freedom * (1 + leverage))
    evidence = 0.5 * float(np.linalg.slogdet(information)[1]) - freedom / 2 * np.log(error)
    return _Fit(wanted @ solution, spread, evidence)


def _quantile(share: float, shares: Array, centres: Array, spreads: Array, freedom: int) -> Array:
    """Of a mixture of Student t distributions, (exponents, n) to (n,), by halving an interval that holds it."""
    reach = special.stdtrit(freedom, 0.9999) * spreads
    low, high = (centres - reach).min(0), (centres + reach).max(0)
    for _ in range(40):
        middle = (low + high) / 2
        below = shares @ special.stdtr(freedom, (middle - centres) / spreads) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)
