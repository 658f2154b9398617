"""What visitors give for learning becomes pairs, and goes with what it was made of."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import pytest

pytest.importorskip("fastapi")

from film_files import make_film
from web_client import Visitor, change, owner_of

from competition.data.pairs import find_pairs
from competition.images import read_rgb
from competition.web import harvest as harvesting
from competition.web.harvest import harvest
from competition.web.settings import Settings
from competition.web.tables import Upload


def test_pictures_become_pairs_only_with_consent_and_are_forgotten_with_it(visitor, png, tmp_path):
    given, kept_back = visitor.send("given.png", png, consent=True), visitor.send("mine.png", png)
    visitor.work()
    settings = Settings(data=tmp_path / "data")
    harvest(settings)
    folder = tmp_path / "data/harvest"
    pairs = {side: [path.stem for path in (folder / "train" / side).iterdir()] for side in ("lr", "hr")}
    assert pairs == {"lr": [given], "hr": [given]} and kept_back not in str(pairs)
    assert read_rgb(folder / f"train/lr/{given}.png").shape == (18, 24, 3)
    assert [pair.name for pair in find_pairs(folder, 4)] == [f"{given}.png"]  # as train finds them
    record = json.loads((folder / "origins.json").read_text())
    assert record[given]["name"] == "given.png" and record[given]["owner"] == owner_of(visitor)
    harvest(settings)
    assert json.loads((folder / "origins.json").read_text()) == record  # done before
    visitor.ask("POST", f"/uploads/{given}/consent/withdraw")
    assert json.loads((folder / "origins.json").read_text()) == {}
    assert not list((folder / "train/hr").iterdir())
    assert [found["consent"] for found in visitor.files()] == [False, False]


@pytest.mark.parametrize("act", ["forget", "withdraw"])
def test_a_pair_goes_before_its_upload_and_its_consent(visitor, monkeypatch, act):
    """So that a page that is killed between the two leaves no pair of which nobody is told any more."""
    identity = visitor.have()
    change(visitor, Upload, identity, consent=True)
    pair = visitor.service.storage.harvest / "train" / "hr" / f"{identity}.png"
    pair.parent.mkdir(parents=True)
    pair.write_bytes(b"high")
    monkeypatch.setattr("competition.web.harvest.remove", end)
    with pytest.raises(KeyboardInterrupt):
        getattr(visitor.service, act)(visitor.service.uploads.find(owner_of(visitor), identity))
    assert pair.exists() and visitor.files()[0]["consent"]


def end(*paths: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    """Two takes, of other scenes, in half a second."""
    folder = tmp_path_factory.mktemp("films")
    made = make_film(
        folder / "film.mp4", 12, (74, 98), sound=False, picture=lambda number, *size: drawn.texture(number // 6, *size)
    )
    return made.read_bytes()


def give(visitor: Visitor, content: bytes, name: str = "film.mp4") -> str:
    """A film that was looked at, with consent."""
    identity = visitor.have(name, media="film", kind="MP4")
    visitor.service.storage.content(identity).write_bytes(content)
    change(visitor, Upload, identity, consent=True)
    return identity


def pairs_in(folder: Path) -> list[str]:
    """Names of the pairs, without ending, whole or half."""
    return sorted({path.stem for side in ("lr", "hr") for path in (folder / "train" / side).iterdir()})


def test_a_film_given_becomes_pairs_that_know_their_upload_and_their_second(visitor, film, tmp_path):
    given, other = give(visitor, film), give(visitor, film, "copy.mp4")
    change(visitor, Upload, other, consent=False)
    harvest(Settings(data=tmp_path / "data"))
    folder = tmp_path / "data/harvest"
    names = [pair.name for pair in find_pairs(folder, 4)]  # as train finds them
    assert len(names) == 2 and all(re.fullmatch(given + r"_\d{9}\.png", name) for name in names)
    record = json.loads((folder / "origins.json").read_text())
    assert sorted(record) == pairs_in(folder) == [name.removesuffix(".png") for name in names]
    for (name, said), scene in zip(sorted(record.items()), (0, 1), strict=True):
        assert said["upload"] == given and said["name"] == "film.mp4" and said["size"] == [96, 72]
        assert int(said["second"] / 0.24) == scene and name == f"{given}_{round(said['second'] * 1000):09d}"
        high = read_rgb(folder / f"train/hr/{name}.png").astype(int)
        assert np.abs(high - drawn.texture(scene, 74, 98)[:72, :96]).mean() < 12
    assert visitor.ask("POST", f"/uploads/{given}/consent/withdraw").status_code == 200
    assert pairs_in(folder) == [] and json.loads((folder / "origins.json").read_text()) == {}


def test_what_a_killed_harvest_leaves_is_forgotten_or_made_good(visitor, film, tmp_path):
    """Killed when the pairs are written and their record is not."""
    folder = tmp_path / "data/harvest"
    kill = "harvest._note = lambda *said: os.kill(os.getpid(), 9)"
    script = f"import os, sys; from competition.web import harvest, settings; {kill}"
    given = give(visitor, film)
    line = [sys.executable, "-c", f"{script}; harvest.harvest(settings.Settings(data=sys.argv[1]))", tmp_path / "data"]
    assert subprocess.run(line, timeout=120).returncode == -9
    first, second = pairs_in(folder)
    assert first.startswith(given) and second.startswith(given) and not (folder / "origins.json").exists()
    (folder / f"train/hr/{first}.png").unlink()  # half a pair
    (folder / f"train/lr/{'0' * 32}_000000000.png").write_bytes(b"of an upload that is no more")
    harvest(Settings(data=tmp_path / "data"))
    assert [pair.name for pair in find_pairs(folder, 4)] == [f"{first}.png", f"{second}.png"]
    assert sorted(json.loads((folder / "origins.json").read_text())) == pairs_in(folder) == [first, second]
    (folder / "origins.json").unlink()  # as if killed again
    visitor.ask("DELETE", f"/uploads/{given}")
    assert pairs_in(folder) == []


def test_a_film_deleted_while_it_is_harvested_leaves_no_pair(visitor, film, tmp_path, monkeypatch):
    given = give(visitor, film)

    def delete_then_note(*said: Any) -> None:
        monkeypatch.undo()  # first: the deletion notes, too
        visitor.ask("DELETE", f"/uploads/{given}")
        harvesting._note(*said)

    monkeypatch.setattr(harvesting, "_note", delete_then_note)
    harvest(Settings(data=tmp_path / "data"))
    assert pairs_in(tmp_path / "data/harvest") == []
    assert json.loads((tmp_path / "data/harvest/origins.json").read_text()) == {}
