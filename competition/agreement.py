"""How predictions agree with the truth and, where there is none, with one another: Gram matrices and outliers."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from competition.images import Bytes, Words
from competition.metrics import MetricConfig
from competition.parts import Labels, Parts, Plane

Array = npt.NDArray[np.float64]

# Rows that are multiplied at a time.
_STRIP = 32
# Disagreement that is drawn brightest, in 8-bit levels.
_BRIGHTEST = 16.0
# A member is out of family where it lies this many times as far from the others as it mostly does.
UNUSUAL = 2.0
# Distances that count as none, in 8-bit levels: the step of 16-bit predictions.
_EQUAL = 1 / 257


def gram(
    members: Sequence[Words], reference: Bytes | Words, metric: MetricConfig, parts: Parts, labels: Labels
) -> Array:
    """Mean products of the members' differences from a reference picture, (parts, members, members), in squared levels.

    Members and reference are (H, W, 3), `labels` (H, W) those of `parts`; the metric tells channels and border. Takes
    17 MB a member beside the members themselves, at 2048x2048.
    """
    labels = metric.inside(labels)
    total, samples = np.zeros((parts.number, len(members), len(members))), 0
    planes = [metric.linear_planes(member) for member in members]
    for plane in metric.linear_planes(reference):
        total += _products([parts.forward(next(ours) - plane) for ours in planes], labels, parts.number)
        samples += plane.size
    return total / samples


def _products(planes: Sequence[Plane], labels: Labels, number: int) -> Array:
    """Sums of the products of every two planes over each part, (number, planes, planes)."""
    total = np.zeros((number, len(planes), len(planes)))
    for top in range(0, len(labels), _STRIP):
        rows = slice(top, top + _STRIP)
        values = np.stack([plane[rows] for plane in planes]).astype(np.float64)
        for part in range(number):
            chosen = values[:, labels[rows] == part]
            total[part] += chosen @ chosen.T
    return total


def distances(grams: Array) -> Array:
    """Root mean square difference of every two members on each picture, (pictures, members, members), in 8-bit levels.

    grams: (pictures, parts, members, members) about any reference.
    """
    whole = grams.sum(1)
    alone = np.einsum("kii->ki", whole)
    return np.asarray(np.sqrt((alone[:, :, None] + alone[:, None] - 2 * whole).clip(0)))


class Outlier(NamedTuple):
    """A member that lies `times` as far from the others on a picture as is usual for it."""

    picture: int
    member: int
    times: float


def outliers(usual: Array, seen: Array) -> list[Outlier]:
    """Members out of family on the pictures of `seen`, judged by those of `usual`; none of fewer than three members.

    Both are `distances`. What counts is a member's distance to the nearest other one, in units of the picture's middle
    member: a bad member is one thing, a member that is bad here and not elsewhere another. On easy pictures, where all
    are nearer than anywhere in `usual`, units are small and nobody is out of family.
    """
    if seen.shape[1] < 3:  # of two that differ, neither is the odd one
        return []
    # The first of a sorted row is the distance to itself.
    known, found = (np.sort(between, 2)[:, :, 1] for between in (usual, seen))
    times = _remoteness(found) / np.median(_remoteness(known), 0)
    odd = (times > UNUSUAL) & (_remoteness(found) > _remoteness(known).max(0)) & (found > known.min(0))
    return [Outlier(int(k), int(i), float(times[k, i])) for k, i in np.argwhere(odd)]


def _remoteness(nearest: Array) -> Array:
    """Distances to the nearest other member, (pictures, members), in units of each picture's middle member."""
    middle = np.sort(nearest, 1)[:, (nearest.shape[1] - 1) // 2, None]
    return np.asarray((nearest + _EQUAL) / (middle + _EQUAL))


def disagreement(members: Sequence[Words], shares: Array) -> npt.NDArray[np.float32]:
    """Standard deviation of the members at each pixel, root mean square over the channels, (H, W) in 8-bit levels.

    shares: one for each member, of sum 1. The mean of its square is the diversity of their vote.
    """
    mean = sum(share * member.astype(np.float32) for share, member in zip(shares, members, strict=True))
    square = sum(share * ((member - mean) ** 2).mean(2) for share, member in zip(shares, members, strict=True))
    return np.asarray(np.sqrt(square) / 257, np.float32)


def draw(levels: npt.NDArray[np.float32]) -> Bytes:
    """A map of 8-bit levels as a picture: black for none, over red and yellow, to pale yellow from _BRIGHTEST on."""
    grey = (levels / _BRIGHTEST * 255 + 0.5).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)
