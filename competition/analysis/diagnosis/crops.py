"""The crops that carry most of the error, those best enlarged, and how the error gathers in few of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from competition.analysis.diagnosis.frames import frame, ratio
from competition.analysis.diagnosis.looking import Look
from competition.analysis.diagnosis.places import TILE
from competition.metrics import to_psnr

# Rows of a kind, and of them the most that one picture gives.
SHOWN, OF_A_PICTURE = 24, 3
# Points of the curve.
_POINTS = 201


def tiles(looks: Sequence[Look]) -> pd.DataFrame:
    """The worst ones, and those where most was won over bicubic, if that is known."""
    if not looks:
        return frame("tiles")
    every = pd.concat([_tiles(one) for one in looks], ignore_index=True)
    every["share"] = ratio(every["squares"].to_numpy(), every["squares"].sum())
    saved = every["plain"] - every["squares"]
    worst = _first(every[every["squares"] > 0], every["squares"]).assign(kind="worst")
    best = _first(every[saved > 0], saved).assign(kind="best")
    return frame("tiles", pd.concat([worst, best], ignore_index=True))


def concentration(looks: Sequence[Look]) -> pd.DataFrame:
    """The curve of Lorenz, from the worst tile on; 1 % of the tiles is one of its points."""
    squares = np.sort(np.concatenate([one.tiles.squares.ravel() for one in looks] or [np.zeros(0)]))[::-1]
    if not squares.sum():
        return frame("concentration")
    carried = np.concatenate([[0], np.cumsum(squares) / squares.sum()])
    tiles = np.linspace(0, 1, _POINTS)
    return frame("concentration", {"tiles": tiles, "error": np.interp(tiles, np.linspace(0, 1, len(carried)), carried)})


def _tiles(look: Look) -> pd.DataFrame:
    """All tiles of one picture."""
    y, x = (TILE * grid.ravel() for grid in np.indices(look.tiles.samples.shape))
    samples, squares, plain = (part.ravel() for part in look.tiles)
    return pd.DataFrame(
        {
            **{"name": look.name, "y": y, "x": x},
            **{"height": np.minimum(TILE, look.height - y), "width": np.minimum(TILE, look.width - x)},
            **{"squares": squares, "plain": plain, "mse": squares / samples},
            **{"psnr": to_psnr(squares / samples), "psnr_bicubic": to_psnr(plain / samples)},
        }
    )


def _first(every: pd.DataFrame, order: pd.Series) -> pd.DataFrame:
    """Those with the largest values, few of any one picture."""
    sorted_ = every.loc[order[every.index].sort_values(ascending=False, kind="stable").index]
    return sorted_[sorted_.groupby("name").cumcount() < OF_A_PICTURE].head(SHOWN)
