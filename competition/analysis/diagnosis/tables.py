"""Turns what was found in single pictures into tables of them all; their columns are told at `Findings`."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from competition.analysis.diagnosis.budget import FIXES
from competition.analysis.diagnosis.frames import about, frame, ratio
from competition.analysis.diagnosis.looking import Look, Score
from competition.analysis.diagnosis.places import CHANNELS, DISTANCES, LEVELS, ORIENTATIONS, Sums
from competition.analysis.diagnosis.sources import Sources
from competition.analysis.diagnosis.spectrum import RINGS, WIDTH, Powers
from competition.scoring import gain
from competition.weighting import ROUNDING

Array = npt.NDArray[np.float64]
NAN = float("nan")


def pictures(sources: Sources, scores: Sequence[Score], looks: Sequence[Look]) -> pd.DataFrame:
    """All pictures, those that failed too."""
    close = {one.name: one.budget for one in looks}
    total = float(np.nansum([one.mse for one in scores])) or NAN
    rows = []
    for one in scores:
        row = {
            **{key: getattr(one, key) for key in ("name", "height", "width", "psnr", "ssim", "psnr_bicubic", "fault")},
            **{"psnr_previous": one.psnr_previous, "mse": one.mse, "share": one.mse / total, "success": not one.fault},
            **{"gain": gain(one.psnr, one.psnr_bicubic), "gain_previous": gain(one.psnr, one.psnr_previous)},
            **{"seconds": sources.seconds(one.name), "cluster": sources.clusters.get(one.name, NAN)},
            **{"looked": one.name in close, "channel_order": "", "shift_down": NAN, "shift_right": NAN, "gamma": NAN},
        }
        if found := close.get(one.name):
            row |= {"channel_order": "".join("rgb"[channel] for channel in found.order), "gamma": found.gamma}
            row |= {"shift_down": found.shift[0], "shift_right": found.shift[1]}
        rows.append(row)
    return frame("pictures", rows)


def bands(looks: Sequence[Look]) -> pd.DataFrame:
    """Rings of frequency, all pictures together."""
    if not looks:
        return frame("bands")
    every = Powers(*(np.sum(parts, 0) for parts in zip(*(one.powers for one in looks), strict=True)))
    samples = every.coefficients.sum()
    edges = WIDTH * np.arange(RINGS)
    return frame(
        "bands",
        {
            "low": edges,
            "high": edges + WIDTH,
            "coefficients": every.coefficients / samples,
            "truth_power": every.truth / samples,
            "prediction_power": every.prediction / samples,
            "residual_power": every.residual / samples,
            "bicubic_power": every.plain / samples,
            "share": ratio(every.residual, every.residual.sum()),
            "transfer": ratio(every.product, every.truth),
            "transfer_bicubic": ratio(every.product_plain, every.truth),
        },
    )


def textures(looks: Sequence[Look]) -> pd.DataFrame:
    """Flat places, edges by orientation, textures."""
    kinds = {"texture": ["flat", *["edge"] * len(ORIENTATIONS), "texture"], "orientation": [NAN, *ORIENTATIONS, NAN]}
    return _parts("textures", kinds, [one.textures for one in looks])


def brightness(looks: Sequence[Look]) -> pd.DataFrame:
    """Bins of the predicted level, by channel."""
    low = np.tile(np.arange(0, 256, LEVELS), len(CHANNELS))
    kinds = {"channel": np.repeat(CHANNELS, 256 // LEVELS), "low": low, "high": low + LEVELS}
    table = _parts("brightness", kinds, [one.brightness for one in looks])
    return table.assign(area=table["area"] * len(CHANNELS))


def channels(looks: Sequence[Look]) -> pd.DataFrame:
    """Red, green and blue, and which of the truth's channels each is like."""
    table = _parts("channels", {"channel": CHANNELS}, [one.channels for one in looks])
    if len(table):
        table[["like_red", "like_green", "like_blue"]] = _likeness(np.sum([one.moments for one in looks], 0))
    return table


def border(looks: Sequence[Look]) -> pd.DataFrame:
    """Bins of distance to the nearest side."""
    kinds = {"low": [0, *DISTANCES], "high": [*DISTANCES, NAN]}
    return _parts("border", kinds, [one.border for one in looks])


def clusters(sources: Sources, table: pd.DataFrame) -> pd.DataFrame:
    """`table` is that of the pictures."""
    kinds = sources.cluster_kinds
    rows = []
    for number, those in table.groupby("cluster"):
        gains = about(those["gain"].to_numpy())
        rows.append(
            {
                **{"cluster": int(number), "kind": kinds.get(int(number), ""), "pictures": len(those)},
                **{"psnr": those["psnr"].mean(), "gain": gains["mean"], "low": gains["low"], "high": gains["high"]},
                "share": those["share"].sum(),
            }
        )
    return frame("clusters", rows)


def budget(looks: Sequence[Look]) -> pd.DataFrame:
    """Squared errors as means over the pictures; gains as the contest counts them, picture by picture."""
    if not looks:
        return frame("budget")
    parts, alone = (np.array([getattr(one.budget, key) for one in looks]) for key in ("parts", "alone"))
    mse = np.array([one.budget.mse for one in looks])
    gains = [about(column) for column in decibels(mse, alone).T]
    means = parts.mean(0)
    told = {key: [one[source] for one in gains] for key, source in (("gain", "mean"), ("low", "low"), ("high", "high"))}
    return frame("budget", {"fix": FIXES, "squared_error": means, "share": ratio(means, mse.mean()), **told})


def decibels(mse: Array, taken: Array) -> Array:
    """PSNR won by taking (pictures, fixes) off the errors (pictures,); none is better than rounding leaves it."""
    floor = np.minimum(mse, ROUNDING)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mse[:, None] > 0, 10 * np.log10(mse[:, None] / np.maximum(mse[:, None] - taken, floor)), 0.0)


def _parts(name: str, kinds: Mapping[str, object], found: Sequence[Sums]) -> pd.DataFrame:
    """One row for each part that occurs."""
    if not found:
        return frame(name)
    every = Sums(*(np.sum(parts, 0) for parts in zip(*found, strict=True)))
    table = pd.DataFrame(
        {
            **kinds,
            "area": every.samples / every.samples.sum(),
            "bias": ratio(every.error, every.samples),
            "mse": ratio(every.squares, every.samples),
            "mse_bicubic": ratio(every.plain, every.samples),
            "share": ratio(every.squares, every.squares.sum()),
        }
    )
    return frame(name, table[every.samples > 0].reset_index(drop=True))


def _likeness(moments: Array) -> Array:
    """Correlations of predicted (rows) and true channels, from their `places.moments`."""
    mean = moments[0, 1:] / moments[0, 0]
    covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
    deviation = np.sqrt(covariance.diagonal().clip(0))
    return ratio(covariance, np.outer(deviation, deviation))[:3, 3:]
