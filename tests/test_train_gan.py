"""Training against an adversary: the paper's step, resumes to the same bits after kill -9 and signals, refusals."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny_run import ADVERSARIAL, Training, fork, outcome, write_config
from torch import nn
from torch.nn import functional

from competition import checkpoints, feed, weights
from competition.config import load
from competition.data.patches import Share
from competition.errors import BadCheckpoint, UsageError
from competition.experiment import Experiment
from competition.models.patchgan import PatchGANConfig
from competition.runs import read_log
from competition.train import main as train
from competition.train_gan import main as train_gan


def tiny(folder: Path, steps: int = 12, validate_every: int = 6, save_every: int = 3) -> Path:
    """A YAML for some steps of a tiny Pix2Pix on four drawn pairs."""
    return write_config(folder, steps, validate_every, save_every, network=ADVERSARIAL)


def start(config: Path, name: str, processes: int = 1) -> Training:
    output = config.parent / f"{name}.txt"
    return fork(str(config), f"name={name}", output=output, processes=processes, trainer="train_gan")


def wait_for_steps(run: Path, count: int, training: Training) -> None:
    while len(read_log(run / "metrics.jsonl")) < count and training.runs():
        time.sleep(0.005)


def test_a_run_leaves_losses_of_both_networks_and_a_state_of_both(tmp_path):
    train_gan([str(tiny(tmp_path))])
    run = tmp_path / "runs/tiny"
    steps = [line for line in read_log(run / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    # At first it knows nothing, ln 2; what it is then taught makes the same pictures less credible.
    assert steps[0]["discriminator"] == pytest.approx(0.693, abs=0.02) and steps[0]["adversarial"] > 0.693
    assert steps[-1]["discriminator"] < steps[0]["discriminator"]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert weights.read(run / "best.safetensors").description.model.name == "pix2pix"
    tensors = safetensors.torch.load_file(run / "checkpoints/step_000000012/adversary.safetensors")
    judge = PatchGANConfig(width=4).build()
    names = {f"weights.{name}" for name in judge.state_dict()}
    names |= {
        f"moments.{name}.{key}" for name, _ in judge.named_parameters() for key in ("exp_avg", "exp_avg_sq", "step")
    }
    assert tensors.keys() == names


def test_two_steps_are_those_of_the_paper_written_out(tmp_path):
    """The discriminator's step by half its loss, then the network's, which is judged by the new discriminator."""
    config = tiny(tmp_path, steps=2, validate_every=2, save_every=2)
    train_gan([str(config), "data.workers=0"])
    experiment = load(config, Experiment)
    torch.manual_seed(experiment.seed)
    network, judge = experiment.model.build(), experiment.gan.discriminator.build()
    adams = [torch.optim.Adam(one.parameters(), lr=1e-3, betas=(0.9, 0.99)) for one in (network, judge)]
    patches = feed.open_patches(experiment, feed.open_contest(experiment).training, Share())
    for step in range(2):
        low, high = patches[step].floats(torch.device("cpu"))
        made = network(low)
        real, false = judge(low, high).sigmoid(), judge(low, made.detach()).sigmoid()
        adams[1].zero_grad()
        (-(real.log().mean() + (1 - false).log().mean()) / 2).backward()
        adams[1].step()
        adams[0].zero_grad()
        (100 * (made - high).abs().mean() - judge(low, made).sigmoid().log().mean()).backward()
        adams[0].step()
    state = tmp_path / "runs/tiny/checkpoints/step_000000002"
    found = weights.read(state / "model.safetensors").weights
    theirs = safetensors.torch.load_file(state / "adversary.safetensors")
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=2e-5)
    for name, tensor in judge.state_dict().items():
        torch.testing.assert_close(theirs[f"weights.{name}"], tensor, rtol=0, atol=2e-5)


def test_kill_9_loses_nothing_and_ends_with_the_same_bits(in_memory, seed):
    config, moments = tiny(in_memory, steps=40, validate_every=10, save_every=2), random.Random(seed)
    with start(config, "whole") as whole:
        assert whole.wait()[0] == [0]
    for count in sorted(moments.sample(range(3, 38), 3)):
        with start(config, "killed") as killed:
            wait_for_steps(in_memory / "runs/killed", count, killed)
            time.sleep(moments.uniform(0, 0.05))
            killed.kill()
    with start(config, "killed") as last:
        statuses, said = last.wait()
    assert statuses == [0], said
    assert "step 0 of 40" not in said
    assert outcome(in_memory / "runs/killed") == outcome(in_memory / "runs/whole")


def test_a_stop_by_signal_saves_both_networks_within_a_step(in_memory):
    config = tiny(in_memory, steps=60, validate_every=60, save_every=60)
    with start(config, "whole") as whole:
        assert whole.wait()[0] == [0]
    with start(config, "stopped") as stopped:
        wait_for_steps(in_memory / "runs/stopped", 3, stopped)
        before = read_log(in_memory / "runs/stopped/metrics.jsonl")[-1]["step"]
        stopped.signal(signal.SIGTERM)
        statuses, said = stopped.wait()
    assert statuses == [7] and "saved at step" in said
    (state,) = (in_memory / "runs/stopped/checkpoints").glob("step_*")
    assert before <= int(state.name[5:]) < 60
    with start(config, "stopped") as again:
        assert again.wait()[0] == [0]
    assert outcome(in_memory / "runs/stopped") == outcome(in_memory / "runs/whole")


def test_two_processes_do_what_one_does(in_memory):
    config = tiny(in_memory, steps=10, validate_every=10, save_every=10)
    logs = []
    for count in (1, 2):
        with start(config, f"with{count}", count) as training:
            statuses, said = training.wait()
        assert statuses == [0] * count, said
        logs.append([line for line in read_log(in_memory / f"runs/with{count}/metrics.jsonl") if "loss" in line])
    for key in ("loss", "adversarial", "discriminator", "grad_norm"):
        assert [line[key] for line in logs[1]] == pytest.approx([line[key] for line in logs[0]], rel=2e-2), key


def test_one_step_that_is_not_finite_is_left_out(tmp_path, monkeypatch, capsys):
    config = tiny(tmp_path, steps=4, validate_every=4, save_every=4)
    calls = iter(range(100))

    def spoil(prediction, truth):
        return functional.l1_loss(prediction, truth) * (float("nan") if next(calls) == 1 else 1)

    monkeypatch.setattr(type(load(config, Experiment).loss), "build", lambda self: Function(spoil))
    train_gan([str(config)])
    assert "step 2: loss nan" in capsys.readouterr().out
    steps = [line["step"] for line in read_log(tmp_path / "runs/tiny/metrics.jsonl") if "loss" in line]
    assert steps == [1, 3, 4]


class Function(nn.Module):
    """A function as a loss."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, prediction, truth):
        return self.function(prediction, truth)


def test_a_state_without_its_adversary_is_refused(tmp_path):
    config = tiny(tmp_path, steps=3, validate_every=3, save_every=3)
    train_gan([str(config)])
    state = tmp_path / "runs/tiny/checkpoints/step_000000003"
    manifest = json.loads((state / "MANIFEST.json").read_text())
    del manifest["adversary.safetensors"]
    (state / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(BadCheckpoint, match="does not list"):
        checkpoints.verify(state)
    (state / "adversary.safetensors").unlink()
    checkpoints.verify(state)
    with pytest.raises(BadCheckpoint, match=r"has no adversary\.safetensors"):
        train_gan([str(config)])


def test_each_loop_refuses_what_is_for_the_other(tmp_path):
    config = str(tiny(tmp_path))
    with pytest.raises(UsageError, match="gan: is for"):
        train([config])
    with pytest.raises(UsageError, match="gan: is null"):
        train_gan([config, "gan=null"])
    with pytest.raises(UsageError, match="gan needs model"):
        train_gan([config, "accumulate=2"])
    assert not (tmp_path / "runs").exists()
