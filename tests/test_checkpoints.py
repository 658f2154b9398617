"""Training states: what they hold, which are kept, which are refused."""

import contextlib
import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import small_run
import torch
from faults import Crash, Disk, freeze
from small_run import advance, begin, conditions, describe

from competition import checkpoints, files, weights
from competition.errors import BadCheckpoint, NumericalError, StorageError


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "run" / "checkpoints"


def saved(folder: Path, *steps: int) -> list[Path]:
    """States of one training at these steps, in this order."""
    training = begin()
    paths = []
    for step in steps:
        advance(training, step)
        paths.append(checkpoints.save(folder, training, describe(step), conditions()))
    return paths


def resume(folder: Path) -> checkpoints.Resumed:
    return checkpoints.load_newest(folder, begin(), conditions())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what a state holds ---------------------------------------------------------------------------------------------


def test_a_state_brings_everything_back(folder):
    training = begin()
    for step in range(3):
        advance(training, step)
    scaler = {"scale": 65536.0, "growth_interval": 2000, "_growth_tracker": 3}
    checkpoints.save(folder, training, describe(3), conditions(), best=29.5, extra=scaler)
    other = begin()
    state, warnings = checkpoints.load_newest(folder, other, conditions())
    assert warnings == [] and (state.step, state.best, state.extra) == (3, 29.5, scaler)
    assert type(state.extra["growth_interval"]) is int
    for step in range(3, 6):
        advance(training, step)
        advance(other, step)
    for one, two in zip((training.model, training.ema), (other.model, other.ema), strict=True):
        assert all(torch.equal(one.state_dict()[name], two.state_dict()[name]) for name in one.state_dict())


def test_the_state_file_says_under_which_conditions_it_was_saved(folder):
    (path,) = saved(folder, 5)
    content = json.loads((path / "state.json").read_text())
    assert content["step"] == 5
    assert content["conditions"]["threads"] == torch.get_num_threads()
    assert content["conditions"]["versions"].keys() == {"python", "torch", "accelerate"}


def test_other_processes_threads_and_torch_are_told(folder):
    saved(folder, 5)
    other = {"processes": 4, "threads": 7, "versions": {"torch": "9.0", "python": "9", "accelerate": "9"}}
    now = conditions().model_copy(update=other)
    _, warnings = checkpoints.load_newest(folder, begin(), now)
    assert len(warnings) == 1 and "sample-exact, not bit-exact" in warnings[0]
    for change in ("processes 1 -> 4", f"threads {torch.get_num_threads()} -> 7", f"torch {torch.__version__} -> 9.0"):
        assert change in warnings[0]


def test_a_state_of_another_experiment_is_refused_and_changes_nothing(folder):
    saved(folder, 5)
    training = begin()
    with pytest.raises(BadCheckpoint, match="step_000000005: is of another experiment"):
        checkpoints.load_newest(folder, training, conditions().model_copy(update={"config": "another"}))
    assert torch.equal(training.model.weight, begin().model.weight)


@pytest.mark.parametrize("part", ["model", "ema", "optimizer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_never_written(folder, part, value):
    saved(folder, 4)
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    training = begin()
    advance(training, 0)
    tensors = {
        "model": training.model.weight.data,
        "ema": training.ema.weight.data,
        "optimizer": training.optimizer.state[training.model.weight]["exp_avg_sq"],
    }
    tensors[part][0, 1] = value
    name = {"model": "weights.weight", "ema": "ema.weight", "optimizer": "optimizer.weight.exp_avg_sq"}[part]
    with pytest.raises(NumericalError, match=f"{name}: 1 of 12 values are not finite") as error:
        checkpoints.save(folder, training, describe(5), conditions())
    assert error.value.code == 6
    assert {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} == before
    with pytest.raises(NumericalError):
        weights.encode(weights.Weights({"weight": torch.tensor([value])}, {}, describe(5)))


# ---- which are kept -------------------------------------------------------------------------------------------------


def test_the_newest_by_step_are_kept_whatever_their_times(folder):
    for number, path in enumerate(saved(folder, 10, 11, 12)[1:]):
        os.utime(path, (10**9 - number * 10**6,) * 2)  # the newer, the older
    assert names(folder) == ["step_000000011", "step_000000012"]
    assert resume(folder).step == 12
    saved(folder, 13)
    assert names(folder) == ["step_000000012", "step_000000013"]


def test_steps_of_ten_digits_come_after_those_of_nine(folder):
    saved(folder, 999_999_999, 1_000_000_000)
    assert resume(folder).step == 1_000_000_000


def test_folders_that_only_look_like_states_are_left_alone(folder):
    saved(folder, 5)
    for name in ("step_000000009.bak", "step_", "notes"):
        shutil.copytree(folder / "step_000000005", folder / name)
    saved(folder, 6, 7, 8)
    assert names(folder) == ["notes", "step_", "step_000000007", "step_000000008", "step_000000009.bak"]
    assert resume(folder).step == 8


def test_a_damaged_state_does_not_count_as_kept(folder):
    saved(folder, 1, 2)
    damage(folder / "step_000000002")
    saved(folder, 3)
    damage(folder / "step_000000003")
    saved(folder, 4)
    # 2 and 3 are damaged: 1 is the only other good one.
    assert names(folder) == [f"step_00000000{step}" for step in (1, 2, 3, 4)]
    damage(folder / "step_000000004")
    state, warnings = resume(folder)
    assert state.step == 1 and len(warnings) == 3
    saved(folder, 2, 3)
    assert names(folder) == [f"step_00000000{step}" for step in (2, 3, 4)]
    assert resume(folder).step == 3


def test_the_same_step_twice_changes_nothing(folder):
    (path,) = saved(folder, 5)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    time.sleep(0.01)
    saved(folder, 5)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before and names(folder) == [path.name]


def test_another_state_of_the_same_step_takes_its_place(folder):
    saved(folder, 3, 5)
    (path,) = saved(folder, 5)
    assert names(folder) == ["step_000000003", "step_000000005"]
    one, two = begin(), begin()
    advance(one, 5)
    checkpoints.load_newest(folder, two, conditions())
    assert torch.equal(one.model.weight, two.model.weight)
    damage(path)
    saved(folder, 5)
    assert names(folder) == ["step_000000003", "step_000000005"] and resume(folder) == (resume(folder).state, [])


def test_until_another_state_of_a_step_has_its_place_the_old_one_can_be_loaded(folder, in_memory, monkeypatch):
    saved(folder, 5)
    disk, at = Disk(), 0
    while at == 0 or disk.dead:
        run = shutil.copytree(folder, in_memory / str(at))
        with monkeypatch.context() as patch, contextlib.suppress(Crash):
            disk = Disk(freeze, at).install(patch)
            checkpoints.save(run, begin(), describe(5), conditions())
        assert resume(run).step == 5, disk.changes[-3:]
        at += 1
    assert at > 10


def test_what_killed_processes_left_is_deleted(folder):
    saved(folder, 5)
    shutil.copytree(folder / "step_000000005", folder / ".tmp_step_000000006_1")
    shutil.copytree(folder / "step_000000005", folder / f".del_step_000000003_{os.getpid()}")
    (folder / ".tmp_7_1").touch()
    saved(folder, 6)
    assert names(folder) == ["step_000000005", "step_000000006"]


# ---- damage ---------------------------------------------------------------------------------------------------------


def damage(path: Path, generator: random.Random | None = None) -> str:
    """Harm one state in one of the ways disks and people do; returns the way."""
    choose = generator or random.Random(0)
    victim = choose.choice([file for file in sorted(path.iterdir()) if file.stat().st_size])
    content = bytearray(victim.read_bytes())
    way = choose.choice(["flip", "cut", "zeros", "missing", "extra", "folder"])
    match way:
        case "flip":
            bit = choose.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            victim.write_bytes(content)
        case "cut":
            victim.write_bytes(content[: choose.randrange(len(content))])
        case "zeros":
            start = choose.randrange(len(content))
            if not any(content[start:]):
                start = 0
            victim.write_bytes(content[:start] + bytes(len(content) - start))
        case "missing":
            victim.unlink()
        case "extra":
            (path / choose.choice(["extra", "model.safetensors.part"])).write_bytes(b"more")
        case "folder":
            victim.unlink()
            victim.mkdir()
    return f"{way} of {victim.name}"


# ---- room on the disk -----------------------------------------------------------------------------------------------


def pretend_free(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room))


def test_too_little_room_is_told_before_anything_is_written(folder, monkeypatch):
    (path,) = saved(folder, 5)
    size = sum(file.stat().st_size for file in path.iterdir())
    training = begin()
    advance(training, 6)
    pretend_free(monkeypatch, 2 * size - 1)
    with pytest.raises(StorageError, match=rf"checkpoints: needs [\d,]+ bytes, {2 * size - 1:,} are free") as error:
        checkpoints.save(folder, training, describe(6), conditions())
    assert error.value.code == 5 and names(folder) == [path.name]


def test_room_for_all_states_and_the_best_weights_is_asked_for_before_training(tmp_path, monkeypatch):
    small_run.go_on(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    state = sum(file.stat().st_size for file in (folder / "step_000000012").iterdir())
    best = (tmp_path / "run" / "best.safetensors").stat().st_size
    needed = []
    monkeypatch.setattr(checkpoints, "require_space", lambda folder, size: needed.append(size))
    checkpoints.require_room(folder, begin())
    checkpoints.require_room(tmp_path / "other", begin())
    # Manifest and numbers are small beside the tensors of a network in use.
    assert needed[0] == pytest.approx(2 * state + best, abs=2000)
    assert needed[1] - needed[0] == pytest.approx(checkpoints.KEEP * state, abs=1500)


def test_room_is_asked_for_where_no_state_was_saved_yet(tmp_path, monkeypatch):
    checkpoints.require_room(tmp_path / "checkpoints", begin())
    pretend_free(monkeypatch, 0)
    with pytest.raises(StorageError, match="0 are free"):
        checkpoints.require_room(tmp_path / "checkpoints", begin())
    assert not (tmp_path / "checkpoints").exists()


def test_leftovers_make_room_before_it_is_measured(folder, monkeypatch):
    saved(folder, 5)
    leftover = folder / ".tmp_step_000000006_1"
    shutil.copytree(folder / "step_000000005", leftover)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0 if leftover.exists() else 10**9))
    saved(folder, 6)  # raises StorageError where room is measured first
    assert names(folder) == ["step_000000005", "step_000000006"]


def test_a_folder_is_made_with_its_parents_and_synced(tmp_path, monkeypatch):
    changes = []

    def note(kind, path, act, *arguments):
        changes.append((kind, path.name))
        return act(*arguments)

    (tmp_path / "file").touch()
    monkeypatch.setattr(files, "on_disk", note)
    files.make_folder(tmp_path / "a" / "b")
    assert changes == [("mkdir", "a"), ("fsync", tmp_path.name), ("mkdir", "b"), ("fsync", "a")]
    with pytest.raises(FileExistsError):
        files.make_folder(tmp_path / "file")


def test_the_small_run_resumes_to_the_same_bits(tmp_path):
    small_run.go_on(tmp_path / "whole")
    for last in (3, 4, 9, 12):
        small_run.go_on(tmp_path / "cut", last)
    assert small_run.outcome(tmp_path / "cut") == small_run.outcome(tmp_path / "whole")


def test_a_loaded_state_does_not_change_with_its_files(tmp_path):
    run = tmp_path / "run"
    began = small_run.begin()
    small_run.advance(began, 0)
    saved = small_run.save(run, began, 1)
    resumed = small_run.begin()
    checkpoints.load_newest(run / "checkpoints", resumed, small_run.conditions())
    for path in saved.iterdir():
        with open(path, "r+b") as file:  # in place, as `cp` writes over a file
            file.write(bytes(path.stat().st_size))
    for training in (began, resumed):
        small_run.advance(training, 1)
    assert torch.equal(resumed.model.weight, began.model.weight)
