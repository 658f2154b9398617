"""The eight symmetries of the square and the tiles of a picture, for tensors of shape (..., H, W)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# Names as in albumentations' D4: rotations are counter-clockwise, t and hvt are the two transposes.
SYMMETRIES = ("e", "r90", "r180", "r270", "v", "hvt", "h", "t")


def apply_symmetry(picture: Tensor, name: str) -> Tensor:
    """Turn or mirror (..., H, W) by one of SYMMETRIES; raises KeyError for any other name."""
    match name:
        case "e":
            return picture
        case "r90" | "r180" | "r270":
            return torch.rot90(picture, {"r90": 1, "r180": 2, "r270": 3}[name], (-2, -1))
        case "v":
            return picture.flip(-2)
        case "h":
            return picture.flip(-1)
        case "t":
            return picture.transpose(-2, -1)
        case "hvt":
            return picture.flip((-2, -1)).transpose(-2, -1)
    raise KeyError(name)


def invert_symmetry(picture: Tensor, name: str) -> Tensor:
    """Undo `apply_symmetry`: every element is its own inverse but the two quarter turns."""
    return apply_symmetry(picture, {"r90": "r270", "r270": "r90"}.get(name, name))


class Tile(NamedTuple):
    """Rows and columns of one tile: `outer` is computed, `inner` is kept; all in pixels of the whole picture."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]


def tiles(height: int, width: int, size: int, halo: int) -> Iterator[Tile]:
    """Cut a picture into kept squares of `size` pixels, each computed with `halo` more pixels on every side."""
    for top in range(0, height, size):
        for left in range(0, width, size):
            bottom, right = min(top + size, height), min(left + size, width)
            yield Tile(
                outer=(
                    slice(max(top - halo, 0), min(bottom + halo, height)),
                    slice(max(left - halo, 0), min(right + halo, width)),
                ),
                inner=(slice(top, bottom), slice(left, right)),
            )
