"""Figures of test pictures whose truth is hidden."""

import numpy as np
import pandas as pd

from competition.analysis.figures.style import BLUE, GREY, ORANGE, canvas, short

# Pictures whose names fit below each other.
SHOWN = 30


def expected(table: pd.DataFrame) -> bytes:
    """The score to expect of each picture, the lowest first."""
    rows = table.sort_values("psnr_expected").head(SHOWN)
    with canvas(f"Expected score{_sample(rows, table)}", "PSNR [dB], 95 % interval", "", _tall(rows)) as drawn:
        places = np.arange(len(rows))
        ends = np.stack([rows["psnr_expected"] - rows["low"], rows["high"] - rows["psnr_expected"]])
        drawn.axes.errorbar(rows["psnr_expected"], places, xerr=ends, fmt="o", color=BLUE, ecolor=GREY, markersize=4)
        drawn.axes.set_yticks(places, _names(rows), size=8)
        drawn.axes.invert_yaxis()
    return drawn.png


def spread(table: pd.DataFrame) -> bytes:
    """How far the members, or the symmetries, of each picture disagree, the most first."""
    kinds = [kind for kind in ("members", "symmetries") if table[kind].notna().any()]
    rows = table.sort_values(kinds[0], ascending=False).head(SHOWN)
    axis = "standard deviation [8-bit levels]"
    with canvas(f"Disagreement{_sample(rows, table)}", axis, "", _tall(rows)) as drawn:
        places = np.arange(len(rows))
        for kind, colour, marker in zip(kinds, (BLUE, ORANGE), "os", strict=False):
            drawn.axes.plot(rows[kind], places, marker, color=colour, markersize=5, label=f"of the {kind}")
        drawn.axes.set_xlim(left=0)
        drawn.axes.set_yticks(places, _names(rows), size=8)
        drawn.axes.invert_yaxis()
    return drawn.png


def _sample(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    return f" (first {len(rows)} of {len(table)})" if len(rows) < len(table) else ""


def _names(rows: pd.DataFrame) -> list[str]:
    return [short(name) for name in rows["name"]]


def _tall(rows: pd.DataFrame) -> float:
    return max(2.2, 0.9 + 0.22 * len(rows))
