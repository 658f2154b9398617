"""Where the error of predictions lives, drawn from the tables of a diagnosis."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from competition.analysis.figures.style import BLUE, GREEN, GREY, HEIGHT, ORANGE, RED, bars, canvas, short

_CHANNELS = {"red": (RED, "o"), "green": (GREEN, "s"), "blue": (BLUE, "^")}


def gains(pictures: pd.DataFrame) -> bytes:
    """Each picture's gain over bicubic against how hard it is for bicubic."""
    known = pictures.dropna(subset=["psnr_bicubic", "gain"])
    title = f"What hard pictures gain (all {len(known):,})"
    with canvas(title, "PSNR of bicubic [dB]", "gain over bicubic [dB]") as drawn:
        drawn.axes.axhline(0, color=GREY, linewidth=0.8)
        drawn.axes.scatter(known["psnr_bicubic"], known["gain"], 16 if len(known) < 200 else 5, BLUE, alpha=0.6)
        if len(known) <= 30:
            for row in known.itertuples():
                label = short(row.name)
                drawn.axes.annotate(label, (row.psnr_bicubic, row.gain), (4, 3), textcoords="offset points", size=7)
    return drawn.png


def concentration(curve: pd.DataFrame) -> bytes:
    """How much of the squared error the worst tiles carry."""
    tiles, error = (100 * np.r_[0, curve[key].to_numpy(float)] for key in ("tiles", "error"))
    carried = float(np.interp(1, tiles, error))
    title = f"The worst 1 % of tiles carry {carried:.0f} % of the error"
    with canvas(title, "share of the tiles, the worst first [%]", "share of the squared error [%]") as drawn:
        drawn.axes.plot(tiles, error, color=BLUE, linewidth=1.8, label="tiles of these pictures")
        drawn.axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--", label="if all tiles were alike")
        drawn.axes.plot(1, carried, "o", color=RED)
        drawn.axes.set(xlim=(-1, 100), ylim=(0, 101))
        drawn.axes.legend(frameon=False, fontsize="small", loc="lower right")
    return drawn.png


def bands(table: pd.DataFrame) -> bytes:
    """Power of truth and of the residuals, by spatial frequency."""
    x = _middles(table)
    with canvas(
        "Residual against truth", "frequency [cycles per pixel]", "power in the ring [squared levels]"
    ) as drawn:
        drawn.axes.plot(x, table["truth_power"], color=GREY, linestyle=":", label="truth")
        drawn.axes.plot(x, table["bicubic_power"], color=ORANGE, linestyle="--", label="residual of bicubic")
        drawn.axes.plot(x, table["residual_power"], color=BLUE, label="residual of the prediction")
        if (table["truth_power"] > 0).any():  # what is zero is left out
            drawn.axes.set_yscale("log")
    return drawn.png


def transfer(table: pd.DataFrame) -> bytes:
    """How much of the truth's amplitude arrives, by spatial frequency."""
    x = _middles(table)
    title = "What arrives of the truth"
    with canvas(title, "frequency [cycles per pixel]", "share of the amplitude, in phase") as drawn:
        drawn.axes.axhline(1, color=GREY, linestyle=":", linewidth=1)
        drawn.axes.plot(x, table["transfer_bicubic"], color=ORANGE, linestyle="--", label="bicubic")
        drawn.axes.plot(x, table["transfer"], color=BLUE, label="prediction")
        drawn.axes.set_ylim(bottom=min(0.0, float(np.nanmin([*table["transfer"], 0.0]))))
    return drawn.png


def textures(table: pd.DataFrame) -> bytes:
    """Shares of pixels and of squared error side by side: flat, edges by orientation, texture."""
    labels = [
        row.texture if pd.isna(row.orientation) else f"{row.texture} {row.orientation:g}°" for row in table.itertuples()
    ]
    places = np.arange(len(labels))
    title = "By texture: an even error fills equal bars"
    with canvas(title, "share [%]", "", max(HEIGHT, 0.9 + 0.34 * len(labels))) as drawn:
        drawn.axes.barh(places - 0.2, 100 * table["area"], 0.38, color=GREY, label="of the pixels")
        drawn.axes.barh(places + 0.2, 100 * table["share"], 0.38, color=BLUE, label="of the squared error")
        drawn.axes.set_yticks(places, labels)
        drawn.axes.invert_yaxis()
        drawn.axes.grid(axis="y", visible=False)
    return drawn.png


def bias(table: pd.DataFrame) -> bytes:
    """Mean of prediction minus truth over the predicted value, for each channel."""
    with canvas("Bias by brightness", "predicted value [8-bit levels]", "prediction − truth [levels]") as drawn:
        drawn.axes.axhline(0, color=GREY, linewidth=0.8)
        _by_channel(drawn.axes, table, table["bias"])
    return drawn.png


def brightness(table: pd.DataFrame) -> bytes:
    """Root mean square error over the predicted value, for each channel."""
    with canvas("Error by brightness", "predicted value [8-bit levels]", "root mean square error [levels]") as drawn:
        _by_channel(drawn.axes, table, np.sqrt(table["mse"]))
        drawn.axes.set_ylim(bottom=0)
    return drawn.png


def _by_channel(axes: Axes, table: pd.DataFrame, values: pd.Series) -> None:
    for channel, (colour, marker) in _CHANNELS.items():
        own = table["channel"] == channel
        x = _middles(table[own])
        axes.plot(x, values[own], marker=marker, color=colour, label=channel, markersize=3.5, linewidth=1.4)


def border(table: pd.DataFrame) -> bytes:
    """Root mean square error over the distance to the border, beside bicubic's."""
    labels = [_range(row.low, row.high) for row in table.itertuples()]
    with canvas("By distance to the border", "distance [pixels]", "root mean square error [levels]") as drawn:
        places = np.arange(len(labels))
        drawn.axes.plot(places, np.sqrt(table["mse_bicubic"]), "s--", color=ORANGE, markersize=4, label="bicubic")
        drawn.axes.plot(places, np.sqrt(table["mse"]), "o-", color=BLUE, markersize=4, label="prediction")
        drawn.axes.set_xticks(places, labels, rotation=30 if len(labels) > 6 else 0, size=8)
        drawn.axes.set_ylim(bottom=0)
    return drawn.png


def clusters(table: pd.DataFrame) -> bytes:
    """Gain by the audit's clusters of degradations, with intervals over their pictures."""
    labels = [f"{row.kind} ({row.pictures})" for row in table.itertuples()]
    ends = (table["low"].to_numpy(float), table["high"].to_numpy(float))
    title = "Gain by degradation (pictures)"
    return bars(title, "gain over bicubic [dB]", labels, table["gain"].to_numpy(float), ends)


def budget(table: pd.DataFrame) -> bytes:
    """What each fix alone would gain."""
    ends = (table["low"].to_numpy(float), table["high"].to_numpy(float))
    labels = [str(fix) for fix in table["fix"]]
    title = "What an oracle's fix alone would gain"
    return bars(title, "gain [dB], logarithmic beyond 0.01", labels, table["gain"].to_numpy(float), ends, fine=0.01)


def worth(table: pd.DataFrame) -> bytes:
    """What each member is worth to the mean of all."""
    ends = (table["low"].to_numpy(float), table["high"].to_numpy(float))
    labels = [short(member) for member in table["member"]]
    return bars(
        "What the mean of all would lose without it", "worth [dB]", labels, table["worth"].to_numpy(float), ends
    )


def symmetries(table: pd.DataFrame) -> bytes:
    """What the mean of the eight symmetries gains over each alone."""
    ends = (table["low"].to_numpy(float), table["high"].to_numpy(float))
    labels = [str(name) for name in table["symmetry"]]
    title = "Mean of all symmetries over each alone"
    return bars(title, "gain of the mean [dB]", labels, table["gain"].to_numpy(float), ends)


def _range(low: float, high: float) -> str:
    """The whole numbers of a bin."""
    if not np.isfinite(high):
        return f"≥ {low:g}"
    return f"{low:g}" if high - low == 1 else f"{low:g}–{high - 1:g}"


def _middles(table: pd.DataFrame) -> pd.Series:
    """Of the bins; an open last one is drawn at its lower end."""
    return ((table["low"] + table["high"].where(np.isfinite(table["high"]), table["low"])) / 2).rename("middle")
