"""The eight symmetries on a pair of pictures, through albumentations."""

import os

import numpy as np

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # read at import: otherwise it asks the internet for its newest version

import albumentations

from competition.images import Bytes

_D4 = albumentations.D4()


def turn(low: Bytes, high: Bytes, symmetry: str) -> tuple[Bytes, Bytes]:
    """Copies of both pictures (H, W, 3) under one symmetry, named as in `competition.geometry.SYMMETRIES`.

    The symmetry is given, never drawn here: albumentations keeps generators of its own.
    """
    return tuple(np.array(_D4.apply(picture, group_element=symmetry), order="C") for picture in (low, high))  # type: ignore[return-value]
