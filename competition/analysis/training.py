"""What a run's log tells of its training: what each halving of the rate brought, the gap, where time went."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from competition.analysis.forecast import Forecast, forecast
from competition.analysis.series import History, Series, Values

_STAGES = ["lr", "first", "last", "validations", "psnr", "gain", "gain_per_1000", "expected", "low", "high"]
_TIME = ["on", "seconds", "share"]


# ---- stages of the learning rate ------------------------------------------------------------------------------------


def stages(history: History) -> pd.DataFrame:
    """One row for each learning rate that the run has held, in the order of the steps.

    lr; first, last (logged optimiser steps after which and until which it held); validations; psnr (best up to its
    end, dB); gain (dB over the best before it; in the first stage over its first validation); gain_per_1000 (dB in
    1,000 steps). expected, low, high: where the validations of the stage before, going on at their rate, would have
    come by the end, with the interval of `forecast` (NaN of too few). Empty where no rate was logged, and for a rate
    that changes at every step.
    """
    rate, score = history.series.get("lr"), history.series.get("psnr")
    bounds = _constant(rate) if rate else []
    if not rate or not score or len(bounds) > max(1, len(rate.steps) // 3):
        return pd.DataFrame(columns=_STAGES)
    rows, before = [], Series(np.empty(0), np.empty(0))
    for first, last in bounds:
        held = within(score, before.steps[-1] if len(before.steps) else 0.0, rate.steps[last])
        begun = rate.steps[first - 1] if first else 0.0
        rows.append({"lr": rate.values[last], **_stage(score, before, held, begun, rate.steps[last])})
        before = held if len(held.steps) else before
    return pd.DataFrame(rows, columns=_STAGES)


def within(series: Series, after: float, until: float) -> Series:
    """The points of a series at steps > `after` and <= `until`."""
    chosen = (series.steps > after) & (series.steps <= until)
    return Series(series.steps[chosen], series.values[chosen])


def _constant(rate: Series) -> list[tuple[int, int]]:
    """First and last index of every stretch of one rate."""
    changes = np.flatnonzero(~np.isclose(rate.values[1:], rate.values[:-1], rtol=1e-6, atol=0))
    return list(zip([0, *(changes + 1)], [*changes, len(rate.values) - 1], strict=True))


def _stage(score: Series, before: Series, held: Series, first: float, last: float) -> dict[str, float]:
    row = {"first": first, "last": last, "validations": len(held.steps)}
    if not len(held.steps):
        return row
    earlier = score.values[score.steps < held.steps[0]]
    start = earlier.max() if len(earlier) else held.values[0]
    row |= {"psnr": max(held.values.max(), start), "gain": held.values.max() - start}
    row["gain_per_1000"] = row["gain"] / (held.steps[-1] - (before.steps[-1] if len(before.steps) else 0)) * 1000
    if without := forecast(before, held.steps[-1:]):
        row |= {"expected": without.median[0], "low": without.low[0], "high": without.high[0]}
    return row


def heading(history: History) -> tuple[Series, Forecast] | None:
    """The validations at the rate that the run holds now, all of them where these are too few, and what twice the steps
    so far would bring at that rate; None where too few validations tell nothing."""
    score = history.series.get("psnr")
    if not score:
        return None
    last = score.steps[-1]
    table = stages(history)
    now = within(score, float(table["first"].iloc[-1]), last) if len(table) else score
    for points in (now, score):
        steps = np.linspace(last, 2 * last, 50)
        if expected := forecast(points, steps):
            return points, expected
    return None


# ---- gap ------------------------------------------------------------------------------------------------------------


def gap(history: History, loss: str | None) -> Series | None:
    """PSNR of the smoothed training loss minus that of validation, in dB at the steps validated; of "mse" only.

    Patches are not whole pictures and the weights validated are averaged: the level says little, its growth over the
    steps is overfitting.
    """
    trained, score = history.series.get("loss"), history.series.get("psnr")
    if loss != "mse" or not trained or not score or (trained.values <= 0).any():
        return None
    level = np.interp(score.steps, trained.steps, -10 * np.log10(trained.smoothed()))
    return Series(score.steps, level - score.values)


# ---- time -----------------------------------------------------------------------------------------------------------


class Pace(NamedTuple):
    """Seconds and steps between one line of the log and the next; `validated` where a validation lies between."""

    seconds: Values
    steps: Values
    validated: npt.NDArray[np.bool_]


def pace(history: History) -> Pace | None:
    """From the speed, which is logged as the mean since the start: a smaller total than before is a resume."""
    speed, score = history.series.get("steps_per_s"), history.series.get("psnr")
    if not speed or (speed.values <= 0).any():
        return None
    seconds = np.fromiter(_seconds(speed), float)
    before = np.concatenate([[0], speed.steps[:-1]])
    checks = score.steps if score else np.empty(0)
    # Validation follows the line of its own step.
    validated = np.array([((checks >= a) & (checks < b)).any() for a, b in zip(before, speed.steps, strict=True)])
    return Pace(seconds, speed.steps - before, validated)


def _seconds(speed: Series) -> Iterator[float]:
    """Between the lines; what lies before a resume's first line is not known and taken at that line's speed."""
    begun, before, elapsed = 0.0, 0.0, 0.0
    for step, value in zip(speed.steps, speed.values, strict=True):
        total = (step - begun) / value
        if total <= elapsed:
            begun, elapsed = before, 0.0
            total = (step - begun) / value
        yield total - elapsed
        before, elapsed = step, total


def time_spent(history: History) -> pd.DataFrame:
    """Where the time between the logged steps went: on, seconds, share.

    "steps" at their middle speed where nothing else happens; "validation and saving": what takes longer where a
    validation lies between two lines; "slow steps": what else takes longer. The last validation is not logged.
    """
    measured = pace(history)
    if measured is None:
        return pd.DataFrame(columns=_TIME)
    each = measured.seconds / measured.steps
    calm = each[~measured.validated] if (~measured.validated).any() else each
    steps = np.minimum(measured.seconds, float(np.median(calm)) * measured.steps)
    over = measured.seconds - steps
    parts = {
        "steps": steps.sum(),
        "validation and saving": over[measured.validated].sum(),
        "slow steps": over[~measured.validated].sum(),
    }
    rows = [{"on": on, "seconds": seconds, "share": seconds / measured.seconds.sum()} for on, seconds in parts.items()]
    return pd.DataFrame(rows, columns=_TIME)


# ---- in words -------------------------------------------------------------------------------------------------------


def remarks(history: History) -> Iterator[tuple[str, str, str]]:
    """About, sentence and rule of what the log supports, as in a verdict."""
    table = stages(history)
    if len(table) > 1 and np.isfinite((last := table.iloc[-1])["gain"]):
        yield (
            "rate",
            f"At the last learning rate, {last['lr']:.3g}, {last['last'] - last['first']:,.0f} steps have brought "
            f"{last['gain']:+.3f} dB.",
            "the rate was lowered, and a validation followed",
        )
    if (found := heading(history)) and found[1].high[-1] - found[1].low[-1] < 1:
        points, ahead = found
        yield (
            "forecast",
            f"Going on as so far, twice the steps would lead from {points.values[-1]:.3f} dB to "
            f"{ahead.median[-1]:.3f} dB [{ahead.low[-1]:.3f}, {ahead.high[-1]:.3f}].",
            "the forecast's interval is narrower than 1 dB",
        )
