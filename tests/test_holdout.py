"""What a run holds out: listed names or whole scenes, repeatably, and never a picture that training shows too."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Contest

from competition.config import load
from competition.data.likeness import Matrix
from competition.data.splits import Split, hold_out_fold, hold_out_listed
from competition.errors import BadInput, UsageError
from competition.experiment import Experiment
from competition.feed import Contest as Opened
from competition.feed import open_contest, prepare_pairs
from competition.images import read_rgb, write_png

NAMES = [f"{number:03d}.png" for number in range(100)]
DIFFICULTY = {name: float(number**2 % 37) for number, name in enumerate(NAMES)}


def strangers(count: int = 100) -> Matrix:
    """Likeness of pictures that have nothing in common."""
    return np.eye(count, dtype=np.float32)


def fold(share: float, number: int = 0, seed: int = 5, names: Sequence[str] = NAMES) -> Split:
    return hold_out_fold(names, strangers(len(names)), DIFFICULTY, share, number, seed)


# ---- folds ----------------------------------------------------------------------------------------------------------


def test_a_share_is_drawn_by_seed_alone() -> None:
    held_out = fold(0.1).validation
    assert len(held_out) == 10 and held_out == sorted(held_out)
    assert fold(0.1, names=NAMES[::-1]).validation == held_out
    assert fold(0.1, seed=6).validation != held_out


def test_folds_hold_out_every_picture_once() -> None:
    parts = [fold(0.2, number).validation for number in range(5)]
    assert sorted(itertools.chain(*parts)) == NAMES
    assert all(len(part) == 20 for part in parts)
    means = [np.mean([DIFFICULTY[name] for name in part]) for part in parts]
    assert max(means) - min(means) < 3  # of difficulties from 0 to 36


def test_few_pairs_make_as_many_folds_as_there_are_scenes() -> None:
    assert len(fold(0.01, names=NAMES[:3]).validation) == 1


def test_a_fold_beyond_the_last_is_refused() -> None:
    with pytest.raises(UsageError, match=r"data\.fold: 5, but there are 5 folds"):
        fold(0.2, 5)


def test_pairs_of_one_scene_cannot_be_split() -> None:
    with pytest.raises(BadInput, match="of one scene"):
        hold_out_fold(NAMES[:3], np.ones((3, 3), np.float32), DIFFICULTY, 0.3, 0, 0)
    with pytest.raises(BadInput, match="of one scene"):
        fold(0.5, names=NAMES[:1])


# ---- listed names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_holds_out_what_it_names(newline: str, last: bool, encoding: str, tmp_path: Path) -> None:
    text = newline.join(["003.png", "", "001.png"]) + newline * last
    (tmp_path / "validation.txt").write_bytes(text.encode(encoding))
    assert hold_out_listed(NAMES, strangers(), tmp_path / "validation.txt").validation == ["001.png", "003.png"]


def test_an_unknown_name_in_the_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validation.txt"
    path.write_text("003.png\n3.png\n\n 004.png\n")
    with pytest.raises(BadInput) as refusal:
        hold_out_listed(NAMES, strangers(), path)
    assert [line.removesuffix(": no such pair. Remove the line") for line in refusal.value.lines] == [
        f"{path}:  004.png",
        f"{path}: 3.png",
    ]


@pytest.mark.parametrize("content", [None, b"\xff\n"])
def test_a_list_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "validation.txt").write_bytes(content)
    with pytest.raises(BadInput, match=r"validation\.txt: (cannot be read|no such file)"):
        hold_out_listed(NAMES, strangers(), tmp_path / "validation.txt")


@pytest.mark.parametrize("chosen", [[], NAMES], ids=["no validation", "no training"])
def test_an_empty_side_is_refused(chosen: list[str], tmp_path: Path) -> None:
    (tmp_path / "validation.txt").write_text("\n".join(chosen))
    with pytest.raises(
        BadInput, match=r"validation\.txt: leaves \d+ training and \d+ validation pairs\. Both sides need one"
    ):
        hold_out_listed(NAMES, strangers(), tmp_path / "validation.txt")


# ---- real pictures --------------------------------------------------------------------------------------------------


def opened(root: Path, *overrides: str) -> Opened:
    """The contest in `root` as a run opens it."""
    config = root / "run.yaml"
    config.write_text(f"name: run\ndata: {{root: {root}, high_patch: 32, store: none}}\n")
    experiment = load(config, Experiment, overrides)
    prepare_pairs(experiment)
    return open_contest(experiment)


def lay_out(root: Path, highs: dict[str, np.ndarray]) -> Path:
    for name, high in highs.items():
        high = np.ascontiguousarray(high[: high.shape[0] // 4 * 4, : high.shape[1] // 4 * 4])
        size = (high.shape[1] // 4, high.shape[0] // 4)
        write_png(root / "train/hr" / name, high)
        write_png(root / "train/lr" / name, np.asarray(cv2.resize(high, size, interpolation=cv2.INTER_AREA), np.uint8))
    return root


def test_planted_leaks_are_all_refused_and_no_other(shared_data: Path, tmp_path: Path) -> None:
    """Five validation pictures are in training too: brighter, as JPEG, cropped, smaller, and as they are."""
    paths = sorted((shared_data / "bsd100/hr").glob("*.png"))[:30]
    highs = {path.name: read_rgb(path) for path in paths}
    chosen = list(highs)[:10]
    first, second, third, fourth, fifth = (highs[name] for name in chosen[:5])
    _, code = cv2.imencode(".jpg", second, [cv2.IMWRITE_JPEG_QUALITY, 60])
    highs["twin1.png"] = (first * 0.8 + 20).astype(np.uint8)
    highs["twin2.png"] = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    highs["twin3.png"] = third[8:-8, 12:-4]
    highs["twin4.png"] = np.asarray(cv2.resize(fourth, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA), np.uint8)
    highs["twin5.png"] = fifth
    root = lay_out(tmp_path, highs)
    (root / "validation.txt").write_text("\n".join(chosen))
    with pytest.raises(BadInput) as refusal:
        opened(root, "data.validation=validation.txt")
    assert [fault.kind for fault in refusal.value.faults] == ["leak"] * 5
    for name, twin in zip(chosen, range(1, 6), strict=False):
        assert any(f"{name}: is listed" in line and f"twin{twin}.png" in line for line in refusal.value.lines)
    for number in range(3):  # where folds are dealt out, twins stay together
        split = opened(root, "data.validation=0.3", f"data.fold={number}").split
        assert all(
            (name in split.validation) == (f"twin{i}.png" in split.validation) for i, name in enumerate(chosen[:5], 1)
        )


def test_what_a_run_holds_out_is_written_beside_it(contest: Contest, tmp_path: Path) -> None:
    split = opened(contest(6), "data.validation=0.34").split
    kept = json.loads(json.dumps(split._asdict()))
    assert len(kept["validation"]) == 2 and len(kept["folds"]) == len(kept["scenes"]) == 6
    assert sorted(set(kept["folds"].values())) == [0, 1, 2]
    assert [name for name, _, _ in sorted(kept["nearest"])] == kept["validation"]
    assert all(other not in kept["validation"] for _, other, _ in kept["nearest"])


def test_synthetic_pairs_of_held_out_scenes_are_left_out(contest: Contest) -> None:
    root = contest(6)
    synthesize = f"data.synthesize={{high: {root / 'train/hr'}, kinds: [{{resize: nearest, noise: 3}}]}}"
    found = opened(root, "data.validation=0.34", synthesize)
    held_out = set(found.split.validation)
    assert {pair.high.name for pair in found.left_out} == held_out and len(held_out) == 2
    assert [one.pair.name for one in found.training if one.pair.high.name in held_out] == []
    assert len(found.training) == 8
    assert "2 synthetic pairs show scenes of the validation and are left out" in found.warnings()
