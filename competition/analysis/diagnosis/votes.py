"""What each member and each symmetry brings to the mean of them all, and how much of their error is variance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from competition import weighting
from competition.analysis.diagnosis.frames import about, frame, ratio
from competition.analysis.diagnosis.looking import Look
from competition.analysis.diagnosis.sources import Sources
from competition.geometry import SYMMETRIES
from competition.metrics import to_psnr

Array = npt.NDArray[np.float64]


def members(sources: Sources, looks: Sequence[Look]) -> pd.DataFrame:
    """The folders that vote together, judged on the pictures that all of them have."""
    grams = _grams(looks)
    if not len(grams):
        return frame("members")
    weights = weighting.convex(grams[:, None])[0]
    rows = []
    for number, folder in enumerate(sources.members):
        alone = grams[:, number, number]
        worth = about(worths(grams, number))
        rows.append(
            {
                **{"member": str(folder), "psnr": to_psnr(alone).mean(), "mse": alone.mean()},
                **{"weight": weights[number], "worth": worth["mean"], "low": worth["low"], "high": worth["high"]},
            }
        )
    return frame("members", rows)


def worths(grams: Array, number: int) -> Array:
    """PSNR of the plain mean of all members above that of all but one, (pictures,) in dB; NaN for a single member."""
    count = grams.shape[1]
    if count == 1:
        return np.full(len(grams), np.nan)
    every, others = np.full((1, count), 1 / count), np.full((1, count), 1 / (count - 1))
    others[0, number] = 0
    return weighting.psnr(grams[:, None], every) - weighting.psnr(grams[:, None], others)


def spread(looks: Sequence[Look]) -> pd.DataFrame:
    """How far the members share their errors.

    Were they drawn from one family of models, the mean of infinitely many would still have the bias; K of them have
    variance / K more (Geman, Bienenstock and Doursat, "Neural networks and the bias/variance dilemma", 1992).
    """
    grams = _grams(looks)
    count = grams.shape[1] if len(grams) else 0
    if count < 2:
        return frame("spread")
    plain = weighting.uniform(grams[:, None])
    together = weighting.errors(grams[:, None], plain).mean()
    variance = weighting.diversity(grams[:, None], plain).mean() * count / (count - 1)
    alone = together + variance * (count - 1) / count
    errors = np.array([alone, together, variance, alone - variance])
    quantities = ("mean member", "mean of members", "variance", "bias")
    return frame("spread", {"quantity": quantities, "squared_error": errors, "share": ratio(errors, alone)})


def symmetries(sources: Sources) -> pd.DataFrame:
    """What `infer` noted of them where it was given the truth."""
    noted = [scores for name in sources.names if _complete(scores := sources.record.get(name, {}).get("psnr"))]
    rows = []
    for symmetry in SYMMETRIES if noted else ():
        gains = np.array([scores["together"] - scores[symmetry] for scores in noted])
        gained = about(gains)
        rows.append(
            {
                **{"symmetry": symmetry, "psnr": np.mean([scores[symmetry] for scores in noted])},
                **{
                    "gain": gained["mean"],
                    "low": gained["low"],
                    "high": gained["high"],
                    "wins": int((gains > 0).sum()),
                },
            }
        )
    return frame("symmetries", rows)


def _complete(scores: Any) -> bool:
    wanted = (*SYMMETRIES, "together")
    return isinstance(scores, dict) and all(isinstance(scores.get(name), int | float) for name in wanted)


def _grams(looks: Sequence[Look]) -> Array:
    return np.array([one.grams for one in looks if one.grams is not None])
