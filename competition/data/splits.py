"""Splits that do not leak: whole scenes stay together, folds are equally large and equally hard."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.data.likeness import SAME_PICTURE, Matrix, groups_of
from competition.data.pairs import read_names
from competition.errors import BadInput, Fault, UsageError

# Units are dealt out from the extreme to the middling in so many steps, shuffled by the seed within a step.
STRATA = 10


class Neighbours(NamedTuple):
    """A validation picture and the training picture most like it; from SAME_SCENE on the two show one scene."""

    name: str
    other: str
    likeness: float


class Split(NamedTuple):
    """What a run holds out; `_asdict()` is ready for JSON."""

    validation: list[str]
    """Names of the pictures held out, sorted."""
    folds: dict[str, int]
    """Fold of every picture; empty where the validation pictures were listed by hand."""
    scenes: dict[str, int]
    """Scene of every picture."""
    nearest: list[Neighbours]
    """For every validation picture the training picture most like it, the closest first."""


def hold_out_listed(names: Sequence[str], matrix: Matrix, path: Path) -> Split:
    """The split that a text file of validation names makes; `matrix` is the likeness of every two of `names`.

    Raises BadInput for a name that is unknown, for two versions of one picture on both sides, and where one side is
    empty.
    """
    chosen = read_names(path)
    if unknown := sorted(chosen - set(names)):
        raise BadInput(*[f"{path}: {name}: no such pair. Remove the line" for name in unknown])
    if not chosen or len(chosen) == len(names):
        sides = f"leaves {len(names) - len(chosen)} training and {len(chosen)} validation pairs"
        raise BadInput(f"{path}: {sides}. Both sides need one")
    split = _split(names, matrix, chosen, {})
    twins = [near for near in split.nearest if near.likeness >= SAME_PICTURE]
    if twins:
        raise BadInput(*map(partial(_leak, path), twins))
    return split


def _leak(path: Path, near: Neighbours) -> Fault:
    cause = f"is listed for validation, and {near.other} in training is the same picture"
    return Fault("leak", f"{path}: {near.name}", cause, "Remove one of the two")


def hold_out_fold(
    names: Sequence[str], matrix: Matrix, difficulty: Mapping[str, float], share: float, fold: int, seed: int
) -> Split:
    """The split that holds out one of round(1 / share) folds, or of as many as there are scenes.

    Raises BadInput for a single scene, UsageError where there is no such fold.
    """
    scenes = dict(zip(names, groups_of(matrix), strict=True))
    count = min(round(1 / share), len(set(scenes.values())))
    if count < 2:
        raise BadInput(f"{len(names)} pairs: of one scene, which cannot be on both sides. Add pictures of another")
    if fold >= count:
        raise UsageError(f"data.fold: {fold}, but there are {count} folds, counted from 0. Choose another")
    dealt = folds(scenes, difficulty, count, seed)
    return _split(names, matrix, {name for name in names if dealt[name] == fold}, dealt)


def _split(names: Sequence[str], matrix: Matrix, chosen: Collection[str], dealt: dict[str, int]) -> Split:
    held = np.array([name in chosen for name in names], bool)
    between = matrix[np.ix_(held, ~held)]
    training = [name for name in names if name not in chosen]
    validation = [name for name in names if name in chosen]
    closest = zip(validation, between.argmax(axis=1), between.max(axis=1), strict=True)
    nearest = [Neighbours(name, training[column], float(value)) for name, column, value in closest]
    scenes = dict(zip(names, groups_of(matrix), strict=True))
    return Split(sorted(validation), dealt, scenes, sorted(nearest, key=lambda near: (-near.likeness, near.name)))


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
