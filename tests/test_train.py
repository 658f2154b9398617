"""Training: what a run leaves behind, and that resumes, processes and damaged states do not change it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import fork

from competition import checkpoints, weights
from competition.data.patches import Batch
from competition.errors import BadCheckpoint, NumericalError, UsageError
from competition.files import sha256
from competition.models.rrdbnet import RRDBNetConfig
from competition.runs import read_log
from competition.states import State, Training
from competition.train import main as train

TINY = RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4)
Start = Callable[..., Path]


@pytest.fixture
def config(contest, tmp_path) -> Path:
    """A YAML for 12 steps of a tiny network on four small pairs."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"""
name: tiny
runs: {tmp_path / "runs"}
data: {{root: {contest(count=4)}, validation: 0.25, high_patch: 32, workers: 0}}
model: {{name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}
pretrained: null
optimizer: {{lr: 1e-3}}
schedule: {{name: multistep, milestones: [4, 8]}}
steps: 12
batch: 4
validate_every: 6
save_every: 3
log_every: 1
"""
    )
    return path


def run(tmp_path: Path, name: str = "tiny") -> Path:
    return tmp_path / "runs" / name


def results(folder: Path, step: int = 12) -> dict[str, str]:
    """Hashes of everything a finished run is judged by, and its log without the speed."""
    state = folder / "checkpoints" / f"step_{step:09d}"
    files = [state / "model.safetensors", state / "optim.safetensors", folder / "best.safetensors"]
    log = read_log(folder / "metrics.jsonl")
    for line in log:
        for speed in ("steps_per_s", "samples_per_s", "eta_s"):
            line.pop(speed, None)
    return {path.name: sha256(path) for path in files} | {"log": json.dumps(log)}


def start(*arguments: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *launcher, "competition.train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_steps(folder: Path, runs: Callable[[], bool]) -> None:
    """Until a run has taken three steps, or has ended."""
    while len(read_log(folder / "metrics.jsonl")) < 3 and runs():
        time.sleep(0.01)


def test_a_run_leaves_log_weights_and_a_record(config, tmp_path, capsys):
    train([str(config)])
    log = read_log(run(tmp_path) / "metrics.jsonl")
    steps = [line for line in log if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert [line["lr"] for line in steps] == [1e-3] * 4 + [5e-4] * 4 + [2.5e-4] * 4
    assert [line["step"] for line in log if "psnr" in line] == [6, 12]
    best = weights.read(run(tmp_path) / "best.safetensors").description
    assert best.score.value == max(line["psnr"] for line in log if "psnr" in line)
    assert best.score.definition == "PSNR on 8-bit rgb, border 0"
    assert best.model == TINY
    record = json.loads((run(tmp_path) / "experiment.json").read_text())
    assert record["config"]["steps"] == 12 and record["versions"]["torch"] == torch.__version__
    assert len((run(tmp_path) / "validation.txt").read_text().split()) == 1
    assert next((run(tmp_path) / "competition").rglob("events.*")).stat().st_size > 0
    assert "best" in capsys.readouterr().out


def test_tensorboard_shows_curves_and_pictures(config, tmp_path):
    train([str(config)])
    events = EventAccumulator(str(next((run(tmp_path) / "competition").rglob("events.*")).parent)).Reload()
    assert {"loss", "lr", "grad_norm", "psnr", "samples_per_s"} <= set(events.Tags()["scalars"])
    (name,) = (run(tmp_path) / "validation.txt").read_text().split()
    assert events.Tags()["images"] == [name]
    shown = events.Images(events.Tags()["images"][0])
    assert [picture.step for picture in shown] == [6, 12]
    assert (shown[0].width, shown[0].height) == (3 * 96, 96)  # bicubic, network, truth


def test_a_log_that_cannot_be_written_costs_one_warning(config, tmp_path):
    with fork(str(config), "steps=60", "validate_every=60", output=tmp_path / "output") as training:
        wait_for_steps(run(tmp_path), training.runs)
        log = run(tmp_path) / "metrics.jsonl"
        log.unlink()
        log.mkdir()
        statuses, output = training.wait()
    assert statuses == [0], output
    assert output.count("Training goes on; its log has holes") == 1 and "complete, best" in output


def test_training_learns(config, tmp_path):
    train([str(config), "steps=60", "validate_every=30", "schedule.milestones=[]", "optimizer.lr=3e-3"])
    losses = [line["loss"] for line in read_log(run(tmp_path) / "metrics.jsonl") if "loss" in line]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_the_same_command_finds_a_complete_run_and_changes_nothing(config, tmp_path, capsys):
    train([str(config)])
    before = results(run(tmp_path))
    capsys.readouterr()
    train([str(config)])
    assert "complete, best" in capsys.readouterr().out
    assert results(run(tmp_path)) == before


def test_a_stop_by_signal_saves_and_the_same_command_goes_on_to_the_same_bits(config, tmp_path):
    train([str(config), "name=whole", "steps=40"])
    interrupted = start(str(config), "name=cut", "steps=40")
    wait_for_steps(run(tmp_path, "cut"), lambda: interrupted.poll() is None)
    interrupted.send_signal(signal.SIGTERM)
    _, errors = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 7, errors
    assert errors.startswith("error: ") and len(errors.splitlines()) == 1 and "saved at step" in errors
    train([str(config), "name=cut", "steps=40"])
    assert results(run(tmp_path, "cut"), 40) == results(run(tmp_path, "whole"), 40)


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "extra"])
def test_a_damaged_state_is_named_and_the_one_before_it_used(config, tmp_path, capsys, damage):
    train([str(config)])
    before = results(run(tmp_path))
    path = run(tmp_path) / "checkpoints" / "step_000000012" / "model.safetensors"
    content = bytearray(path.read_bytes())
    match damage:
        case "flip":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "truncate":
            path.write_bytes(content[:-1])
        case "missing":
            path.unlink()
        case "extra":
            (path.parent / "extra").touch()
    capsys.readouterr()
    train([str(config)])
    output = capsys.readouterr().out
    assert "warning: " in output and "step_000000012" in output and "step 9 of 12" in output
    assert results(run(tmp_path)) == before


def test_another_experiment_under_the_same_name_is_refused_with_the_difference(config, tmp_path):
    train([str(config)])
    with pytest.raises(BadCheckpoint, match=r"optimizer\.lr: 0\.001 -> 0\.002") as error:
        train([str(config), "optimizer.lr=2e-3"])
    assert error.value.code == 4


def test_a_run_made_before_a_key_existed_goes_on(config, tmp_path, capsys):
    train([str(config), "name=newer"])
    kept = json.loads((run(tmp_path, "newer") / "experiment.json").read_text())
    kept["config"]["name"] = "tiny"
    del kept["config"]["stages"], kept["config"]["data"]["fold"]
    (run(tmp_path) / "checkpoints").mkdir(parents=True)
    path = run(tmp_path) / "experiment.json"
    path.write_text(json.dumps(kept))
    train([str(config)])
    train([str(config)])
    assert "complete, best" in capsys.readouterr().out
    kept["config"]["of_another_time"] = 1
    path.write_text(json.dumps(kept))
    with pytest.raises(BadCheckpoint, match="of_another_time"):
        train([str(config)])


def test_another_folder_with_the_same_pictures_and_more_workers_is_the_same_experiment(config, tmp_path, capsys):
    train([str(config)])
    (tmp_path / "contest").rename(tmp_path / "moved")
    train([str(config), f"data.root={tmp_path / 'moved'}", "data.workers=2"])
    assert "complete, best" in capsys.readouterr().out


def test_workers_do_not_change_the_result(config, tmp_path):
    train([str(config), "name=alone"])
    train([str(config), "name=helped", "data.workers=2"])
    assert results(run(tmp_path, "helped")) == results(run(tmp_path, "alone"))


PAIR = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def test_recomputed_activations_do_not_change_the_result(config, tmp_path):
    train([str(config), "name=kept"])
    train([str(config), "name=recomputed", "recompute=true"])
    assert results(run(tmp_path, "recomputed")) == results(run(tmp_path, "kept"))


def test_two_processes_see_the_samples_and_rates_of_one_also_after_a_stop(config, tmp_path):
    settings = ["steps=40", "validate_every=40"]
    train([str(config), "name=one", *settings])
    stopped = start(str(config), "name=two", *settings, launcher=PAIR)
    wait_for_steps(run(tmp_path, "two"), lambda: stopped.poll() is None)
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate(timeout=240)
    assert "stopped by a signal, saved at step" in errors
    for expected in ("step 40", "complete"):  # goes on, then finds the run complete
        training = fork(str(config), "name=two", *settings, output=tmp_path / "output", processes=2)
        statuses, output = training.wait()
        assert statuses == [0, 0] and expected in output, output
    one, two = (read_log(run(tmp_path, name) / "metrics.jsonl") for name in ("one", "two"))
    assert [(line["step"], line.get("lr")) for line in one] == [(line["step"], line.get("lr")) for line in two]
    assert [line["loss"] for line in two if "loss" in line] == pytest.approx(
        [line["loss"] for line in one if "loss" in line], rel=1e-3
    )
    assert two[-1]["psnr"] == pytest.approx(one[-1]["psnr"], abs=0.01)


@pytest.mark.slow
def test_four_processes_end_where_one_does(config, tmp_path):
    settings = ["steps=200", "validate_every=200"]
    four = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "4", "-m")
    for name, launcher in (("one", ("-m",)), ("two", PAIR), ("four", four)):
        process = start(str(config), f"name={name}", *settings, launcher=launcher)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    one, two, more = (read_log(run(tmp_path, name) / "metrics.jsonl") for name in ("one", "two", "four"))
    rates = [[(line["step"], line["lr"]) for line in log if "lr" in line] for log in (one, two, more)]
    assert rates[0] == rates[1] == rates[2]
    assert two[-1]["psnr"] == pytest.approx(one[-1]["psnr"], abs=0.01)
    assert more[-1]["psnr"] == pytest.approx(one[-1]["psnr"], abs=0.01)


def test_a_process_that_hangs_ends_the_run_after_the_timeout(config, tmp_path):
    settings = ["steps=100000", "timeout=4", "validate_every=100000"]
    with fork(str(config), *settings, output=tmp_path / "output", processes=2) as training:
        wait_for_steps(run(tmp_path), training.runs)
        first, second = training.processes
        os.kill(training.pids[1], signal.SIGSTOP)
        stopped = time.monotonic()
        first.join(60)
        assert first.exitcode == 8 and time.monotonic() - stopped < 4 + 5
        assert second.is_alive()
    errors = (tmp_path / "output").read_text()
    assert "error: " in errors and "another process has ended or been silent for 4 s" in errors


def test_a_second_trainer_in_one_run_folder_is_told_who_holds_it(config, tmp_path):
    settings = ["steps=1000000", "validate_every=1000000"]
    with fork(str(config), *settings, output=tmp_path / "output") as first:
        wait_for_steps(run(tmp_path), first.runs)
        (status,), said = fork(str(config), *settings, output=tmp_path / "second").wait()
        assert status == 5 and f"runs/tiny: locked by pid {first.pids[0]} on " in said


@pytest.mark.parametrize(
    ("override", "words"),
    [("precision=fp16", "precision: fp16 needs a GPU"), ("trackers=[mlflow]", "trackers: mlflow is not installed")],
)
def test_what_cannot_work_here_is_refused_before_the_run_begins(config, tmp_path, override, words):
    with pytest.raises(UsageError, match=words):
        train([str(config), override])
    assert not (run(tmp_path) / "experiment.json").exists()


def test_parts_of_a_batch_give_the_losses_and_gradients_of_the_whole(config, tmp_path):
    for name, parts in (("whole", 1), ("parts", 4)):
        train([str(config), f"name={name}", f"accumulate={parts}"])
    # Adam forgives gradients that are all too large: the losses alone would not tell.
    for key in ("loss", "grad_norm"):
        whole, parts = (
            [line[key] for line in read_log(run(tmp_path, name) / "metrics.jsonl") if key in line]
            for name in ("whole", "parts")
        )
        assert parts == pytest.approx(whole, rel=1e-4 if key == "loss" else 1e-2)
    with pytest.raises(UsageError, match="batch: 4 cannot be shared by 1 processes in 3 parts each"):
        train([str(config), "name=no", "accumulate=3"])


def test_stages_change_patch_batch_loss_and_rate_and_survive_a_stop(config, tmp_path):
    stages = "stages=[{from_step: 5, high_patch: 48, batch: 2, loss: {name: l1}, lr: 5e-4, ema: 0.9}]"
    settings = [stages, "schedule.milestones=[]", "clip={name: norm, most: 0.5}"]
    train([str(config), "name=whole", *settings])
    with fork(str(config), "name=cut", *settings, output=tmp_path / "output") as interrupted:
        wait_for_steps(run(tmp_path, "cut"), interrupted.runs)
        interrupted.signal(signal.SIGTERM)
        interrupted.wait()
    train([str(config), "name=cut", *settings])
    assert results(run(tmp_path, "cut")) == results(run(tmp_path, "whole"))
    rates = [line["lr"] for line in read_log(run(tmp_path, "cut") / "metrics.jsonl") if "lr" in line]
    assert rates == [1e-3] * 5 + [5e-4] * 7


@pytest.mark.parametrize("fault", ["picture gone", "worker killed", "worker killed, the other stuck"])
def test_a_fault_in_a_worker_ends_the_run(config, tmp_path, fault):
    settings = ["steps=1000000", "data.workers=2", "data.store=none", "validate_every=1000000"]
    with fork(str(config), *settings, output=tmp_path / "output") as training:
        wait_for_steps(run(tmp_path), training.runs)
        if fault == "picture gone":
            for path in (tmp_path / "contest/train/hr").iterdir():
                path.unlink()
        else:
            command = ["pgrep", "-P", str(training.pids[0])]
            workers = subprocess.run(command, capture_output=True, text=True, check=True)
            killed, other = map(int, workers.stdout.split())
            if fault.endswith("stuck"):  # as one is that waits for a lock the killed one holds
                os.kill(other, signal.SIGSTOP)
            os.kill(killed, signal.SIGKILL)
        (status,), output = training.wait()
    (line,) = [line for line in output.splitlines() if "error:" in line]
    if fault == "picture gone":
        assert status == 3 and line.endswith(".png: no such file or directory. Put the picture back")
    else:
        assert status == 9 and "data.workers: a process that cuts patches was killed" in line


def test_values_that_are_not_finite_stop_the_run_and_are_never_saved(config, tmp_path):
    state = {name: torch.full_like(tensor, 1e30) for name, tensor in TINY.build().state_dict().items()}
    path = tmp_path / "huge.safetensors"
    path.write_bytes(weights.encode(weights.Weights(state, {}, weights.Description(model=TINY))))
    with pytest.raises(NumericalError, match=r"step 4: .*, as in 3 steps before") as error:
        train([str(config), f"pretrained={path}", "skip=3"])
    assert error.value.code == 6
    assert not list((run(tmp_path) / "checkpoints").glob("step_*"))
    with pytest.raises(NumericalError, match="step 2: "):
        train([str(config), f"pretrained={path}", "steps=2", "name=short"])


def test_one_step_that_is_not_finite_is_left_out_and_changes_nothing(config, tmp_path, monkeypatch, capsys):
    floats, steps = Batch.floats, itertools.count(1)

    def the_fifth_is_broken(batch, device):
        low, high = floats(batch, device)
        return (low * float("nan") if next(steps) == 5 else low), high

    monkeypatch.setattr(Batch, "floats", the_fifth_is_broken)
    settings = ["steps=6", "save_every=4", "validate_every=6", "schedule.milestones=[]"]
    train([str(config), *settings, "stages=[{from_step: 5, lr: 1e-30}]"])  # the last step moves nothing either
    assert "warning: step 5: loss nan, gradient norm nan. It is left out" in capsys.readouterr().out
    before, after = (
        weights.read(run(tmp_path) / f"checkpoints/step_{step:09d}/model.safetensors").weights for step in (4, 6)
    )
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_a_rate_that_destroys_the_weights_ends_the_run_before_they_are_saved(config, tmp_path):
    with pytest.raises(NumericalError, match="as in 2 steps before"):
        train([str(config), "optimizer.lr=1", "schedule.milestones=[]", "skip=2", "save_every=1", "steps=400"])
    for path in (run(tmp_path) / "checkpoints").glob("step_*"):
        content = weights.read(path / "model.safetensors")
        assert all(bool(tensor.isfinite().all()) for tensor in (*content.weights.values(), *content.ema.values()))


def test_a_run_starts_from_given_weights_and_says_how_much_of_them_it_used(config, tmp_path, capsys):
    train([str(config), "name=first"])
    best = run(tmp_path, "first") / "best.safetensors"
    train([str(config), "name=second", f"pretrained={best}", "optimizer.lr=1e-9"])
    assert "42 of 42 tensors loaded" in capsys.readouterr().out
    first, second = (weights.read(run(tmp_path, name) / "best.safetensors") for name in ("first", "second"))
    assert second.description.score.value == pytest.approx(first.description.score.value, abs=0.01)


def test_weights_of_another_network_are_refused_unless_a_part_is_asked_for(config, tmp_path, capsys):
    train([str(config), "name=first"])
    best = run(tmp_path, "first") / "best.safetensors"
    larger = [str(config), "name=larger", "model.num_block=2", f"pretrained={best}"]
    with pytest.raises(BadCheckpoint, match=r"Missing: body\.1\.rdb1\.conv1\.weight"):
        train(larger)
    train([*larger, "pretrained_partial=true"])
    assert "42 of 72 tensors loaded" in capsys.readouterr().out


def test_moments_come_back_in_the_layout_of_their_parameters(config, tmp_path):
    train([str(config)])
    network = TINY.build().to(memory_format=torch.channels_last)
    training = Training(network, TINY.build(), torch.optim.Adam(network.parameters()))
    folder = run(tmp_path) / "checkpoints"
    state = State(**json.loads((folder / "step_000000012" / "state.json").read_bytes()))
    assert checkpoints.load_newest(folder, training, state.conditions) == (state, [])
    for parameter, state in training.optimizer.state.items():
        assert state["exp_avg"].stride() == parameter.stride() and state["step"] == 12


def test_a_network_without_weights_is_not_trained(config):
    with pytest.raises(UsageError, match=r"model\.name: bicubic has nothing to train"):
        train([str(config), "model={name: bicubic}"])
