"""Whether a picture shows what its low picture shows, to its edges and in every part."""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from competition.data.registration import Found, find_shift, smooth_planes
from competition.errors import Fault
from competition.files import printable
from competition.images import Bytes
from competition.judging.pictures import Picture
from competition.judging.readings import Plane, misread, reduced, thumbnail
from competition.judging.repeats import repeated

# The kind of all faults of what a picture shows.
CONTENT = "content"
# 8-bit levels by which a low picture's edge may differ from a border of one colour that is no fault: a white sky.
_EDGE = 24
# Low pixels in a side of the blocks whose mean colour is compared, and levels by which honest ones differ at most.
_BLOCK, _STRANGER = 8, 24.0


class Look(NamedTuple):
    """What is measured on a picture that shows its low picture."""

    shift: Found
    offset: tuple[float, float, float]
    """Mean of the picture less that of the low one, R, G, B, in 8-bit levels."""
    bicubic: float
    """PSNR to bicubic enlargement in dB; infinite where they are equal."""
    earlier: float | None
    """The same to the picture of an earlier submission, where there is one."""


def inspect(picture: Picture, low: Bytes, lows: Mapping[str, Plane], scale: int) -> list[Fault]:
    """What is wrong with a picture beside its low one, uint8 (h, w, 3); `lows` holds the thumbnails of all."""
    said = _one_colour(picture.pixels, low)
    said = said or misread(thumbnail(picture.pixels, low.shape), picture.name, lows)
    said = said or _borders(picture.pixels, low, scale)
    said = said or _repeat(picture.pixels, low, scale)
    said = said or _stranger(picture.pixels, low, scale)
    return [Fault(CONTENT, printable(picture.path), said, "Predict it again")] if said else []


def look(pixels: Bytes, low: Bytes, scale: int, earlier: Bytes | None) -> Look:
    """Measure uint8 (scale*h, scale*w, 3) against uint8 (h, w, 3)."""
    height, width = low.shape[:2]
    red, green, blue = (reduced(pixels, (height, width)) - low).mean((0, 1)).tolist()
    bicubic = Image.fromarray(low).resize((width * scale, height * scale), Image.Resampling.BICUBIC)
    return Look(
        find_shift(smooth_planes(low, pixels, scale)),
        (red, green, blue),
        _psnr(pixels, np.asarray(bicubic)),
        None if earlier is None else _psnr(pixels, earlier),
    )


def _psnr(first: Bytes, second: Bytes) -> float:
    # OpenCV gives a large number for equal pictures.
    return float("inf") if np.array_equal(first, second) else float(cv2.PSNR(first, second))


def _one_colour(pixels: Bytes, low: Bytes) -> str | None:
    colour = pixels[0, 0]
    if (
        not (pixels[0] == colour).all()
        or not (pixels == colour).all()
        or int(np.ptp(low.astype(int), (0, 1)).max()) <= _EDGE
    ):
        return None
    return f"is {'black' if not colour.any() else f'of one colour {tuple(map(int, colour))}'} throughout"


def _borders(pixels: Bytes, low: Bytes, scale: int) -> str | None:
    found = []
    for turns, side in enumerate(("top", "right", "bottom", "left")):
        turned, low_turned = np.rot90(pixels, turns), np.rot90(low, turns).astype(int)
        if not (turned[0] == turned[0, 0]).all():
            continue
        colour = turned[0, 0]
        width = int(np.argmin((turned == colour).all((1, 2))))  # rows before the first of more colours
        if np.abs(low_turned[: max(1, width // scale)] - colour.astype(int)).max() > _EDGE:
            found.append(f"{side} {width} px")
    return f"has a border of one colour that its low picture lacks ({', '.join(found)})" if found else None


def _repeat(pixels: Bytes, low: Bytes, scale: int) -> str | None:
    found = repeated(pixels, low, scale)
    if found is None:
        return None
    (top, left), (row, column), (height, width) = found
    places = f"from ({left}, {top}) again at ({column}, {row})"
    return f"holds {width}x{height} pixels {places}, where its low picture does not"


def _stranger(pixels: Bytes, low: Bytes, scale: int) -> str | None:
    """Where a part of a picture shows something else than its low picture, the mean colour of a block tells."""
    difference = reduced(pixels, (low.shape[0], low.shape[1])) - low
    difference -= difference.mean((0, 1))
    means = np.abs(cv2.blur(difference, (_BLOCK, _BLOCK), borderType=cv2.BORDER_REFLECT_101)).max(2)
    row, column = np.unravel_index(int(means.argmax()), means.shape)
    if means[row, column] <= _STRANGER:
        return None
    where = f"around ({column * scale}, {row * scale})"
    return f"shows something else than its low picture {where}: {means[row, column]:.0f} levels off"
