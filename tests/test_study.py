"""Studies as a user runs them: real short trainings, every one once, whatever is killed and however many work."""

import csv
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
from tiny_run import Training, fork_each, write_config

from competition.curves import main as curves
from competition.errors import BadCheckpoint, BadInput, StorageError, UsageError, run_command
from competition.runs import read_log
from competition.study import main as study

pytest.importorskip("optuna")


def write_study(folder: Path, *lines: str, steps: int = 2, every: int = 1, **values: list[Any]) -> Path:
    """A study of the tiny experiment; `values` have `__` for a dot."""
    write_config(folder, steps=steps, validate_every=every, save_every=every)
    varied = {key.replace("__", "."): value for key, value in values.items()}
    path = folder / "study.yaml"
    text = [f"name: tried\nruns: {folder / 'studies'}\nexperiment: {folder / 'tiny.yaml'}", *lines]
    path.write_text("\n".join([*text, f"values: {json.dumps(varied)}" if values else ""]))
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "studies/tried/table.csv").open()))


def trained(folder: Path) -> dict[str, int]:
    """When each run last wrote into its log: later where it was trained again."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("studies/tried/*/metrics.jsonl")}


def work(path: Path, output: Path) -> Training:
    """A worker in a process of its own."""
    return fork_each(_work, (str(path),), output, 1)


def _work(path: str) -> None:
    sys.argv = ["study", path]
    run_command(study)


def wait_for(worker: Training, condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert worker.runs() and time.monotonic() < deadline, worker.output.read_text()
        time.sleep(0.02)


# ---- grids ----------------------------------------------------------------------------------------------------------


def test_every_combination_is_a_run_and_a_row(tmp_path, capsys):
    choices = "choices: {network: {small: [model.num_feat=4], wide: [model.num_feat=8, model.num_grow_ch=8]}}"
    path = write_study(tmp_path, choices, optimizer__lr=[1e-4, 1e-2])
    study([str(path)])
    found = {(row["network"], row["optimizer.lr"]): row for row in rows(tmp_path)}
    assert list(found) == [("small", "0.0001"), ("small", "0.01"), ("wide", "0.0001"), ("wide", "0.01")]
    folder = tmp_path / "studies/tried"
    for row in found.values():
        run = folder / f"{int(row['trial']):03d}"
        config = json.loads((run / "experiment.json").read_text())["config"]
        assert config["optimizer"]["lr"] == float(row["optimizer.lr"])
        assert config["model"]["num_grow_ch"] == {"small": 4, "wide": 8}[row["network"]]
        psnr = [line["psnr"] for line in read_log(run / "metrics.jsonl") if "psnr" in line]
        assert row["state"] == "complete" and float(row["psnr"]) == max(psnr) and len(psnr) == 2
    page = (folder / "table.md").read_text()
    best = max(found.values(), key=lambda row: float(row["psnr"]))
    assert f"**{float(best['psnr']):.3f}**" in page and "| network | optimizer.lr 0.0001 | optimizer.lr 0.01 |" in page
    for name in ("curves", "history", "slices"):
        assert cv2.imread(str(folder / f"{name}.png")).std() > 3
    curves([str(folder / "000"), str(folder / "003")])
    before = trained(tmp_path)
    capsys.readouterr()
    study([str(path)])
    assert trained(tmp_path) == before and "all trials have ended" in capsys.readouterr().out
    refuse_another_study_and_another_folder(path, tmp_path)


def refuse_another_study_and_another_folder(path: Path, tmp_path: Path) -> None:
    for override in ("values={optimizer.lr: [1e-3]}", "settings=[seed=3]"):
        with pytest.raises(BadCheckpoint, match=r"study\.json: the study is another one: .* Choose another name="):
            study([str(path), override])
    database = f"storage=sqlite:///{tmp_path / 'studies/tried/study.db'}"
    with pytest.raises(BadCheckpoint, match="the database holds a study tried with another folder"):
        study([str(path), database, f"runs={tmp_path / 'elsewhere'}"])


def test_a_trial_that_diverges_is_a_row_and_the_others_are_trained(tmp_path):
    path = write_study(tmp_path, "settings: [skip=0]", steps=30, every=10, optimizer__lr=[1.0, 1e-3])
    study([str(path)])
    first, second = rows(tmp_path)
    assert first["state"] == "diverged" and re.search(r"step \d+: loss .*Lower optimizer.lr", first["fault"])
    assert second["state"] == "complete" and float(second["psnr"]) > 5
    assert "diverged: step" in (tmp_path / "studies/tried/table.md").read_text()


def test_a_fault_of_the_pictures_ends_the_study_and_its_trial_is_trained_once_it_is_mended(tmp_path):
    path = write_study(tmp_path, seed=[7])
    picture = tmp_path / "contest/train/hr/000.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:-20])
    with pytest.raises(BadInput, match=r"000\.png: truncated"):
        study([str(path)])
    picture.write_bytes(content)
    study([str(path)])
    assert [row["state"] for row in rows(tmp_path)] == ["complete"]


# ---- kills and several workers --------------------------------------------------------------------------------------


def test_the_trial_of_a_killed_worker_goes_on_and_those_that_had_ended_do_not(tmp_path):
    path = write_study(tmp_path, steps=40, every=5, seed=[0, 1])
    folder = tmp_path / "studies/tried"
    with work(path, tmp_path / "worker") as worker:
        wait_for(worker, (folder / "001/best.safetensors").exists)
        os.kill(worker.pids[0], signal.SIGKILL)
    first = trained(tmp_path)["000"]
    study([str(path)])
    assert trained(tmp_path)["000"] == first
    assert [row["state"] for row in rows(tmp_path)] == ["complete", "complete"]
    starts = re.findall(r"001: step (\d+) of 40", (folder / "001/output.txt").read_text())
    assert starts[0] == "0" and len(starts) <= 2 and all(int(step) >= 5 for step in starts[1:])
    steps = [line["step"] for line in read_log(folder / "001/metrics.jsonl") if "psnr" in line]
    assert steps == list(range(5, 41, 5))


def test_two_workers_share_the_trials(tmp_path):
    path = write_study(tmp_path, seed=[0, 1, 2])
    with work(path, tmp_path / "first") as first, work(path, tmp_path / "second") as second:
        said = [worker.wait() for worker in (first, second)]
    assert [status for (status,), _ in said] == [0, 0], said
    own = [re.findall(r"tried/(\d+): seed", text) for _, text in said]
    assert sorted(own[0] + own[1]) == ["000", "001", "002"]
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] * 3


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_trained(tmp_path):
    path = write_study(tmp_path, steps=400, every=5, seed=[0])
    run = tmp_path / "studies/tried/000"
    with work(path, tmp_path / "worker") as worker:
        wait_for(worker, (run / "best.safetensors").exists)
        os.kill(worker.pids[0], signal.SIGINT)
        (status,), said = worker.wait()
    assert status == 7 and "Run the same command again to go on" in said
    assert "stopped by a signal, saved at step" in (run / "output.txt").read_text()


# ---- searches and pruning -------------------------------------------------------------------------------------------


def test_a_search_draws_within_its_ranges_and_goes_on_to_a_larger_number(tmp_path):
    lines = ("sampler: {name: tpe, trials: 1, random: 1}", "ranges: {optimizer.lr: {low: 1e-4, high: 1e-2, log: true}}")
    path = write_study(tmp_path, *lines, batch=[2, 4])
    study([str(path)])
    (first,) = rows(tmp_path)
    study([str(path), "sampler.trials=2"])
    again, second = rows(tmp_path)
    assert again == first and second["optimizer.lr"] != first["optimizer.lr"]
    for row in (first, second):
        assert 1e-4 <= float(row["optimizer.lr"]) <= 1e-2 and row["batch"] in ("2", "4")


@pytest.mark.slow
def test_a_trial_that_falls_behind_ends_early(tmp_path):
    pruner = "pruner: {name: median, after_trials: 1}"
    path = write_study(tmp_path, pruner, steps=200, every=20, optimizer__lr=[2e-3, 1e-7])
    study([str(path)])
    good, bad = rows(tmp_path)
    assert good["state"] == "complete" and bad["state"] == "pruned" and int(bad["step"]) < 200


# ---- before anything is trained -------------------------------------------------------------------------------------

BAD = {
    "values: {optimizer.lrr: [0.1]}": "study.yaml: optimizer.lrr: unknown key. Did you mean 'lr'?",
    "values: {optimizer.lr: [0.1, [2]]}": "study.yaml:4: values.optimizer.lr.1: ",
    "values: {optimizer.lr: []}": "values.optimizer.lr: ",
    "values: {steps: [1, 0]}": "study.yaml: steps: Input should be greater than or equal to 1",
    "values: {name: [a]}": "name cannot be varied",
    "choices: {size: {small: [model.num_fea=4]}}": "study.yaml: model.num_fea: unknown key",
    "choices: {size: {small: model.num_feat}}": "choices.size.small: ",
    "settings: [batch]\nvalues: {seed: [1]}": "batch: not of the form key.path=value",
    "ranges: {seed: {low: 1, high: 5}}": "ranges need a search",
    "ranges: {seed: {low: 5, high: 1}}\nsampler: {name: tpe, trials: 2}": "5 to 1 is no range",
    "valuse: {seed: [1]}": "valuse: unknown key. Did you mean 'values'?",
    "pruner: {name: mediam}\nvalues: {seed: [1]}": "Did you mean 'median'?",
    "values: {metric.border: [0, 4]}": "study.yaml: metric: differs between trials",
    "seed: 3": "seed: unknown key",
    "": "choices, values and ranges are all empty",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_tried_is_one_line_and_nothing_begins(tmp_path, text):
    path = write_study(tmp_path, text)
    with pytest.raises(UsageError) as error:
        study([str(path)])
    assert len(error.value.lines) == 1 and BAD[text] in error.value.lines[0], error.value.lines
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql+absent://me:secret@localhost/x", "sqlite:////proc/no/study.db"]
)
def test_a_database_that_cannot_be_opened_is_one_line_without_its_password(tmp_path, url):
    path = write_study(tmp_path, f"storage: {url}", seed=[1])
    with pytest.raises(UsageError, match=r"storage: .* cannot be opened") as error:
        study([str(path)])
    assert len(error.value.lines) == 1 and "secret" not in str(error.value)


def test_a_database_that_breaks_is_one_line(tmp_path):
    path = write_study(tmp_path, seed=[1])
    database = tmp_path / "studies/tried/study.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database at all" * 100)
    with pytest.raises((UsageError, StorageError), match=r"study\.db.*file is not a database") as error:
        study([str(path)])
    assert len(error.value.lines) == 1


def test_a_dry_run_shows_every_trial_with_its_time_and_leaves_nothing(tmp_path, capsys):
    path = write_study(tmp_path, seed=[1, 2], optimizer__lr=[1e-3])
    study([str(path), "--dry-run"])
    said = capsys.readouterr().out
    assert "seed 1, optimizer.lr 0.001" in said and "2 trials in 0:00:0" in said
    assert not (tmp_path / "studies").exists()
