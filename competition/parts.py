"""Parts of a picture that may weigh a vote's members differently: frequency bands, or places of like texture.

Each kind cuts the picture by orthogonal projections that sum to the identity: the squared error of a picture is then
the sum of those of its parts, and the weights of one part can be fitted without the others.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import fft

from competition.images import Bytes, Words

Kind = Literal["all", "band", "texture"]
Plane = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

# Upper ends of all bands but the last, in units of the highest frequency that the low picture can hold.
BANDS = (0.25, 0.5, 1.0)
# Standard deviations of the low picture's luma around a pixel, in 8-bit levels, between flat, middling and textured.
TEXTURES = (4.0, 12.0)
_WINDOW = 5


class Parts(NamedTuple):
    """A kind of part: `label` tells the part of each coefficient, `forward` and `inverse` lead to them and back."""

    number: int
    label: Callable[[Bytes, int], Labels]
    """(low picture, scale) to numbers below `number`, of the high picture's height and width."""
    forward: Callable[[Plane], Plane]
    inverse: Callable[[Plane], Plane]


def join(members: Sequence[Words], weights: npt.NDArray[np.float64], labels: Labels, parts: Parts) -> torch.Tensor:
    """The vote, each part with its own weights (parts, members): float64 (1, 3, H, W), in about [0, 1]."""
    planes = []
    for channel in range(3):
        total = np.zeros(labels.shape)
        for member, shares in zip(members, weights.T, strict=True):
            total += parts.forward(member[..., channel] / 65535) * shares[labels]
        planes.append(parts.inverse(total))
    return torch.from_numpy(np.stack(planes)).unsqueeze(0)


def _everything(low: Bytes, scale: int) -> Labels:
    return np.zeros((low.shape[0] * scale, low.shape[1] * scale), np.uint8)


def _bands(low: Bytes, scale: int) -> Labels:
    """Of the cosine transform's coefficients, by the larger of their two frequencies."""
    down, right = (np.arange(side * scale) / side for side in low.shape[:2])
    return np.asarray(np.digitize(np.maximum(down[:, None], right[None]), BANDS), np.uint8)


def _textures(low: Bytes, scale: int) -> Labels:
    luma = cv2.cvtColor(low, cv2.COLOR_RGB2GRAY).astype(np.float32)
    window = (_WINDOW, _WINDOW)
    mean = cv2.blur(luma, window, borderType=cv2.BORDER_REFLECT)
    square = cv2.blur(luma**2, window, borderType=cv2.BORDER_REFLECT)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    textures = np.asarray(np.digitize(deviation, TEXTURES), np.uint8)
    return textures.repeat(scale, 0).repeat(scale, 1)


def _itself(plane: Plane) -> Plane:
    return plane


def _cosines(plane: Plane) -> Plane:
    return np.asarray(fft.dctn(plane, norm="ortho"))


def _from_cosines(plane: Plane) -> Plane:
    return np.asarray(fft.idctn(plane, norm="ortho"))


PARTS: dict[Kind, Parts] = {
    "all": Parts(1, _everything, _itself, _itself),
    "band": Parts(len(BANDS) + 1, _bands, _cosines, _from_cosines),
    "texture": Parts(len(TEXTURES) + 1, _textures, _itself, _itself),
}
