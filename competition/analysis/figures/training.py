"""Curves of training with what the learning rate did, and where they are heading."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from competition.analysis.curves import COLOURS, plain
from competition.analysis.figures.style import BLUE, GREY, ORANGE, RED, canvas
from competition.analysis.forecast import CONFIDENCE
from competition.analysis.series import History, Series
from competition.analysis.training import heading, pace

# Rates that have room on their axis.
_RATES = 8


def score(history: History) -> bytes:
    """Validation PSNR with the learning rate, and the forecast with its interval."""
    series = history.series["psnr"]
    with canvas("Validation, and where it is heading", "optimiser step", "validation PSNR [dB]") as drawn:
        if found := heading(history):
            ahead = found[1]
            label = f"forecast, {CONFIDENCE:.0%} interval"
            drawn.axes.fill_between(
                ahead.steps, ahead.low, ahead.high, color=BLUE, alpha=0.15, linewidth=0, label=label
            )
            drawn.axes.plot(ahead.steps, ahead.median, color=BLUE, linestyle=":")
            _limit(drawn.axes, series)
        drawn.axes.plot(series.steps, series.values, "o-", color=BLUE, markersize=3.5, label="measured")
        _rate(drawn.axes, history)
    return drawn.png


def loss(history: History) -> bytes:
    """Training loss with the learning rate."""
    series = history.series["loss"]
    with canvas("Training loss", "optimiser step", "loss of a batch") as drawn:
        drawn.axes.plot(series.steps, series.values, color=BLUE, alpha=0.25, linewidth=0.8)
        drawn.axes.plot(series.steps, series.smoothed(), color=BLUE, label="smoothed")
        if (series.values > 0).all():
            drawn.axes.set_yscale("log")
        _rate(drawn.axes, history)
    return drawn.png


def gap(series: Series) -> bytes:
    """Training minus validation PSNR over the steps: a rise is overfitting."""
    with canvas("Training above validation", "optimiser step", "difference of PSNR [dB]") as drawn:
        drawn.axes.plot(series.steps, series.values, "o-", color=BLUE, markersize=3.5)
        _steps(drawn.axes)
    return drawn.png


def speed(history: History) -> bytes | None:
    """Steps a second between the lines of the log; None where no speed was logged."""
    measured = pace(history)
    if measured is None:
        return None
    steps = history.series["steps_per_s"].steps
    with canvas("Speed between two lines of the log", "optimiser step", "steps per second") as drawn:
        rate = measured.steps / measured.seconds
        drawn.axes.plot(steps, rate, color=BLUE, linewidth=1)
        chosen = measured.validated
        if chosen.any():
            drawn.axes.plot(steps[chosen], rate[chosen], "v", color=RED, markersize=5, label="with a validation")
        drawn.axes.set_ylim(bottom=0)
        _steps(drawn.axes)
    return drawn.png


def compared(histories: Sequence[History]) -> bytes:
    """Validation curves of several runs."""
    with canvas("Validation of the runs", "optimiser step", "validation PSNR [dB]") as drawn:
        for number, history in enumerate(one for one in histories if "psnr" in one.series):
            series = history.series["psnr"]
            colour, marker = COLOURS[number % len(COLOURS)], "osv^D"[number % 5]
            label = plain(history.label)
            drawn.axes.plot(series.steps, series.values, marker, ls="-", color=colour, markersize=3.5, label=label)
        _steps(drawn.axes)
    return drawn.png


def _rate(axes: Axes, history: History) -> None:
    """The learning rate on an axis of its own, behind the curve."""
    _steps(axes)
    if "lr" not in history.series:
        return
    series = history.series["lr"]
    other = axes.twinx()
    other.plot(series.steps, series.values, color=ORANGE, linestyle="--", linewidth=1.2, drawstyle="steps-pre")
    other.set_ylabel("learning rate (dashed)", color=GREY)
    other.tick_params(colors=GREY, labelsize=8)
    other.spines["top"].set_visible(False)
    if (series.values > 0).all():
        other.set_yscale("log")
    rates = np.unique(series.values)
    if len(rates) <= _RATES:
        other.set_yticks(rates, [f"{rate:.3g}" for rate in rates])
        other.set_yticks([], minor=True)
    other.set_ylim(top=float(series.values.max()) * 1.6)


def _limit(axes: Axes, series: Series) -> None:
    """Keep a wide interval from flattening the curve."""
    span = max(float(np.ptp(series.values)), 0.02)
    axes.set_ylim(float(series.values.min()) - 0.15 * span, float(series.values.max()) + 0.8 * span)


def _steps(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
