"""Every single change to the disk fails in every way: the run resumes to the same bits, and what was saved is there."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import small_run
import tiny_run
from faults import CRASHES, DIED, ERRORS, Disk, Fault, in_child, short

from competition import checkpoints
from competition.errors import run_command
from competition.files import sha256
from competition.train import main as train


class Story(NamedTuple):
    """A run without faults, from a folder as it was before: its outcome, its changes, and after which what was safe."""

    before: Path
    last: int
    outcome: dict[str, str]
    changes: int
    saved: list[tuple[int, int]]
    best: list[tuple[int, str]]

    def newest(self, changes: int) -> int:
        """The last step whose save had returned after so many changes."""
        return max((step for made, step in self.saved if made <= changes), default=0)

    def bests(self, changes: int) -> set[str]:
        """Hashes that best.safetensors may have then: of the last one kept, and of the one that was under way."""
        before = [digest for made, digest in self.best if made <= changes]
        return {*before[-1:], *[digest for made, digest in self.best if made > changes][:1]}

    def begin(self, folder: Path) -> Path:
        """A copy of the folder as it was before."""
        shutil.rmtree(folder, ignore_errors=True)
        if self.before.exists():
            shutil.copytree(self.before, folder)
        return folder

    def check(self, run: Path, changes: int) -> None:
        """What was saved is there, the best is one of the two possible, and the run ends with the same bits."""
        resumed = checkpoints.load_newest(run / "checkpoints", small_run.begin(), small_run.conditions())
        assert resumed.step >= self.newest(changes) and resumed.warnings == []
        best = run / "best.safetensors"
        assert (sha256(best) in self.bests(changes)) if best.exists() else changes < self.best[0][0]
        small_run.go_on(run, self.last)
        assert small_run.outcome(run) == self.outcome


# One save with its retention, and the best weights after it; or a whole run, the making of its folders included.
@pytest.fixture(
    scope="module",
    params=[pytest.param((6, 8), id="a-save"), pytest.param((0, 12), id="a-run", marks=pytest.mark.slow)],
)
def story(request, tmp_path_factory) -> Story:
    first, last = request.param
    folder = tmp_path_factory.mktemp("story")
    before, run = folder / "before", folder / "run"
    saved, best = [], []
    if first:
        small_run.go_on(before, first)
        shutil.copytree(before, run)
        saved, best = [(0, first)], [(0, sha256(run / "best.safetensors"))]
    disk = Disk()

    def safe(what: str, step: int) -> None:
        if what == "state":
            saved.append((len(disk.changes), step))
        else:
            best.append((len(disk.changes), sha256(run / "best.safetensors")))

    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        small_run.go_on(run, last, safe)
    kinds = {change.kind for change in disk.changes}
    assert kinds >= {"mkdir", "create", "write", "fsync", "rename", "unlink", "rmdir"} and len(best) > 1
    return Story(before, last, small_run.outcome(run), len(disk.changes), saved, best)


@pytest.mark.parametrize("fault", CRASHES.values(), ids=CRASHES)
def test_death_at_every_change(story, in_memory, monkeypatch, fault: Fault):
    for at in range(story.changes):
        run = story.begin(in_memory / "run")

        with monkeypatch.context() as patch:
            Disk(fault, at).install(patch)
            assert in_child(lambda run=run: small_run.go_on(run, story.last)) == DIED
        story.check(run, at)


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("fault", ERRORS.values(), ids=ERRORS)
def test_an_error_at_every_change(story, in_memory, monkeypatch, capsys, fault: Fault, sticky: bool):
    monkeypatch.setattr(sys, "argv", ["run"])
    ended = 0
    for at in range(story.changes):
        run = story.begin(in_memory / "run")
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ending:
            disk = Disk(fault, at, sticky).install(patch)
            run_command(lambda arguments, run=run: small_run.go_on(run, story.last))
        message = capsys.readouterr().err
        if ending.value.code:
            assert ending.value.code == 5, message
            assert message.startswith(f"error: {run}") and len(message.splitlines()) == 1
            assert ".tmp_" not in message
            if fault is ERRORS["full"]:
                assert "bytes needed" in message and " free" in message
        ended += ending.value.code == 0
        failed = disk.changes[at]
        # A run goes on only where nothing had to be changed: a full disk still lets files be deleted.
        assert ending.value.code or failed.kind in ("unlink", "rmdir"), failed
        story.check(run, at if ending.value.code else story.changes)
    print(f"{story.changes} errors, {ended} without consequence")


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for-ever"])
def test_a_system_that_takes_half_of_a_write_is_given_the_rest(story, in_memory, monkeypatch, sticky: bool):
    for at in range(0, story.changes, 10 if sticky else 1):
        run = story.begin(in_memory / "run")
        with monkeypatch.context() as patch:
            Disk(short, at, sticky).install(patch)
            small_run.go_on(run, story.last)
        assert small_run.outcome(run) == story.outcome


# ---- competition.train itself ---------------------------------------------------------------------------------------


def finish(config: Path, name: str) -> tuple[int, Path]:
    """Run `competition.train` here; returns its exit status and the run's folder."""
    sys.argv = ["train", str(config), f"name={name}"]
    with pytest.raises(SystemExit) as ending:
        run_command(train)
    return int(ending.value.code or 0), config.parent / "runs" / name


_opened: list[list[str]] = []  # the innermost takes notes


def _note(event: str, arguments: tuple[object, ...]) -> None:
    """Take notes of files opened for writing and of names changed; hooks of this kind cannot be taken away again."""
    if not _opened or event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        return
    writing = event != "open" or int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)
    if writing and isinstance(arguments[0], str | bytes | os.PathLike):
        _opened[-1].append(os.fsdecode(arguments[0]))


@pytest.fixture(scope="module")
def _audited() -> None:
    sys.addaudithook(_note)


def test_training_changes_files_through_one_door(in_memory, monkeypatch, _audited):
    config = tiny_run.write_config(in_memory, steps=8, validate_every=4, save_every=2)
    runs, seen = in_memory / "runs", []
    with monkeypatch.context() as patch:
        disk = Disk().install(patch)
        _opened.append(seen)
        try:
            train([str(config)])
        finally:
            _opened.clear()
    known = {str(path) for change in disk.changes for path in (change.path, change.source)}
    others = {Path(path).relative_to(runs) for path in seen if path.startswith(str(runs)) and path not in known}
    # What may be lost: the log, which is read line by line, and the lock, which the system lets go of.
    assert {path.parts[1] for path in others} <= {".lock", "metrics.jsonl", "competition"}, others
    assert {runs / "tiny/best.safetensors", runs / "tiny/split.json"} <= {change.path for change in disk.changes}


def test_a_resumed_run_waits_for_the_best_weights_that_it_found(in_memory, monkeypatch):
    config = tiny_run.write_config(in_memory, steps=4, validate_every=2, save_every=2)
    train([str(config)])
    run = in_memory / "runs" / "tiny"
    shutil.rmtree(run / "checkpoints" / "step_000000004")
    with monkeypatch.context() as patch:
        disk = Disk(within=str(run)).install(patch)
        train([str(config)])
    waited = [(change.kind, change.path) for change in disk.changes].index(("fsync", run))
    saved = [run / "checkpoints" in change.path.parents for change in disk.changes].index(True)
    assert waited < saved


@pytest.mark.parametrize("every", [pytest.param(61, id="some"), pytest.param(1, id="every", marks=pytest.mark.slow)])
def test_training_ends_with_status_5_at_any_change_and_resumes_to_the_same_bits(
    in_memory, monkeypatch, capsys, every: int
):
    monkeypatch.setattr(sys, "argv", [])
    config = tiny_run.write_config(in_memory, steps=8, validate_every=4, save_every=2)
    (in_memory / "runs").mkdir()
    with monkeypatch.context() as patch:
        disk = Disk(within=str(in_memory / "runs")).install(patch)
        status, run = finish(config, "whole")
    assert status == 0
    outcome = tiny_run.outcome(run)
    faults = [(fault, at) for at in range(len(disk.changes)) for fault in ERRORS.values()]
    assert len(disk.changes) > 100
    for fault, at in faults[::every]:
        with monkeypatch.context() as patch:
            failing = Disk(fault, at, sticky=True, within=str(in_memory / "runs")).install(patch)
            status, run = finish(config, "cut")
        message = capsys.readouterr().err.splitlines()[-1:]
        assert status == 5 or failing.changes[at].kind in ("unlink", "rmdir"), (at, status, message)
        assert status == 0 or message[0].startswith(f"error: {in_memory / 'runs'}"), message
        assert finish(config, "cut")[0] == 0
        assert tiny_run.outcome(run) == outcome, (at, fault.__name__)
        shutil.rmtree(run)


# ---- from outside ---------------------------------------------------------------------------------------------------

GO_ON = """
import sys
from pathlib import Path
from unittest.mock import patch
import small_run
import tiny_run
from faults import Disk
disk = Disk()
with patch("competition.files.on_disk", disk):
    small_run.go_on(Path(sys.argv[1]), int(sys.argv[2]))
for change in disk.changes:
    print(change.kind, change.path)
"""


def go_on_under_strace(run: Path, last: int, *options: str) -> subprocess.CompletedProcess[str]:
    """The small run in a process whose system calls are watched, or made to fail."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    command = ["strace", "-f", "-y", "-o", str(run.with_name("trace"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, "tests"]), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["OMP_NUM_THREADS"] = "1"  # as here: a state says with how many it was made
    done = subprocess.run(
        [*command, *options, sys.executable, "-c", GO_ON, str(run), str(last)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not watch processes here")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("story", [(6, 8)], indirect=True, ids=["a-save"])
def test_death_and_errors_at_every_system_call(story, in_memory):
    calls = "mkdir,rmdir,write,fsync,/^rename,/^unlink"
    run = story.begin(in_memory / "run")
    quick = "--seccomp-bpf"  # only these calls are looked at; strace 6.1 then forgets to kill
    inside = go_on_under_strace(run, story.last, quick, "-e", f"trace={calls}").stdout.splitlines()
    seen: Counter[str] = Counter()
    points, outside = [], []
    for line in (in_memory / "trace").read_text().splitlines():
        if called := re.match(r"\d+ +(\w+)\(", line):
            name = called[1]
            seen[name] += 1
            if re.match(rf'\d+ +\w+\((\d+<|"){run}', line):
                points.append((name, seen[name]))
                outside.append(re.sub("at2?$", "", name))
    # Nothing goes past the one function that the other tests let fail.
    assert outside == [line.split()[0] for line in inside if not line.startswith("create")]
    faults = [f"{name}:{fault}:when={number}" for name, number in points for fault in ("signal=SIGKILL", "error=EIO")]
    for fault in faults:
        run = story.begin(in_memory / "run")
        how = ["-e", f"trace={calls}", "-e", f"inject={fault}", *([quick] if ":error=" in fault else [])]
        done = go_on_under_strace(run, story.last, *how)
        assert done.returncode != 0, fault
        small_run.go_on(run, story.last)
        assert small_run.outcome(run) == story.outcome, fault
    print(f"{len(faults)} faults")
