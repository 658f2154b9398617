"""Splits that do not leak: whole scenes stay together, folds are equally large and equally hard."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from competition.data.likeness import SAME_SCENE, Matrix, Signature, groups_of, likeness_matrix
from competition.errors import BadInput

# Units are dealt out from the extreme to the middling in so many steps, shuffled by the seed within a step.
STRATA = 10


class Neighbour(NamedTuple):
    """The picture of one side that is most like a picture of the other side."""

    name: str
    other: str
    likeness: float
    """As `likeness.likeness`: from SAME_SCENE on the two leak."""


class Split(NamedTuple):
    """Folds of a set of pictures; `_asdict()` is ready for JSON."""

    folds: dict[str, int]
    """Fold of every picture, 0 to count - 1."""
    groups: dict[str, int]
    """Scene of every picture."""
    nearest: dict[str, tuple[str, float]]
    """For every picture the most similar one of all other folds, and their likeness."""


def split_scenes(signatures: Mapping[str, Signature], difficulty: Mapping[str, float], count: int, seed: int) -> Split:
    """Group pictures by scene, deal the groups out into folds, and tell how near the folds come to each other.

    Raises BadInput when there are fewer scenes than folds.
    """
    names = sorted(signatures)
    sides = [signatures[name] for name in names]
    matrix = likeness_matrix(sides, sides)
    groups = dict(zip(names, groups_of(matrix), strict=True))
    of = folds(groups, difficulty, count, seed)
    numbers = np.array([of[name] for name in names])
    elsewhere = np.where(numbers[:, None] == numbers, np.float32(-1), matrix)
    return Split(of, groups, {near.name: near[1:] for near in _nearest(names, names, elsewhere)})


def folds(groups: Mapping[str, int], difficulty: Mapping[str, float], count: int, seed: int) -> dict[str, int]:
    """A fold, 0 to count - 1, for every picture of `groups`, which gives the scene of each name.

    No scene is in two folds; two folds differ in size by no more than the largest scene; their mean difficulty (any
    number that grows with it, such as bicubic's squared error) is kept close by rank. The result depends on the seed,
    the names, which of them share a scene, and the order of difficulty alone. Raises BadInput when there are fewer
    scenes than folds.
    """
    scenes = _scenes(groups)
    if not 0 < count <= len(scenes):
        raise BadInput(f"{len(scenes)} scenes: do not fill {count} folds. Ask for fewer folds or add pictures")
    hardness = _centred_ranks(groups, difficulty)
    burdens = {scene: sum(hardness[name] for name in scene) for scene in scenes}
    size, burden = [0] * count, [0.0] * count
    result: dict[str, int] = {}
    for scene in sorted(scenes, key=lambda scene: _turn(scene, burdens[scene], seed)):
        # The smallest fold; of several the one where this scene lowers the sum of squared burdens most.
        fold = min(
            range(count),
            key=lambda fold: (size[fold], burden[fold] * burdens[scene], _hash(seed, *scene, str(fold))),
        )
        size[fold] += len(scene)
        burden[fold] += burdens[scene]
        result.update(dict.fromkeys(scene, fold))
    return {name: result[name] for name in sorted(result)}


def leaks(train: Mapping[str, Signature], validation: Mapping[str, Signature]) -> list[Neighbour]:
    """Every validation picture with every training picture that shows the same scene, the most alike first."""
    names, others, matrix = _compare(train, validation)
    rows, columns = (matrix >= SAME_SCENE).nonzero()
    found = [Neighbour(names[i], others[j], round(float(matrix[i, j]), 4)) for i, j in zip(rows, columns, strict=True)]
    return sorted(found, key=lambda pair: (-pair.likeness, pair))


def nearest(train: Mapping[str, Signature], validation: Mapping[str, Signature]) -> list[Neighbour]:
    """For every validation picture the most similar training picture, in the order of names."""
    return _nearest(*_compare(train, validation))


def _compare(
    train: Mapping[str, Signature], validation: Mapping[str, Signature]
) -> tuple[list[str], list[str], Matrix]:
    names, others = sorted(validation), sorted(train)
    matrix = likeness_matrix([validation[name] for name in names], [train[name] for name in others])
    return names, others, matrix


def _nearest(names: list[str], others: list[str], matrix: Matrix) -> list[Neighbour]:
    best = matrix.argmax(axis=1)
    pairs = zip(names, best, matrix.max(axis=1), strict=True)
    return [Neighbour(name, others[column], round(float(value), 4)) for name, column, value in pairs if value >= 0]


# ---- dealing out ----------------------------------------------------------------------------------------------------


def _scenes(groups: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The names of each scene."""
    scenes: dict[int, list[str]] = {}
    for name in sorted(groups):
        scenes.setdefault(groups[name], []).append(name)
    return [tuple(names) for names in scenes.values()]


def _centred_ranks(groups: Mapping[str, int], difficulty: Mapping[str, float]) -> dict[str, float]:
    """-0.5 for the easiest picture to 0.5 for the hardest."""
    ranked = sorted(groups, key=lambda name: (difficulty[name], name))
    return {name: place / max(1, len(ranked) - 1) - 0.5 for place, name in enumerate(ranked)}


def _turn(scene: tuple[str, ...], burden: float, seed: int) -> tuple[int, int, bytes]:
    """When a scene is dealt out: large ones first, as they fit in badly later, then the extreme ones."""
    return -len(scene), -round(abs(burden) / len(scene) * 2 * STRATA), _hash(seed, *scene)


def _hash(seed: int, *words: str) -> bytes:
    return hashlib.sha256("\0".join([str(seed), *words]).encode("utf-8", "surrogateescape")).digest()
