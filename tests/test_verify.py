"""verify as a user calls it: good submissions of every form pass, every way to spoil one is named, in one line each."""

import zipfile
from pathlib import Path

import cv2
import drawn
import numpy as np
import planted
import pytest

from competition.errors import BadInput
from competition.images import read_prediction, read_rgb, write_png
from competition.judging import Evidence, judge, known_manifest
from competition.submit import main as submit
from competition.verify import main as verify

SIDE = 192
NAMES = ("20.png", "21.png", "22.png", "23.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A contest with two members, handed in as joint.zip; the 16-bit vote and an earlier submission beside it."""
    root = tmp_path_factory.mktemp("place")
    for number, name in enumerate(NAMES):
        truth = drawn.texture(number, SIDE, SIDE)
        low = cv2.resize(truth, None, fx=1 / 4, fy=1 / 4, interpolation=cv2.INTER_AREA)
        write_png(root / "data/test/lr" / name, np.asarray(low, np.uint8))
        write_png(root / "data/train/lr" / name, np.asarray(low, np.uint8))
        write_png(root / "data/train/hr" / name, truth)
        for seed, member in enumerate(("good", "bad")):
            write_png(root / "members" / member / "test" / name, _prediction(truth, 10 * number + seed))
            write_png(root / "members" / member / "validation" / name, _prediction(truth, 10 * number + seed))
    (root / "joint.yaml").write_text(
        f"{{name: joint, data: {root}/data, predictions: {root}/members, submissions: {root}/submissions, "
        "members: [{folder: good, weight: 2}, {folder: bad, weight: 1}], weights: given}"
    )
    submit([str(root / "joint.yaml")])
    submit([str(root / "joint.yaml"), "name=earlier", "members=[{folder: bad, weight: 1}]"])
    return root


def _prediction(truth, seed):
    noise = np.random.default_rng(seed).normal(0, 400, truth.shape)
    return (truth.astype(np.float64) * 257 + noise).clip(0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def good(place) -> planted.Good:
    def read(folder):
        return {name: read_rgb(place / folder / name) for name in NAMES}

    levels = {}
    for name in NAMES:
        first, second = (read_prediction(place / "members" / m / "test" / name) / 257 for m in ("good", "bad"))
        levels[name] = (2 * first + second) / 3
    return planted.Good(read("submissions/joint"), levels, read("data/test/lr"), read("submissions/earlier"))


def findings(submission: Path, place: Path, **evidence: Path) -> list[str]:
    found = judge(submission, place / "data/test/lr", 4, Evidence(**evidence)).findings
    return [f"{finding.severity}: {finding.fault}" for finding in found]


# ---- good ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["submissions/joint", "submissions/joint.zip"])
def test_a_good_submission_has_no_finding(place, form, capsys):
    verify([str(place / form), str(place / "data"), "--previous", str(place / "submissions/earlier.zip")])
    assert "4 pictures, no errors, 0 warnings" in capsys.readouterr().out


def test_a_zip_made_by_others_has_no_finding(place, good, tmp_path):
    archive = planted.write(tmp_path / "ours.zip", good.entries())
    assert known_manifest(archive) is None and findings(archive, place) == []
    deflated = tmp_path / "deflated.zip"
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in good.entries():
            target.writestr(name, content)
    assert findings(deflated, place) == []


# ---- spoilt ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", planted.PLANTED)
def test_a_spoilt_submission_is_named_for_what_it_is(place, good, tmp_path, kind):
    spoilt = planted.PLANTED[kind]
    archive = planted.write(tmp_path / "spoilt.zip", spoilt.plant(good))
    known = {"low pictures": {}, "earlier": {"previous": place / "submissions/earlier.zip"}}
    if spoilt.known == "predictions":
        _write_levels(good, tmp_path / "levels")
        known["predictions"] = {"predictions": tmp_path / "levels"}
    lines = findings(archive, place, **known[spoilt.known])
    assert len(lines) == (spoilt.findings or len(NAMES)) and any(spoilt.words in line for line in lines), lines


@pytest.mark.parametrize("kind", planted.PLANTED)
def test_beside_its_manifest_a_spoilt_submission_always_ends_with_status_3(place, good, tmp_path, kind):
    archive = planted.write(tmp_path / "joint.zip", planted.PLANTED[kind].plant(good))
    with pytest.raises(BadInput) as error:
        verify([str(archive), str(place / "data"), "--manifest", str(place / "submissions/joint/manifest.json")])
    assert error.value.code == 3
    assert all(": " in line and ". " in line and line.isprintable() for line in error.value.lines)


def _write_levels(good, folder):
    for name, levels in good.levels.items():
        write_png(folder / name, (levels * 257 + 0.5).astype(np.uint16))
