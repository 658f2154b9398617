"""Packing a submission: the same bytes for the same pictures, and a whole submission or none whatever goes wrong."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import drawn
import pytest
from faults import CRASHES, DIED, ERRORS, Disk, Fault, full, in_child, short

from competition.files import sha256
from competition.formats import Base64CsvConfig, FormatConfig, PixelsCsvConfig, PngZipConfig
from competition.images import read_rgb
from competition.manifest import MANIFEST, Manifest, ValidationNote, note, read_manifest
from competition.packing import alone, pack

FORMS: dict[str, FormatConfig] = {form.name: form for form in (PngZipConfig(), Base64CsvConfig(), PixelsCsvConfig())}
OLD, NEW = ({f"{name}.png": drawn.texture(seed + name, 16, 24) for name in range(2)} for seed in (0, 10))


def packed(folder: Path, pictures=NEW, form: FormatConfig = FORMS["png_zip"]) -> Path:
    validation = ValidationNote(metric="PSNR", psnr=30.0, pictures=2, rows=())
    manifest = Manifest(
        name="ours", format=form, scale=4, vote="", members=(), validation=validation, commit=None, versions={}
    )
    with alone(folder):
        return pack(folder / "ours", pictures.items(), manifest)


def whole(folder: Path) -> dict[str, object] | None:
    """The pictures of the submission in a folder, by name; None where there is none to hand in."""
    files = [path for path in folder.iterdir() if path.suffix in (".zip", ".csv") and not path.name.startswith(".")]
    if not files:
        return None
    (file,) = files
    manifest = read_manifest(folder / "ours" / MANIFEST)
    assert (file.name, sha256(file)) == (manifest.file.name, manifest.file.sha256)
    pictures = {path.name: read_rgb(path) for path in (folder / "ours").glob("*.png")}
    assert manifest.pictures == {name: note(pixels) for name, pixels in pictures.items()}
    return {name: pixels.tobytes() for name, pixels in pictures.items()}


def content(pictures) -> dict[str, object]:
    return {name: pixels.tobytes() for name, pixels in pictures.items()}


@pytest.fixture
def other_umask():
    """As files are made by somebody else."""
    usual = os.umask(0o077)
    yield
    os.umask(usual)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_pictures_give_the_same_bytes_in_any_order_at_any_time(tmp_path, monkeypatch, form, request):
    first = packed(tmp_path / "first", form=form).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    request.getfixturevalue("other_umask")
    backwards = dict(reversed(NEW.items()))
    assert packed(tmp_path / "second", backwards, form).read_bytes() == first
    assert packed(tmp_path / "second", OLD, form).read_bytes() != first


def test_one_of_another_form_makes_room(tmp_path):
    packed(tmp_path)
    packed(tmp_path, form=FORMS["pixels_csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "ours", "ours.csv"]
    assert whole(tmp_path) == content(NEW)


@pytest.fixture
def changes(in_memory) -> int:
    """How many changes to the disk packing over an old submission makes."""
    packed(in_memory / "counted", OLD)
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk().install(patch)
        packed(in_memory / "counted")
    assert {change.kind for change in disk.changes} >= {"mkdir", "create", "write", "fsync", "rename", "unlink"}
    return len(disk.changes)


def error_of(folder: Path) -> OSError | None:
    """What packing there ends with."""
    try:
        packed(folder)
    except OSError as error:
        return error
    return None


def begun(folder: Path, changes: int) -> Iterator[tuple[int, Path]]:
    """A folder with the old submission for each change that can fail."""
    for at in range(changes):
        packed(folder / str(at), OLD)
        yield at, folder / str(at)


@pytest.mark.parametrize("fault", CRASHES.values(), ids=CRASHES)
def test_death_at_every_change_leaves_a_whole_submission_or_none(in_memory, changes, monkeypatch, fault: Fault):
    found = []
    for at, folder in begun(in_memory, changes):
        with monkeypatch.context() as patch:
            Disk(fault, at).install(patch)
            assert in_child(lambda folder=folder: packed(folder)) == DIED
        found.append(whole(folder))
        assert found[-1] in (content(OLD), content(NEW), None)
        packed(folder)
        assert whole(folder) == content(NEW) and not list(folder.glob(".tmp_*")) and not list(folder.glob(".del_*"))
    assert found[0] == content(OLD) and None in found


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("fault", ERRORS.values(), ids=ERRORS)
def test_an_error_of_the_disk_at_every_change_is_told_and_leaves_a_whole_submission_or_none(
    in_memory, changes, monkeypatch, fault: Fault, sticky: bool
):
    for at, folder in begun(in_memory, changes):
        with monkeypatch.context() as patch:
            Disk(fault, at, sticky).install(patch)
            told = error_of(folder)
        if told is None:  # a full disk lets files be deleted
            assert fault is full and whole(folder) == content(NEW)
            continue
        assert told.errno in (errno.EIO, errno.ENOSPC) and told.filename == str(folder / "ours")
        assert whole(folder) in (content(OLD), content(NEW), None)
        if at < changes // 2:  # everything was still being written
            assert whole(folder) == content(OLD)
        packed(folder)
        assert whole(folder) == content(NEW)


def test_a_system_that_takes_half_of_each_write_changes_nothing(in_memory, monkeypatch):
    expected = packed(in_memory / "plain").read_bytes()
    Disk(short, 0, sticky=True).install(monkeypatch)
    assert packed(in_memory / "halves").read_bytes() == expected


def test_processes_that_pack_at_once_leave_one_whole_submission(in_memory):
    children = []
    for number in range(6):
        child = os.fork()
        if not child:
            try:
                packed(in_memory, (OLD, NEW)[number % 2])
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert whole(in_memory) in (content(OLD), content(NEW))
    assert sorted(path.name for path in in_memory.iterdir()) == [".lock", "ours", "ours.zip"]
