"""No scene is in two folds, folds are equal in size and difficulty, and every planted leak is found."""

import itertools
import json
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.data.likeness import SAME_SCENE, Signature, signature
from competition.data.splits import folds, leaks, nearest, split_scenes
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


def test_five_planted_leaks_are_found_and_no_other(signatures: dict[str, Signature], shared_data: Path) -> None:
    landscapes = {name: side for name, side in signatures.items() if len(name) == 7}
    train = dict(list(landscapes.items())[:25])
    validation = dict(list(landscapes.items())[25:])
    pictures = {name: read_rgb(shared_data / "bsd100/hr" / name) for name in list(train)[:5]}
    exact, small, bright, cut, soft = pictures
    validation |= {
        "exact": signature(pictures[exact]),
        "small": signature(cv2.resize(pictures[small], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)),
        "bright": signature(np.asarray((pictures[bright] * 1.2).clip(0, 255), np.uint8)),
        "cut": signature(np.ascontiguousarray(pictures[cut][20:, :-30])),
        "soft": signature(np.asarray(cv2.GaussianBlur(pictures[soft], (0, 0), 2), np.uint8)),
    }
    planted = {("exact", exact), ("small", small), ("bright", bright), ("cut", cut), ("soft", soft)}
    found = leaks(train, validation)
    assert {(leak.name, leak.other) for leak in found} == planted
    assert found[0] == ("exact", exact, 1.0)
    report = {near.name: near for near in nearest(train, validation)}
    assert list(report) == sorted(validation)
    assert {(near.name, near.other) for near in report.values() if near.likeness >= SAME_SCENE} == planted


def test_overlapping_views_on_both_sides_are_a_leak(signatures: dict[str, Signature]) -> None:
    train = {name: signatures[name] for name in ("20000.png", "20005.png", "20008.png", "001.png")}
    validation = {name: signatures[name] for name in ("20002.png", "20006.png", "20009.png")}
    assert {leak[:2] for leak in leaks(train, validation)} == {("20002.png", "20000.png"), ("20006.png", "20005.png")}


def test_a_split_by_scenes_does_not_leak_and_fits_json(signatures: dict[str, Signature]) -> None:
    split = split_scenes(signatures, difficulty_of(dict.fromkeys(signatures, 0)), 4, 7)
    assert set(split.folds) == set(split.groups) == set(split.nearest) == set(signatures)
    for fold in range(4):
        held_out = {name: side for name, side in signatures.items() if split.folds[name] == fold}
        rest = {name: side for name, side in signatures.items() if split.folds[name] != fold}
        assert leaks(rest, held_out) == []
        for near in nearest(rest, held_out):
            assert split.nearest[near.name] == (near.other, pytest.approx(near.likeness, abs=2e-4))
    streets = {split.groups[name] for name in ("20000.png", "20001.png", "20002.png")}
    assert len(streets) == 1
    read = json.loads(json.dumps(split._asdict()))
    assert read["folds"] == split.folds and read["groups"] == split.groups
    assert split_scenes(dict(reversed(signatures.items())), difficulty_of(dict.fromkeys(signatures, 0)), 4, 7) == split
