"""The verdict names what is wrong, and nothing else."""

from pathlib import Path

import cv2
import mispredicted
import numpy as np
import pytest
from drawn import draw_contest

from competition.analysis.diagnosis.door import analyse
from competition.analysis.diagnosis.findings import Findings
from competition.images import read_prediction, read_rgb, write_png

FAULTS = {*mispredicted.FAULTS, "member"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_contest(tmp_path_factory.mktemp("drawn"), 4)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Pieces of six photographs of buildings, 192 pixels a side."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(61, 67):
        name = f"{number:03d}.png"
        for side, folder, size in (("hr", "hr", 192), ("lr", "lr_bicubic_x4", 48)):
            piece = read_rgb(shared_data / "urban100" / folder / name)[size : 2 * size, size : 2 * size]
            write_png(root / "train" / side / name, np.ascontiguousarray(piece))
    return root


def judge(run: Path, data: Path, *members: Path) -> Findings:
    return analyse(run, data, members=members, progress=False)


def named(findings: Findings) -> set[str]:
    return set(findings.verdict["about"]) & FAULTS


def sentence(findings: Findings, about: str) -> str:
    return str(findings.verdict.set_index("about").loc[about, "sentence"])


@pytest.mark.parametrize("fault", mispredicted.FAULTS)
def test_a_planted_fault_is_named_and_no_other(fault: str, data: Path, tmp_path: Path) -> None:
    run = mispredicted.write(tmp_path, mispredicted.fair(data), mispredicted.FAULTS[fault])
    assert named(judge(run, data)) == {fault}


@pytest.mark.parametrize("fault", mispredicted.FAULTS)
def test_of_photographs_too(fault: str, photographs: Path, tmp_path: Path) -> None:
    run = mispredicted.write(tmp_path, mispredicted.fair(photographs), mispredicted.FAULTS[fault])
    assert named(judge(run, photographs)) == {fault}


@pytest.mark.parametrize("kind", ["drawn", "photographs"])
def test_where_nothing_is_planted_nothing_is_named(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue({"drawn": "data"}.get(kind, kind))
    predictions = mispredicted.fair(data)
    members = [mispredicted.write(tmp_path / name, predictions, _noise(seed)) for seed, name in enumerate("abc")]
    assert named(judge(members[0], data, *members)) == set()


def test_bicubic_itself_has_none_of_the_faults(photographs: Path, tmp_path: Path) -> None:
    run = mispredicted.write(tmp_path, {name: _bicubic(photographs, name) for name in mispredicted.fair(photographs)})
    findings = judge(run, photographs)
    assert named(findings) == set()
    assert "not surely better than bicubic" in sentence(findings, "bicubic")


def test_a_bad_member_is_named_with_what_the_others_gain_without_it(data: Path, tmp_path: Path) -> None:
    predictions = mispredicted.fair(data)
    members = [mispredicted.write(tmp_path / name, predictions, _noise(seed)) for seed, name in enumerate("abc")]
    members += [mispredicted.write(tmp_path / "bad", predictions, lambda levels: cv2.GaussianBlur(levels, (0, 0), 3))]
    findings = judge(members[0], data, *members)
    assert named(findings) == {"member"}
    assert f"without {tmp_path / 'bad'}" in sentence(findings, "member")
    worth = findings.members.set_index("member")["worth"]
    assert worth.idxmin().startswith(str(tmp_path / "bad")) and (worth.drop(worth.idxmin()) > 0).all()


def test_the_sentences_tell_the_planted_figures(data: Path, tmp_path: Path) -> None:
    predictions = mispredicted.fair(data)
    found = {
        fault: judge(mispredicted.write(tmp_path / fault, predictions, plant), data)
        for fault, plant in mispredicted.FAULTS.items()
    }
    assert "order bgr" in sentence(found["channel order"], "channel order")
    assert " pixels down and +1.0" in sentence(found["shift"], "shift")
    assert "gamma of 1.10" in sentence(found["gamma"], "gamma")
    assert "outer 8 pixels" in sentence(found["border"], "border")
    assert "0.078 to 0.125 cycles" in sentence(found["band"], "band")


def test_a_fault_of_one_picture_is_told_with_its_name(data: Path, tmp_path: Path) -> None:
    run = mispredicted.write(tmp_path, mispredicted.fair(data))
    path = run / "validation/002.png"
    write_png(path, np.ascontiguousarray(read_prediction(path)[..., ::-1]))
    assert "1 of 4 pictures (002.png)" in sentence(judge(run, data), "channel order")


def test_every_sentence_gives_its_rule_and_there_are_ten_at_most(data: Path, tmp_path: Path) -> None:
    verdict = judge(mispredicted.write(tmp_path, mispredicted.fair(data), mispredicted.shifted), data).verdict
    assert 0 < len(verdict) <= 10
    assert verdict["rule"].str.len().min() > 20 and verdict["sentence"].str.endswith(".").all()


def _noise(seed: int) -> mispredicted.Fault:
    generator = np.random.default_rng(seed)
    return lambda levels: levels + generator.normal(0, 0.2, levels.shape)


def _bicubic(data: Path, name: str) -> mispredicted.Levels:
    return mispredicted.bicubic(read_rgb(data / "train/lr" / name), 4).astype(np.float64)
