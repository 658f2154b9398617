"""A run beside BasicSR's own training step: from the same weights and samples, the same losses."""

import sys
from pathlib import Path

import pytest
import torch

from competition import feed
from competition.config import load
from competition.data.patches import Share
from competition.experiment import Experiment
from competition.runs import read_log
from competition.train import main as train

STEPS = 100


def test_a_hundred_losses_are_those_of_basicsr(contest, tmp_path, monkeypatch):
    pytest.importorskip("competition.compat")
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    sys.modules.pop("basicsr_model", None)
    basicsr_model = pytest.importorskip("basicsr_model")
    path = tmp_path / "parity.yaml"
    path.write_text(
        f"""
name: parity
runs: {tmp_path / "runs"}
data: {{root: {contest(count=4)}, validation: 0.25, high_patch: 48, workers: 0}}
model: {{name: rrdbnet, num_feat: 16, num_block: 1, num_grow_ch: 8}}
pretrained: null
schedule: {{name: multistep, milestones: []}}
steps: {STEPS}
batch: 4
validate_every: {STEPS}
log_every: 1
"""
    )
    train([str(path)])
    losses = [line["loss"] for line in read_log(tmp_path / "runs/parity/metrics.jsonl") if "loss" in line]

    experiment = load(path, Experiment)
    model = basicsr_model.sr_model(
        experiment.model, experiment.optimizer.lr, experiment.optimizer.betas, experiment.ema
    )
    torch.manual_seed(experiment.seed)
    model.net_g.load_state_dict(experiment.model.build().state_dict())
    patches = feed.open_patches(experiment, feed.open_contest(experiment).training, Share())
    theirs = []
    for step in range(STEPS):
        low, high = patches[step].floats(torch.device("cpu"))
        model.feed_data({"lq": low, "gt": high})
        model.optimize_parameters(step)
        theirs.append(model.get_current_log()["l_pix"])
    assert len(losses) == STEPS and losses[-1] < losses[0]
    assert losses == pytest.approx(theirs, rel=1e-5)
