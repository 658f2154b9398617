"""No scene is in two folds, folds are equal in size and difficulty, and every planted leak is found."""

import itertools
import json
from collections.abc import Collection
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.data.likeness import SAME_SCENE, Signature, likeness_matrix, signature
from competition.data.splits import Split, folds, hold_out_fold, hold_out_listed
from competition.errors import BadInput
from competition.images import read_rgb

Names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
Groups = st.dictionaries(Names, st.integers(0, 12), min_size=1, max_size=60)


def difficulty_of(groups: dict[str, int], seed: int = 0) -> dict[str, float]:
    generator = np.random.default_rng(seed)
    return {name: float(generator.lognormal(4, 1)) for name in sorted(groups)}


def sizes(split: dict[str, int], count: int) -> list[int]:
    return [list(split.values()).count(fold) for fold in range(count)]


# ---- folds ----------------------------------------------------------------------------------------------------------


@given(Groups, st.integers(1, 6), st.integers(0, 2**63 - 1))
def test_no_scene_straddles_folds_and_sizes_differ_by_no_more_than_the_largest_scene(
    groups: dict[str, int], count: int, seed: int
) -> None:
    if len(set(groups.values())) < count:
        with pytest.raises(BadInput, match=f"do not fill {count} folds"):
            folds(groups, difficulty_of(groups), count, seed)
        return
    split = folds(groups, difficulty_of(groups), count, seed)
    assert list(split) == sorted(groups)
    assert all(len({split[name] for name in groups if groups[name] == group}) == 1 for group in groups.values())
    largest = max(list(groups.values()).count(group) for group in groups.values())
    assert min(sizes(split, count)) > 0
    assert max(sizes(split, count)) - min(sizes(split, count)) <= largest


@given(Groups, st.randoms(use_true_random=False), st.integers(0, 1000))
def test_folds_depend_on_names_scenes_and_seed_but_not_on_order_or_numbers(
    groups: dict[str, int], random: Random, seed: int
) -> None:
    difficulty = difficulty_of(groups)
    names = list(groups)
    random.shuffle(names)
    renumbered = {name: 100 - 7 * groups[name] for name in names}
    count = min(3, len(set(groups.values())))
    assert folds(renumbered, difficulty, count, seed) == folds(groups, difficulty, count, seed)


def test_another_seed_gives_other_folds() -> None:
    groups = {f"{number:04d}.png": number for number in range(100)}
    splits = [folds(groups, difficulty_of(groups), 5, seed) for seed in range(3)]
    agreement = [sum(a[name] == b[name] for name in groups) for a, b in itertools.pairwise(splits)]
    assert max(agreement) < 50


@pytest.mark.parametrize(("pictures", "count"), [(1640, 20), (1640, 5), (200, 4), (60, 3)])
def test_folds_are_equally_hard(pictures: int, count: int) -> None:
    # Pictures 10 to a scene's four; hardness from 0 to 1 by rank, so that equal folds have a mean of 0.5.
    groups = {f"{number:04d}.png": number // 4 if number % 10 < 4 else -number for number in range(pictures)}
    shuffled = np.random.default_rng(1).permutation(pictures) / (pictures - 1)
    difficulty = dict(zip(groups, map(float, shuffled), strict=True))
    split = folds(groups, difficulty, count, 0)
    for fold in range(count):
        ranks = [difficulty[name] for name in split if split[name] == fold]
        assert abs(np.mean(ranks) - 0.5) < 0.03
        assert 0.2 < np.std(ranks) < 0.4  # as of all pictures, 0.29: easy and hard ones in every fold


# ---- leaks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signatures(shared_data: Path) -> dict[str, Signature]:
    """The contest's 18 test pictures and 40 of BSD100."""
    paths = sorted((shared_data / "competition/test/lr").glob("*.png"))
    paths += sorted((shared_data / "bsd100/hr").glob("*.png"))[:40]
    return {path.name: signature(read_rgb(path)) for path in paths}


def listed(sides: dict[str, Signature], validation: Collection[str], folder: Path) -> Split:
    (folder / "validation.txt").write_text("\n".join(validation))
    matrix = likeness_matrix(list(sides.values()), list(sides.values()))
    return hold_out_listed(list(sides), matrix, folder / "validation.txt")


def test_overlapping_views_on_both_sides_are_told(signatures: dict[str, Signature], tmp_path: Path) -> None:
    train, validation = ("20000.png", "20005.png", "20008.png", "001.png"), ("20002.png", "20006.png", "20009.png")
    split = listed({name: signatures[name] for name in (*train, *validation)}, validation, tmp_path)
    leaks = {(near.name, near.other) for near in split.nearest if near.likeness >= SAME_SCENE}
    assert leaks == {("20002.png", "20000.png"), ("20006.png", "20005.png")}
    assert {near.name for near in split.nearest} == set(validation) == set(split.validation)
    assert all(near.other in train for near in split.nearest)
    assert sorted(split.nearest, key=lambda near: -near.likeness) == split.nearest


def test_folds_of_real_scenes_do_not_leak(signatures: dict[str, Signature]) -> None:
    names, sides = list(signatures), list(signatures.values())
    matrix = likeness_matrix(sides, sides)
    difficulty = difficulty_of(dict.fromkeys(names, 0))
    for fold in range(4):
        split = hold_out_fold(names, matrix, difficulty, 0.25, fold, 7)
        assert split.validation == sorted(name for name in names if split.folds[name] == fold)
        assert all(near.likeness < SAME_SCENE for near in split.nearest)
        assert len({split.scenes[name] for name in ("20000.png", "20001.png", "20002.png")}) == 1
        assert json.loads(json.dumps(split._asdict()))["folds"] == split.folds
        backwards = hold_out_fold(names[::-1], matrix[::-1, ::-1], difficulty, 0.25, fold, 7)
        assert backwards.validation == split.validation and backwards.nearest == split.nearest
