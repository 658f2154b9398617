"""Disks and limits of every size: what was saved stays, the run ends with status 5 and says how much room it needs."""

import contextlib
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import small_run
import tiny_run

from competition import checkpoints
from competition.errors import run_command
from competition.train import main as train

Disk = Callable[[int], Path]


pytestmark = pytest.mark.usefixtures("signal_handlers")


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """disk(kilobytes): an empty disk in memory of this size, or the same with its content and another size."""
    place = tmp_path / "disk"

    def mount(kilobytes: int, again: bool = False) -> Path:
        place.mkdir(exist_ok=True)
        options = f"{'remount,' if again else ''}size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"disks of given sizes cannot be made here: {done.stderr.strip()}")
        return place

    yield mount
    while place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def ends(main: Callable[..., object], capsys) -> tuple[int, str]:
    """The exit status of a command, and its last line on stderr."""
    with pytest.raises(SystemExit) as ending:
        run_command(main)
    return int(ending.value.code or 0), capsys.readouterr().err.rpartition("error: ")[2].strip()


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As `ulimit -f`: no file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def whole(in_memory, monkeypatch) -> dict[str, str]:
    monkeypatch.setattr(sys, "argv", ["run"])
    small_run.go_on(in_memory / "whole")
    return small_run.outcome(in_memory / "whole")


def safe_so_far(run: Path, states: list[int]) -> None:
    """The last state whose save had returned is there, whole."""
    resumed = checkpoints.load_newest(run / "checkpoints", small_run.begin(), small_run.conditions())
    assert resumed.step >= max(states, default=0) and resumed.warnings == []


# A page of a disk in memory is 4 KB and holds one of our files; the small run needs 15 of them.
SIZES = [pytest.param((4, 28, 48), id="some"), pytest.param(range(4, 84, 4), id="every", marks=pytest.mark.slow)]


@pytest.mark.parametrize("asked", [True, False], ids=["asked-before", "found-out"])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_full_disk_leaves_what_was_saved(disk, whole, monkeypatch, capsys, sizes, asked: bool):
    if not asked:
        monkeypatch.setattr(checkpoints, "require_space", lambda folder, needed: None)
    failures = 0
    for size in sizes:
        run, states = disk(size) / "run", []

        def safe(what: str, step: int, states: list[int] = states) -> None:
            states.extend([step] if what == "state" else [])

        code, message = ends(lambda arguments: small_run.go_on(run, safe=safe), capsys)  # noqa: B023
        if code:
            failures += 1
            assert code == 5 and message.startswith(f"{run}"), message
            needed, free = re.search(r"([\d,]+) (?:bytes needed|bytes), ([\d,]+) (?:are )?free", message).groups()
            assert int(needed.replace(",", "")) > 0 <= int(free.replace(",", ""))
            safe_so_far(run, states)
            disk(1000, again=True)
            small_run.go_on(run)
        assert small_run.outcome(run) == whole
        subprocess.run(["umount", str(run.parent)], check=True)
    assert failures >= len(sizes) // 2


@pytest.mark.parametrize(
    "sizes",
    [pytest.param((0, 300, 540), id="some"), pytest.param(range(0, 580, 20), id="every", marks=pytest.mark.slow)],
)
def test_a_limit_on_the_size_of_files_leaves_what_was_saved(in_memory, whole, capsys, sizes):
    small_run.go_on(in_memory / "begun", 5)
    failures = 0
    for size in sizes:
        for first in (0, 5):
            run = in_memory / "run"
            shutil.rmtree(run, ignore_errors=True)
            if first:
                shutil.copytree(in_memory / "begun", run)
            with files_up_to(size):
                code, message = ends(lambda arguments: small_run.go_on(run), capsys)  # noqa: B023
            if code:
                failures += 1
                assert code == 5 and message.startswith(f"{run}") and "File too large: " in message, message
                assert re.search(r": [\d,]+ bytes needed, [\d,]+ free\. ", message), message
            safe_so_far(run, [4] if first else [])
            small_run.go_on(run)
            assert small_run.outcome(run) == whole
    assert failures > len(sizes)


@pytest.mark.parametrize(
    ("sizes", "asked"),
    [
        pytest.param((400,), True, id="one"),
        pytest.param(range(100, 2100, 100), True, id="every-asked-before", marks=pytest.mark.slow),
        pytest.param(range(100, 2100, 100), False, id="every-found-out", marks=pytest.mark.slow),
    ],
)
def test_training_on_a_full_disk_ends_with_status_5_and_goes_on_with_more_room(
    disk, tmp_path, monkeypatch, capsys, sizes, asked: bool
):
    if not asked:
        monkeypatch.setattr(checkpoints, "require_space", lambda folder, needed: None)
    config = tiny_run.write_config(tmp_path, steps=8, validate_every=4, save_every=2)
    monkeypatch.setattr(sys, "argv", ["train", str(config), "name=whole"])
    assert ends(train, capsys) == (0, "")
    told = []
    for size in sizes:
        runs = disk(size)
        monkeypatch.setattr(sys, "argv", ["train", str(config), f"runs={runs}"])
        code, message = ends(train, capsys)
        told.append(f"{size} KB: {message or 'complete'}")
        assert code in (0, 5), message
        if code:
            assert message.startswith(str(runs)), message
        disk(10_000, again=True)
        assert ends(train, capsys) == (0, "")
        assert tiny_run.outcome(runs / "tiny") == tiny_run.outcome(tmp_path / "runs/whole")
        subprocess.run(["umount", str(runs)], check=True)
    print(*told, sep="\n")
    assert not told[0].endswith("complete")
