"""Disks that fill up, kills and haste while pictures are enlarged, voted on and handed in: all old, all new or none."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import drawn
import numpy as np
import pytest
from faults import CRASHES, DIED, ERRORS, Disk, in_child
from small_disks import ends, files_up_to, used
from tiny_run import Training, fork_each

from competition.errors import run_command
from competition.images import read_rgb, write_png
from competition.infer import main as infer
from competition.submit import main as submit
from competition.verify import main as verify

TEST, VALIDATION = ("004.png", "005.png"), ("000.png", "001.png", "002.png")
MINI = str(Path(__file__).resolve().parents[1] / "pretrained/mini_x4.safetensors")
OLD, NEW = "weights=uniform", "weights=psnr"
Content = dict[str, bytes]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A contest, three members that differ, and the YAML of their vote."""
    root = tmp_path_factory.mktemp("place")
    drawn.draw_contest(root / "data", 6)
    generator = np.random.default_rng(0)
    for name in TEST:
        (root / "data/test/lr").mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "data/train/lr" / name, root / "data/test/lr" / name)
    for number, member in enumerate("abc"):
        for name in (*TEST, *VALIDATION):
            truth = read_rgb(root / "data/train/hr" / name).astype(np.float64) * 257
            noisy = truth + generator.normal(0, 300 * 3**number, truth.shape)
            part = "test" if name in TEST else "validation"
            write_png(root / "members" / member / part / name, noisy.clip(0, 65535).astype(np.uint16))
    (root / "names.txt").write_text("\n".join(VALIDATION))
    (root / "ours.yaml").write_text(
        f"{{name: ours, data: {root}/data, predictions: {root}/members, members: [{{folder: a}}, {{folder: b}}, "
        "{folder: c}]}"
    )
    return root


def content(folder: Path) -> Content:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    # os.walk passes over folders that vanish meanwhile, as they do while a command runs.
    names = [name for _, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [name for name in names if name.startswith(".") and name != ".lock"]


class Handed(NamedTuple):
    """What a folder of submissions holds: the file to hand in, which verifies, and the maps of disagreement."""

    file: bytes | None
    maps: Content


def handed_in(place: Path, submissions: Path) -> Handed:
    files = list(submissions.glob("*.zip"))
    if files:
        verify([str(files[0]), str(place / "data")])
    return Handed(files[0].read_bytes() if files else None, content(submissions / "ours_disagreement"))


@pytest.fixture(scope="module")
def outcomes(place, tmp_path_factory) -> tuple[Handed, Handed]:
    """The submissions of both weights, as they are where nothing goes wrong."""
    found = []
    for weights in (OLD, NEW):
        submissions = tmp_path_factory.mktemp("outcome")
        submit([str(place / "ours.yaml"), f"submissions={submissions}", weights])
        found.append(handed_in(place, submissions))
    assert found[0].file != found[1].file and len(found[0].maps) == 3
    return found[0], found[1]


# ---- disks and limits -----------------------------------------------------------------------------------------------

ROOMS = [
    pytest.param((0, 44, 124, 180), id="some"),
    pytest.param(range(0, 300, 4), id="every", marks=pytest.mark.slow),
]
SIZES = [
    pytest.param((0, 20_000), id="some"),
    pytest.param(range(0, 70_000, 1000), id="every", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("rooms", ROOMS)
def test_a_disk_that_fills_while_packing_leaves_the_old_submission_or_the_new(
    disk, place, outcomes, monkeypatch, capsys, rooms
):
    codes = []
    for room in rooms:
        submissions = disk(10_000)
        line = ["submit", str(place / "ours.yaml"), f"submissions={submissions}"]
        submit([*line[1:], OLD])
        disk(used(submissions) + room, again=True)
        monkeypatch.setattr(sys, "argv", [*line, NEW])
        code, message = ends(submit, capsys)
        codes.append(code)
        check_submission(place, submissions, outcomes, code, message)
        disk(10_000, again=True)
        assert ends(submit, capsys) == (0, "") and handed_in(place, submissions) == outcomes[1]
        subprocess.run(["umount", str(submissions)], check=True)
    assert codes[0] == 5 and codes[-1] == 0


@pytest.mark.parametrize("sizes", SIZES)
def test_a_limit_on_the_size_of_files_leaves_the_old_submission_or_the_new(
    in_memory, place, outcomes, monkeypatch, capsys, sizes
):
    for size in sizes:
        submissions = in_memory / str(size)
        line = ["submit", str(place / "ours.yaml"), f"submissions={submissions}"]
        submit([*line[1:], OLD])
        monkeypatch.setattr(sys, "argv", [*line, NEW])
        with files_up_to(size):
            code, message = ends(submit, capsys)
        assert code == 5
        check_submission(place, submissions, outcomes, code, message)


def check_submission(place, submissions, outcomes, code: int, message: str) -> None:
    assert code in (0, 5), message
    if code:
        assert message.startswith(str(submissions)) and "bytes needed" in message and "\n" not in message, message
    found = handed_in(place, submissions)
    assert found.file in ([one.file for one in outcomes] if code else [outcomes[1].file])
    assert found.maps in ([one.maps for one in outcomes] if code else [outcomes[1].maps])
    assert leftovers(submissions) == []


def enlarging(place: Path, output: Path, mode: str) -> list[str]:
    return [MINI, "--input", str(place / "data/test/lr"), "--output", str(output), "--self-ensemble", mode]


@pytest.fixture(scope="module")
def enlarged(place, tmp_path_factory) -> tuple[Content, Content]:
    """The predictions of the network alone, and with its self-ensemble."""
    root = tmp_path_factory.mktemp("enlarged")
    for mode in ("none", "mean"):
        infer(enlarging(place, root / mode, mode))
    return content(root / "none"), content(root / "mean")


@pytest.mark.parametrize(
    "rooms",
    [
        pytest.param((0, 48, 132), id="some"),
        pytest.param(range(0, 136, 4), id="every", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("standing", [True, False], ids=["over-old-ones", "anew"])
def test_a_disk_that_fills_while_enlarging_leaves_whole_pictures(
    disk, place, enlarged, monkeypatch, capsys, rooms, standing: bool
):
    codes = []
    for room in rooms:
        root = disk(10_000)
        if standing:
            infer(enlarging(place, root / "out", "none"))
        disk(max(4, used(root) + room), again=True)
        monkeypatch.setattr(sys, "argv", ["infer", *enlarging(place, root / "out", "mean")])
        code, message = ends(infer, capsys)
        codes.append(code)
        check_predictions(root, enlarged, standing, code, message)
        disk(10_000, again=True)
        assert ends(infer, capsys) == (0, "") and content(root / "out") == enlarged[1]
        subprocess.run(["umount", str(root)], check=True)
    assert codes[0] == 5 and codes[-1] == 0


@pytest.mark.parametrize("sizes", SIZES)
def test_a_limit_on_the_size_of_files_leaves_whole_pictures(in_memory, place, enlarged, monkeypatch, capsys, sizes):
    monkeypatch.setattr("competition.ensemble.tempfile", Unlimited)
    for size in sizes:
        root = in_memory / str(size)
        infer(enlarging(place, root / "out", "none"))
        monkeypatch.setattr(sys, "argv", ["infer", *enlarging(place, root / "out", "mean")])
        with files_up_to(size):
            code, message = ends(infer, capsys)
        check_predictions(root, enlarged, True, code, message)


class Unlimited:
    """Stands for a folder for temporary files with another limit."""

    gettempdir = tempfile.gettempdir

    @staticmethod
    def TemporaryFile() -> tempfile.SpooledTemporaryFile[bytes]:
        return tempfile.SpooledTemporaryFile()


def check_predictions(root: Path, enlarged: tuple[Content, Content], standing: bool, code: int, message: str) -> None:
    assert code in (0, 5), message
    if code:
        assert message.startswith(f"{root}/out") and "bytes needed" in message and "\n" not in message, message
    found = content(root / "out")
    for name in TEST:
        if standing or not code or name in found:
            assert found[name] in ([one[name] for one in enlarged] if code else [enlarged[1][name]])
    assert set(found) <= {*TEST} and leftovers(root) == []


def test_a_full_disk_for_temporary_files_is_named(disk, in_memory, place, enlarged, monkeypatch, capsys):
    temporary = disk(100)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    infer(enlarging(place, in_memory / "out", "none"))
    monkeypatch.setattr(sys, "argv", ["infer", *enlarging(place, in_memory / "out", "mean")])
    code, message = ends(infer, capsys)
    assert code == 5 and message.startswith(f"{temporary}: No space left on device: 884,736 bytes needed, ")
    assert content(in_memory / "out") == enlarged[0] and list(temporary.iterdir()) == []


# ---- every change to the disk ---------------------------------------------------------------------------------------


def bicubic(place: Path, root: Path, mode: str) -> list[str]:
    return ["bicubic", *enlarging(place, root / "out", mode)[1:]]


@pytest.fixture
def begun(in_memory, place) -> Iterator[Iterator[tuple[int, Path]]]:
    """For each change to the disk that enlarging over old pictures makes, a folder with those pictures."""
    for mode in ("none", "trimmed"):
        infer(bicubic(place, in_memory / mode, mode))
    shutil.copytree(in_memory / "none", in_memory / "counted")
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk().install(patch)
        infer(bicubic(place, in_memory / "counted", "trimmed"))
    folders = ((at, in_memory / str(at)) for at in range(len(disk.changes)))
    yield ((at, Path(shutil.copytree(in_memory / "none", folder))) for at, folder in folders)


def check_old_or_new(root: Path, place: Path) -> None:
    """Every picture is whole, old or new; the same command makes them all new and leaves nothing else."""
    old, new = (content(root.parent / mode / "out") for mode in ("none", "trimmed"))
    found = {name: value for name, value in content(root / "out").items() if not name.startswith(".")}
    assert set(found) == {*TEST} and all(found[name] in (old[name], new[name]) for name in TEST)
    infer(bicubic(place, root, "trimmed"))
    assert content(root / "out") == new and leftovers(root) == []


@pytest.mark.parametrize("fault", CRASHES.values(), ids=CRASHES)
def test_death_at_every_change_while_enlarging_leaves_whole_pictures(begun, place, monkeypatch, fault):
    for at, root in begun:
        with monkeypatch.context() as patch:
            Disk(fault, at).install(patch)
            assert in_child(lambda root=root: infer(bicubic(place, root, "trimmed"))) == DIED
        check_old_or_new(root, place)


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("fault", ERRORS.values(), ids=ERRORS)
def test_an_error_at_every_change_while_enlarging_is_told(begun, place, monkeypatch, capsys, fault, sticky: bool):
    for at, root in begun:
        monkeypatch.setattr(sys, "argv", ["infer", *bicubic(place, root, "trimmed")])
        with monkeypatch.context() as patch:
            Disk(fault, at, sticky).install(patch)
            code, message = ends(infer, capsys)
        assert code == 5 and message.startswith(f"{root}/out") and "\n" not in message and ".tmp" not in message
        check_old_or_new(root, place)


# ---- kills and haste ------------------------------------------------------------------------------------------------


def _all(place: str, root: str, mode: str) -> None:
    """What `make submit` runs: enlarge validation and test pictures, vote and hand in."""

    def steps(arguments: list[str]) -> None:
        member = f"{root}/members/mini"
        common = [MINI, "--self-ensemble", mode]
        low = f"{place}/data/train/lr"
        infer([*common, "--input", low, "--names", f"{place}/names.txt", "--output", f"{member}/validation"])
        infer([*common, "--input", f"{place}/data/test/lr", "--output", f"{member}/test"])
        members = f"[{{folder: {place}/members/a}}, {{folder: {member}}}]"
        submit([f"{place}/ours.yaml", f"members={members}", f"submissions={root}/submissions"])

    sys.argv = ["submit"]
    run_command(steps)


def _vote(place: str, root: str, weights: str) -> None:
    sys.argv = ["submit", f"{place}/ours.yaml", weights, f"submissions={root}/submissions"]
    run_command(submit)


def start(act, place: Path, root: Path, way: str, number: int = 0) -> Training:
    root.mkdir(exist_ok=True)
    return fork_each(act, (str(place), str(root), way), root / f"output_{number}", 1)


def finish(training: Training) -> None:
    statuses, said = training.wait()
    assert statuses == [0], said


class Undisturbed(NamedTuple):
    """What it comes to when nothing goes wrong, by mode, and how many seconds it takes."""

    handed: dict[str, Handed]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(place, tmp_path_factory) -> Undisturbed:
    found = {}
    for mode in ("none", "mean"):  # the first starts the process that all are copied from, too
        root, began = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
        finish(start(_all, place, root, mode))
        found[mode], seconds = handed_in(place, root / "submissions"), time.monotonic() - began
    assert found["none"].file != found["mean"].file
    return Undisturbed(found, seconds)


def moments(training: Training, submissions: Path, chance: random.Random, seconds: float) -> Iterator[None]:
    """Wait for a random moment: anywhere, or (six of ten) while the submission is packed."""
    before = {*leftovers(submissions)} if submissions.exists() else set()
    if chance.random() < 0.4:
        time.sleep(chance.uniform(0, seconds))
    else:
        while training.runs() and not (submissions.exists() and {*leftovers(submissions)} - before):
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.06))
    yield


@pytest.mark.parametrize("kills", [pytest.param(3, id="3"), pytest.param(100, id="100", marks=pytest.mark.slow)])
def test_kill_9_leaves_a_whole_submission_or_none(in_memory, place, undisturbed, seed, kills):
    chance, submissions = random.Random(seed), in_memory / "submissions"
    known = {handed.file: mode for mode, handed in undisturbed.handed.items()} | {None: "none to hand in"}
    found = []
    for kill in range(kills):
        with start(_all, place, in_memory, ("none", "mean")[kill % 2]) as training:
            for _ in moments(training, submissions, chance, undisturbed.seconds):
                packing = training.runs() and submissions.exists() and bool(leftovers(submissions))
                training.kill()
        handed = handed_in(place, submissions)
        assert handed.file in known
        assert handed.maps in ({}, *(one.maps for one in undisturbed.handed.values()))
        found.append(f"{'packing' if packing else 'elsewhere'}, then {known[handed.file]}")
    print({what: found.count(what) for what in sorted(set(found))})
    for mode, expected in undisturbed.handed.items():
        finish(start(_all, place, in_memory, mode))
        assert handed_in(place, submissions) == expected and leftovers(in_memory) == []


def test_two_that_do_the_same_at_once_end_as_one(in_memory, place, undisturbed):
    both = [start(_all, place, in_memory, "mean", number) for number in range(2)]
    for one in both:
        finish(one)
    assert handed_in(place, in_memory / "submissions") == undisturbed.handed["mean"]
    assert leftovers(in_memory) == []


def test_votes_at_once_each_judge_their_own_and_leave_one_of_them(in_memory, place, outcomes):
    all_six = [start(_vote, place, in_memory, (OLD, NEW)[number % 2], number) for number in range(6)]
    for one in all_six:
        finish(one)
    assert handed_in(place, in_memory / "submissions") in outcomes
    assert leftovers(in_memory) == []
