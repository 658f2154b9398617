"""The columns of every table, and what all tables do with numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from competition.files import write_atomic
from competition.statistics import interval

Array = npt.NDArray[np.float64]

# What they mean stands at the fields of `Findings`.
COLUMNS = {
    "pictures": (
        *("name", "height", "width", "psnr", "ssim", "psnr_bicubic", "gain", "psnr_previous", "gain_previous"),
        *("mse", "share", "seconds", "success", "fault", "cluster", "looked"),
        *("channel_order", "shift_down", "shift_right", "gamma"),
    ),
    "tiles": ("kind", "name", "y", "x", "height", "width", "share", "mse", "psnr", "psnr_bicubic"),
    "concentration": ("tiles", "error"),
    "bands": (
        *("low", "high", "coefficients", "truth_power", "prediction_power", "residual_power", "bicubic_power"),
        *("share", "transfer", "transfer_bicubic"),
    ),
    "textures": ("texture", "orientation", "area", "mse", "mse_bicubic", "share"),
    "brightness": ("channel", "low", "high", "area", "bias", "mse", "share"),
    "channels": ("channel", "bias", "mse", "mse_bicubic", "share", "like_red", "like_green", "like_blue"),
    "border": ("low", "high", "area", "mse", "mse_bicubic", "share"),
    "clusters": ("cluster", "kind", "pictures", "psnr", "gain", "low", "high", "share"),
    "budget": ("fix", "squared_error", "share", "gain", "low", "high"),
    "members": ("member", "psnr", "mse", "weight", "worth", "low", "high"),
    "spread": ("quantity", "squared_error", "share"),
    "symmetries": ("symmetry", "psnr", "gain", "low", "high", "wins"),
    "comparison": (
        *("against", "pictures", "mean", "low", "high", "wins", "losses", "p_sign", "p_again"),
        *("same_winner", "regret", "spread"),
    ),
    "verdict": ("about", "sentence", "rule"),
}


def frame(name: str, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any] = ()) -> pd.DataFrame:
    """The table of that name, of rows or columns; with none of either it has all its columns and no rows."""
    return pd.DataFrame(rows if len(rows) else None, columns=list(COLUMNS[name]))


def about(values: Sequence[float] | Array) -> dict[str, float]:
    """Mean and ends of its interval over those that are finite; NaN where one or none is."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return dict.fromkeys(("mean", "low", "high"), float("nan"))
    low, high = interval(finite)
    return {"mean": float(finite.mean()), "low": low, "high": high}


def ratio(above: Array, below: Array | float) -> Array:
    """above / below, NaN where that is no number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(above / below, np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def log_ratio(above: Array, below: Array) -> Array:
    """The logarithm of above / below, NaN where that is no number."""
    with np.errstate(divide="ignore"):
        found = np.log(ratio(above, below))
    return np.where(np.isfinite(found), found, np.nan)


def write_csv(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """FOLDER/NAME.csv for every table, numbers to six digits, each file whole or not at all."""
    for name, table in tables.items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_atomic(folder / f"{name}.csv", text.encode("utf-8", "backslashreplace"))
