"""Views of one scene and processed copies are recognised among real photographs, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Texture
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.data.likeness import (
    SAME_PICTURE,
    SAME_SCENE,
    Signature,
    groups,
    likeness,
    likeness_matrix,
    signature,
    unpack,
)
from competition.images import Bytes, read_rgb


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> dict[str, Bytes]:
    """The contest's test pictures, Set5 and every 5th of the others, by folder and name."""
    folders = {"test": "competition/test/lr", "set5": "set5/hr", "bsd100": "bsd100/hr", "urban100": "urban100/hr"}
    paths = {label: sorted((shared_data / folder).glob("*.png")) for label, folder in folders.items()}
    steps = {"test": 1, "set5": 1, "bsd100": 5, "urban100": 5}
    return {f"{label}/{path.stem}": read_rgb(path) for label in paths for path in paths[label][:: steps[label]]}


@pytest.fixture(scope="module")
def signatures(photographs: dict[str, Bytes]) -> dict[str, Signature]:
    return {name: signature(picture) for name, picture in photographs.items()}


def scenes(signatures: dict[str, Signature]) -> list[list[str]]:
    """The names of every group of more than one picture."""
    numbers = groups(list(signatures.values()))
    by_number: dict[int, list[str]] = {}
    for name, number in zip(signatures, numbers, strict=True):
        by_number.setdefault(number, []).append(name)
    return sorted(names for names in by_number.values() if len(names) > 1)


# As a look at the 18 pictures shows: a street three times, a park, a glass building and two towers twice each.
TEST_SCENES = [
    ["test/20000", "test/20001", "test/20002"],
    ["test/20005", "test/20006"],
    ["test/20012", "test/20013"],
    ["test/20016", "test/20017"],
]


def test_the_views_of_one_scene_are_grouped_and_nothing_else(signatures: dict[str, Signature]) -> None:
    assert scenes(signatures) == TEST_SCENES


@pytest.mark.slow
def test_nothing_is_grouped_wrongly_among_all_photographs(shared_data: Path) -> None:
    folders = ("competition/test/lr", "set5/hr", "bsd100/hr", "urban100/hr")
    paths = [path for folder in folders for path in sorted((shared_data / folder).glob("*.png"))]
    found = scenes({f"{path.parts[-3]}/{path.stem}": signature(read_rgb(path)) for path in paths})
    assert len(paths) == 193
    assert found == TEST_SCENES


def compressed(picture: Bytes) -> Bytes:
    _, content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def noisy(picture: Bytes) -> Bytes:
    noise = np.random.default_rng(1).normal(0, 10, picture.shape)
    return np.asarray((picture + noise).clip(0, 255), np.uint8)


COPIES: dict[str, Callable[[Bytes], Bytes]] = {
    "compressed": compressed,
    "brighter": lambda picture: np.asarray((picture * 1.3).clip(0, 255), np.uint8),
    "darker": lambda picture: np.asarray(picture * 0.6, np.uint8),
    "half the size": lambda picture: cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "a quarter of the size": lambda picture: cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
    "blurred": lambda picture: cv2.GaussianBlur(picture, (0, 0), 2),
    "noisy": noisy,
}
CROPS: dict[str, Callable[[Bytes], Bytes]] = {
    "crop of 95 %": lambda picture: picture[picture.shape[0] // 20 :, picture.shape[1] // 20 :],
    "crop of 85 %": lambda picture: picture[: -(picture.shape[0] * 3 // 20), : -(picture.shape[1] * 3 // 20)],
}


@pytest.mark.parametrize("copy", [*COPIES, *CROPS])
def test_a_copy_is_like_its_original_and_no_other(
    copy: str, photographs: dict[str, Bytes], signatures: dict[str, Signature]
) -> None:
    change = (COPIES | CROPS)[copy]
    copies = [signature(np.ascontiguousarray(change(picture))) for picture in photographs.values()]
    matrix = likeness_matrix(list(signatures.values()), copies)
    assert np.diag(matrix).min() >= (SAME_PICTURE if copy in COPIES else SAME_SCENE)
    related = {frozenset((first, second)) for scene in TEST_SCENES for first in scene for second in scene}
    for row, name in enumerate(signatures):
        for column, other in enumerate(signatures):
            if row != column and frozenset((name, other)) not in related:
                assert matrix[row, column] < SAME_SCENE, (name, other)


def test_likeness_is_one_for_the_same_pixels_and_the_same_in_either_order(signatures: dict[str, Signature]) -> None:
    sides = list(signatures.values())
    matrix = likeness_matrix(sides, sides)
    assert (np.diag(matrix) == 1).all()
    assert np.abs(matrix - matrix.T).max() < 1e-5
    assert matrix.min() >= 0 and matrix.max() <= 1
    close = np.argwhere(matrix >= SAME_SCENE)
    for row, column in [*close, (0, 30), (7, 40), (20, 21)]:
        assert likeness(sides[row], sides[column]) == pytest.approx(matrix[row, column], abs=1e-5)


def test_groups_join_through_a_third_picture_and_do_not_depend_on_order(signatures: dict[str, Signature]) -> None:
    names = sorted(signatures, reverse=True)
    assert sorted(sorted(scene) for scene in scenes({name: signatures[name] for name in names})) == TEST_SCENES


@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_without_structure_are_alike_only_when_they_are_the_same(level: int) -> None:
    flat = np.full((90, 120, 3), level, np.uint8)
    gradient = np.asarray(np.linspace(0, 255, 120)[None, :, None] * np.ones((90, 1, 3)), np.uint8)
    assert likeness(signature(flat), signature(flat.copy())) == 1
    assert likeness(signature(flat), signature(flat[:-1])) == 0
    assert likeness(signature(flat), signature(gradient)) == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 5))
def test_pictures_of_any_size_have_a_signature_that_survives_packing(
    texture: Texture, height: int, width: int, seed: int
) -> None:
    made = signature(texture(seed, height, width))
    read = unpack(made.pack())
    assert read.digest == made.digest
    for ours, theirs in zip(read[1:], made[1:], strict=True):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert likeness(made, read) == 1


def test_signatures_are_small(signatures: dict[str, Signature]) -> None:
    assert max(len(side.pack()) for side in signatures.values()) < 16_000


def test_a_cut_or_longer_signature_is_refused(texture: Texture) -> None:
    content = signature(texture(1)).pack()
    for wrong in (b"", content[:10], content[:40], content[:-1], content + b"\0"):
        with pytest.raises(ValueError, match="landmarks"):
            unpack(wrong)
