"""Finds how the low picture of a pair was made from the high one."""

import numpy as np

from competition.config import Config
from competition.data.crops import Crops, cut
from competition.data.degrade import RESIZES, Degradation, Picture, jpeg, make_clean, round_half_up
from competition.data.evidence import CODED_ROUNDING, Coefficients
from competition.data.fits import Comparison, Fit, countable, refine, search
from competition.data.traces import SMALLEST, find_quality

CROPS = 8
# Fits that are refined again once the noise before a JPEG is known.
_REFINED_TWICE = 8
# Nats by which a way of reducing with more steps must fit better than a simpler one.
_SLACK = 12.0
# Sigma of luma where R, G and B have independent noise of sigma 1: sqrt(0.299² + 0.587² + 0.114²).
_LUMA_NOISE = 0.6684
# Noise below this many levels is not told from rounding (by MATLAB between its two passes too) and model errors.
_LEAST_NOISE, _LEAST_NOISE_CODED = 0.6, 1.2
# White noise measures up to 1.2 here, in photographs of 80 x 120 low pixels; what no known degradation made, over 1.35.
_UNEVEN = 1.3
_SILENT = 100.0


class Estimate(Config):
    """What was found about a pair."""

    degradation: Degradation
    """The best explanation."""
    explained: bool
    """Whether what it leaves of the low picture is nothing or white noise; if not, nothing known made the picture."""
    rms: float
    """Root mean square of what it leaves if noise is left out, in 8-bit levels of R, G and B."""
    psnr: float
    """The same as PSNR, in dB, at most 100."""
    runner_up: Degradation
    """The best explanation by another kind of reducing, without noise."""
    margin: float
    """Log likelihood, in nats, by which the pair prefers the best; negative where it is only the simpler one."""

    @property
    def kind(self) -> str:
        """The degradation's kind, or `unknown`."""
        return self.degradation.kind if self.explained else "unknown"


def estimate(low: Picture, high: Picture, scale: int = 4) -> Estimate:
    """Find the degradation of an aligned pair, uint8 RGB (h, w, 3) and (scale * h, scale * w, 3).

    The low picture's own coefficients tell the JPEG quality. Every way of reducing, with every median and a few blurs,
    is tried on the most detailed crops, the blur of the best is refined, and the simplest of the nearly likeliest is
    taken. What it leaves is noise if it is as strong in flat as in detailed places, in coarse as in fine frequencies.
    Raises ValueError for low pictures below 16 x 16 and for sizes that do not match.

    Not seen: filters both before and after the reduction, blurs of sigma below 0.35 or above 6, noise below 0.6 levels
    (1.2 before a JPEG), JPEG of quality 99 and 100. Noise before a JPEG is taken to be independent in R, G and B.
    """
    height, width = low.shape[:2]
    if min(height, width) < SMALLEST or high.shape != (scale * height, scale * width, 3):
        raise ValueError(f"expected at least 16x16 pixels and {scale} times as many, got {low.shape} and {high.shape}")
    crops, quality = cut(low, high, scale, CROPS), find_quality(low)
    comparison = Comparison(crops, scale, quality)
    fits = refine(comparison, search(comparison))
    if isinstance(comparison.evidence, Coefficients):
        sigma = comparison.evidence.noise(comparison.clean(min(fits, key=_loss).way)).sigma
        comparison.evidence.sigma = float(np.hypot(sigma, np.sqrt(CODED_ROUNDING)))
        fits = refine(comparison, sorted(fits, key=_loss)[:_REFINED_TWICE])
    best, runner_up = _choose(fits)
    noise = comparison.evidence.noise(comparison.clean(best.way))
    rms = _rms(crops, best.way, quality, scale)
    if quality is None:
        strength, least = float(np.sqrt(max(0.0, rms**2 - 1 / 12))), _LEAST_NOISE
    else:
        strength, least = noise.sigma / _LUMA_NOISE, _LEAST_NOISE_CODED
    noisy = rms > _LEAST_NOISE and strength > least
    found = {"noise": min(100.0, round(strength, 2)) if noisy else 0.0, "jpeg": quality}
    return Estimate(
        degradation=_rounded(best.way).model_copy(update=found),
        explained=not noisy or noise.unevenness < _UNEVEN,
        rms=rms,
        psnr=min(_SILENT, float(20 * np.log10(255 / max(rms, 1e-9)))),
        runner_up=_rounded(runner_up.way).model_copy(update={"jpeg": quality}),
        margin=runner_up.loss - best.loss,
    )


def _loss(fit: Fit) -> float:
    return fit.loss


def _choose(fits: list[Fit]) -> tuple[Fit, Fit]:
    """The simplest of the nearly likeliest, and the likeliest of another kind."""
    likeliest = min(fits, key=_loss)
    near = (fit for fit in fits if fit.loss < likeliest.loss + _SLACK)
    best = min(near, key=lambda fit: (fit.steps, round(fit.loss, 1), RESIZES.index(fit.way.resize)))
    return best, min((fit for fit in fits if fit.way.kind != best.way.kind), key=_loss)


def _rounded(way: Degradation) -> Degradation:
    return way.model_copy(update={"blur": round(way.blur, 2), "low_blur": round(way.low_blur, 2)})


def _rms(crops: Crops, degradation: Degradation, quality: int | None, scale: int) -> float:
    """What the degradation without noise leaves of the low crops, in levels."""
    clean = crops.trim(make_clean(crops.high, degradation, scale))
    made = clean if quality is None else jpeg(round_half_up(clean), quality)
    rest = (made - crops.low.astype(np.float32))[countable(crops, scale)]
    return float(np.sqrt(np.mean(rest**2)))
