"""Pictures of training: one quantity of one or several runs over the optimiser steps."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from competition.analysis.series import History, Series

# Okabe and Ito, "Color universal design", 2008: told apart by colour-blind eyes too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")


class Quantity(NamedTuple):
    """How a series of metrics.jsonl is drawn."""

    key: str
    title: str
    unit: str
    log: bool = False
    noisy: bool = False


QUANTITIES = (
    Quantity("loss", "Training loss", "loss of a batch", log=True, noisy=True),
    Quantity("psnr", "Validation PSNR", "dB"),
    Quantity("lr", "Learning rate", "learning rate", log=True),
    Quantity("grad_norm", "Gradient norm", "L2 norm over all parameters", log=True, noisy=True),
    Quantity("steps_per_s", "Speed since the start or the last resume", "optimiser steps per second"),
)


def draw(quantity: Quantity, histories: Sequence[History]) -> bytes:
    """The PNG of one quantity of the runs that have it, 1200x675 pixels."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    _fill(axes, quantity, histories)
    if len(histories) > 1:
        axes.legend(frameon=False, fontsize="small")
    return png(figure)


def draw_overview(quantities: Sequence[Quantity], histories: Sequence[History]) -> bytes:
    """The PNG of several quantities, two to a row, under one legend."""
    rows = -(-len(quantities) // 2)
    figure = Figure(figsize=(12, 3.4 * rows), layout="constrained")
    for place, quantity in enumerate(quantities, 1):
        _fill(figure.add_subplot(rows, 2, place), quantity, histories)
    handles = [Line2D([], [], label=plain(one.label), **_style(number)) for number, one in enumerate(histories)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
    return png(figure)


def _fill(axes: Axes, quantity: Quantity, histories: Sequence[History]) -> None:
    shown = []
    for number, history in enumerate(histories):
        if quantity.key in history.series:
            series = history.series[quantity.key]
            shown.append(series)
            _line(axes, quantity, series, plain(history.label), **_style(number))
    if quantity.log and all((series.values > 0).all() for series in shown):
        axes.set_yscale("log")
    axes.set(title=_title(quantity, histories), xlabel="optimiser step", ylabel=quantity.unit)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25, which="both", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _title(quantity: Quantity, histories: Sequence[History]) -> str:
    """The title, with what PSNR means where all runs mean the same by it."""
    if quantity.key != "psnr":
        return quantity.title
    scores = {history.score for history in histories if "psnr" in history.series}
    return f"Validation {scores.pop()}" if len(scores) == 1 and None not in scores else quantity.title


def _line(axes: Axes, quantity: Quantity, series: Series, label: str, **style: Any) -> None:
    if quantity.noisy:
        axes.plot(series.steps, series.values, alpha=0.25, linewidth=0.8, color=style["color"])
        axes.plot(series.steps, series.smoothed(), label=label, **style)
        return
    if quantity.key != "psnr":
        axes.plot(series.steps, series.values, label=label, **style)
        return
    best = int(series.values.argmax())
    axes.plot(series.steps, series.values, marker="o", markersize=3, label=label, **style)
    step, value = series.steps[best], series.values[best]
    axes.plot(step, value, marker="*", markersize=11, color=style["color"])
    axes.annotate(f"{value:.3f}", (step, value), (0, 7), textcoords="offset points", ha="center", color=style["color"])


def _style(number: int) -> dict[str, Any]:
    dashes = DASHES[number // len(COLOURS) % len(DASHES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": dashes, "linewidth": 1.6}


def plain(label: str) -> str:
    """A label that matplotlib neither sets as a formula nor hides."""
    return "\u200b" + label.replace("$", r"\$") if label.startswith("_") else label.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """The figure at 150 dots an inch; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    # Without the version of matplotlib.
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
