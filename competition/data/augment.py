"""Changes that both patches of a pair undergo alike: the eight symmetries and the order of channels."""

import functools
import itertools
import os
from typing import Any

import cv2
import numpy as np

from competition.images import Bytes

CHANNEL_ORDERS = tuple(itertools.permutations(range(3)))
# The eight symmetries as OpenCV has them; albumentations' D4 names them alike, but turns by views whose copies take
# ten times as long.
_QUARTER_TURNS = {"r90": cv2.ROTATE_90_COUNTERCLOCKWISE, "r180": cv2.ROTATE_180, "r270": cv2.ROTATE_90_CLOCKWISE}


def turn(picture: Bytes, symmetry: str, out: Bytes) -> None:
    """Write a square picture (S, S, 3) under one of `competition.geometry.SYMMETRIES` into `out` of the same shape.

    Raises KeyError for any other name.
    """
    match symmetry:
        case "e":
            np.copyto(out, picture)
        case "v":
            cv2.flip(picture, 0, out)
        case "h":
            cv2.flip(picture, 1, out)
        case "t":
            cv2.transpose(picture, out)
        case "hvt":
            cv2.transpose(cv2.flip(picture, -1), out)
        case _:
            cv2.rotate(picture, _QUARTER_TURNS[symmetry], out)


def reorder_channels(picture: Bytes, order: tuple[int, ...]) -> None:
    """Give a picture (H, W, 3) another order of channels, in place; `order` is one of CHANNEL_ORDERS."""
    picture[:] = _channel_shuffle().apply(picture, channels_shuffled=list(order))


@functools.cache
def _channel_shuffle() -> Any:
    # Imported late, as it takes a second and most runs keep their colours; told not to look for newer versions.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations.ChannelShuffle()
