"""What scores on a few pictures say of the next ones: intervals, a sign test, chances, and the shake of two halves.

Contests have 18 test pictures or so, and pictures differ far more from one another than predictions do: differences
are therefore always taken picture by picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

# Pictures of the contest's test set, and how many of them the public score sees.
PICTURES, PUBLIC = 18, 9
CONFIDENCE = 0.95
DRAWS = 10_000


class Comparison(NamedTuple):
    """A against B on the same pictures, in dB."""

    mean: float
    """Mean of A minus B."""
    low: float
    high: float
    """Ends of its bootstrap interval of CONFIDENCE (BCa: Efron 1987)."""
    wins: int
    losses: int
    """Pictures on which A, or B, scores higher."""
    p_sign: float
    """Two-sided p value of the sign test: wins this uneven, were both as good."""
    p_again: float
    """Probability that A has the higher mean on other pictures of this kind."""

    def __str__(self) -> str:
        interval = f"{self.mean:+.4f} dB [{self.low:+.4f}, {self.high:+.4f}]"
        count = f"better on {self.wins}, worse on {self.losses} pictures (sign test p = {self.p_sign:.2g})"
        return f"{interval}, {count}; ahead on another {PICTURES} with probability {self.p_again:.2f}"


def compare(first: Sequence[float] | Array, second: Sequence[float] | Array, pictures: int = PICTURES) -> Comparison:
    """Scores of two predictions on the same pictures, in the same order; `pictures` is the size of the next test set.

    Of a single picture nothing but the difference is told: interval and chances are NaN. Raises ValueError for score
    lists of different lengths or none, and for scores that are not finite.
    """
    ours, theirs = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if ours.shape != theirs.shape or not ours.size or not np.isfinite([ours, theirs]).all():
        raise ValueError(f"{ours.size} and {theirs.size} scores are not finite scores of the same pictures")
    differences = ours - theirs
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    p_sign = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    low, high = interval(differences)
    return Comparison(float(differences.mean()), low, high, wins, losses, p_sign, p_again(differences, pictures))


def interval(values: Array) -> tuple[float, float]:
    """Bootstrap interval of the mean; NaN for a single value."""
    if len(values) == 1:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:  # the bootstrap knows no bias or skew then
        return float(values[0]), float(values[0])
    found = stats.bootstrap((values,), np.mean, n_resamples=DRAWS, confidence_level=CONFIDENCE, random_state=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def p_again(differences: Array, pictures: int = PICTURES) -> float:
    """Probability that the mean of `pictures` new differences is positive; NaN for a single difference.

    Of n normal differences with mean m and standard deviation s, the mean of the next k is m + s sqrt(1/n + 1/k) times
    a Student t of n - 1 degrees of freedom: unlike resampling this counts that m itself is uncertain.
    """
    count = len(differences)
    if count == 1:
        return float("nan")
    mean, spread = differences.mean(), differences.std(ddof=1) * np.sqrt(1 / count + 1 / pictures)
    if spread == 0:
        return float(np.heaviside(mean, 0.5))
    return float(stats.t.cdf(mean / spread, count - 1))


def expect(scores: Sequence[float] | Array, pictures: int = PICTURES) -> tuple[float, float, float]:
    """Mean score, and the ends of an interval that holds that of `pictures` others with probability CONFIDENCE.

    Raises ValueError for fewer than two scores, or scores that are not finite.
    """
    values = np.asarray(scores, np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} scores tell no interval: two finite ones or more do")
    half = values.std(ddof=1) * np.sqrt(1 / len(values) + 1 / pictures)
    half *= stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


class Shake(NamedTuple):
    """What a public score tells of the private one, over random test sets."""

    same_winner: float
    """Probability that the best on the public pictures is the best on the private ones."""
    regret: float
    """Mean dB lost on the private pictures by choosing on the public ones, against the best choice there."""
    spread: float
    """Standard deviation of a score's public minus its private value, in dB, mean over the predictions."""

    def __str__(self) -> str:
        return (
            f"public {PUBLIC} of {PICTURES}: its winner is the private winner with probability {self.same_winner:.2f}, "
            f"choosing by it costs {self.regret:.4f} dB; public and private scores lie {self.spread:.2f} dB apart"
        )


def shake(scores: Array, pictures: int = PICTURES, public: int = PUBLIC, seed: int = 0) -> Shake:
    """Simulate DRAWS test sets of `pictures` drawn from those scored, `public` of which are seen.

    scores: (predictions, pictures) in dB. Where as many are drawn as were scored, each is drawn once: the halves of
    the very test set; else with replacement. Equal predictions share a win. Raises ValueError unless
    0 < public < pictures.
    """
    if not 0 < public < pictures:
        raise ValueError(f"{public} public pictures of {pictures} leave nothing to compare")
    rng = np.random.default_rng(seed)
    count = scores.shape[1]
    if count == pictures:
        drawn = rng.permuted(np.tile(np.arange(count), (DRAWS, 1)), axis=1)
    else:
        drawn = rng.integers(count, size=(DRAWS, pictures))
    seen, hidden = (scores[:, part].mean(-1) for part in (drawn[:, :public], drawn[:, public:]))
    winners = seen == seen.max(0)
    chance = winners / winners.sum(0)
    same = (chance * (hidden == hidden.max(0))).sum(0)
    regret = hidden.max(0) - (chance * hidden).sum(0)
    return Shake(float(same.mean()), float(regret.mean()), float((seen - hidden).std(1).mean()))
