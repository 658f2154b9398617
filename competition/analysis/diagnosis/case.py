"""All that a verdict rests on, and when a mean over the pictures is sure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from competition.analysis.diagnosis.budget import FIXES
from competition.analysis.diagnosis.frames import ratio
from competition.analysis.diagnosis.looking import Look
from competition.statistics import interval

Array = npt.NDArray[np.float64]

# Pictures that an interval asks for, and the share of them that must agree with their mean.
FEWEST, MOST = 3, 0.8


class Sentence(NamedTuple):
    """Something the numbers say, and what had to hold for it to be said."""

    about: str
    sentence: str
    rule: str


class Case(NamedTuple):
    """All that a verdict rests on."""

    looks: Sequence[Look]
    tables: Mapping[str, pd.DataFrame]

    def parts(self, fix: str) -> Array:
        """What a fix took off the squared error of each picture, in its turn."""
        return np.array([one.budget.parts[FIXES.index(fix)] for one in self.looks])

    def alone(self, fix: str) -> Array:
        """What a fix alone takes off the squared error of each picture."""
        return np.array([one.budget.alone[FIXES.index(fix)] for one in self.looks])

    @property
    def whole(self) -> Array:
        """The squared error of each picture."""
        return np.array([one.budget.mse for one in self.looks])

    def share(self, *fixes: str) -> float:
        """Share of all squared error that fixes take off in their turns."""
        return float(ratio(np.sum([self.parts(fix) for fix in fixes]), self.whole.sum()))

    def gain(self, fix: str) -> str:
        """What a fix alone would bring, in words."""
        row = self.tables["budget"].set_index("fix").loc[fix]
        return f"{row['gain']:+.2f} dB"

    def saved(self, fix: str) -> Array:
        """Share of each picture's squared error that a fix takes off in its turn."""
        return np.nan_to_num(ratio(self.parts(fix), self.whole))


def surely(values: Array, least: float, above: bool = False) -> bool:
    """Whether the mean is at least that far from 0 with an interval without 0; `above`, with one above `least`."""
    known = values[np.isfinite(values)]
    if len(known) < FEWEST or abs(known.mean()) < least:
        return False
    if above and (known > 0).mean() < MOST:
        return False
    low, high = interval(known)
    return low > least if above else low * high > 0
