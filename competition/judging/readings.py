"""Which other reading of a picture fits its low picture: another picture, another order of channels, a turned one."""

from collections.abc import Mapping
from itertools import permutations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from competition.geometry import apply_symmetry
from competition.images import Bytes

Plane = npt.NDArray[np.float32]

# Side of the thumbnails that are compared, in low pixels at most.
_SIDE = 64
# A reading is the right one when it leaves less than this share of the mean squared error that the picture as it is
# leaves on its thumbnail, and that is more than this many 8-bit levels squared.
_SHARE, _LEAST = 0.5, 1.0
_ORDERS = list(permutations(range(3)))[1:]
_TURNED = {
    "r90": "turned by 90 degrees counter-clockwise",
    "r180": "turned by 180 degrees",
    "r270": "turned by 90 degrees clockwise",
    "v": "mirrored top to bottom",
    "h": "mirrored left to right",
    "t": "transposed",
    "hvt": "transposed and turned by 180 degrees",
}


def thumbnail(picture: Bytes, low_shape: tuple[int, ...]) -> Plane:
    """Area means, float32 (h, w, 3) in [0, 255], of a picture or its low picture, whose shape begins with (h, w)."""
    height, width = (min(side, _SIDE) for side in low_shape[:2])
    return reduced(picture, (height, width))


def reduced(picture: Bytes, shape: tuple[int, int]) -> Plane:
    """Area means of a uint8 picture, float32 (*shape, 3), not rounded."""
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def misread(picture: Plane, name: str, lows: Mapping[str, Plane]) -> str | None:
    """How a picture would have to be read to show the low picture `name`; None when as it is.

    All by their thumbnails; `lows` holds those of every low picture.
    """
    own = lows[name]
    readings = {f"shows the low picture {other}": low for other, low in lows.items() if other != name}
    readings |= {f"has its channels in the order {_letters(order)}": own[..., order] for order in _ORDERS}
    readings |= {f"is {words}": _turned(own, symmetry) for symmetry, words in _TURNED.items()}
    errors = {words: _error(picture, low) for words, low in readings.items() if low.shape == picture.shape}
    best = min(errors, key=errors.__getitem__)
    error = _error(picture, own)
    return best if error > _LEAST and errors[best] < _SHARE * error else None


def _letters(order: tuple[int, ...]) -> str:
    return "".join("RGB"[channel] for channel in order)


def _turned(plane: Plane, symmetry: str) -> Plane:
    return apply_symmetry(torch.from_numpy(plane).permute(2, 0, 1), symmetry).permute(1, 2, 0).numpy()


def _error(first: Plane, second: Plane) -> float:
    return float(np.mean((first - second) ** 2))
