"""What the figures of a report have in common: size, colours, axes, and values with intervals."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from competition.analysis.curves import COLOURS, plain, png

Array = npt.NDArray[np.float64]
BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK = COLOURS
GREY = "#767676"
# Inches; on the 360 pixels of a phone the letters are 9 pixels high still.
WIDTH, HEIGHT = 4.9, 3.3


class Canvas:
    """One figure with its axes while it is drawn; `png` holds it afterwards."""

    png: bytes

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height), layout="constrained")
        self.axes: Axes = self.figure.add_subplot()


@contextmanager
def canvas(title: str, x: str, y: str, height: float = HEIGHT) -> Iterator[Canvas]:
    """Axes with their title and units, to draw on; a legend appears where anything is labelled."""
    drawn = Canvas(height)
    drawn.axes.set_xlabel(x)
    drawn.axes.set_ylabel(y)
    drawn.figure.suptitle(title, x=0.015, ha="left", fontsize="medium", fontweight="bold")
    drawn.axes.grid(alpha=0.25, linewidth=0.6)
    drawn.axes.spines[["top", "right"]].set_visible(False)
    yield drawn
    if drawn.axes.get_legend_handles_labels()[0]:
        drawn.axes.legend(frameon=False, fontsize="small")
    drawn.png = png(drawn.figure)


def bars(
    title: str, axis: str, labels: Sequence[str], values: Array, ends: tuple[Array, Array], fine: float | None = None
) -> bytes:
    """Horizontal bars from the top down with their intervals (low ends, high ends) and figures beside them.

    `fine`: the axis is logarithmic beyond this value, where bars differ by orders of magnitude.
    """
    with canvas(title, axis, "", max(2.0, 0.9 + 0.32 * len(labels))) as drawn:
        places = np.arange(len(labels))
        colours = [BLUE if value >= 0 else RED for value in values]
        drawn.axes.barh(places, values, 0.62, color=colours)
        errors = np.nan_to_num(np.abs(np.stack([values - ends[0], ends[1] - values])))
        drawn.axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=BLACK, elinewidth=1, capsize=3)
        if fine:
            drawn.axes.set_xscale("symlog", linthresh=fine)
        for place, end, value in zip(places, np.fmax(np.fmax(values, ends[1]), 0), values, strict=True):
            drawn.axes.annotate(f"{value:+.3g}", (end, place), (4, 0), textcoords="offset points", va="center", size=8)
        drawn.axes.set_yticks(places, list(labels))
        drawn.axes.invert_yaxis()
        drawn.axes.margins(x=0.14)
        drawn.axes.grid(axis="y", visible=False)
        drawn.axes.axvline(0, color=BLACK, linewidth=0.8)
    return drawn.png


def short(name: object, letters: int = 20) -> str:
    """The end of a file's or member's name, as a label that matplotlib does not take for a formula."""
    text = str(name).removesuffix(".png")
    return plain(text if len(text) <= letters else f"…{text[1 - letters :]}")
