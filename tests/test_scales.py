"""Batches of several scales: what a step sees of each, that a run with them resumes, and what its weights then do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from competition import feed
from competition.config import load
from competition.data.degrade import Degradation, degrade
from competition.data.patches import Mixture, Share
from competition.errors import UsageError
from competition.experiment import Experiment
from competition.files import sha256
from competition.images import read_rgb
from competition.infer import main as infer
from competition.runs import read_log
from competition.train import main as train

Make = Callable[..., Experiment]


@pytest.fixture
def config(contest, tmp_path) -> Path:
    """A YAML for six steps of a tiny VDSR on four small pairs, every batch of three scales."""
    path = tmp_path / "mixed.yaml"
    path.write_text(
        f"""
name: mixed
runs: {tmp_path / "runs"}
data: {{root: {contest(count=4)}, validation: 0.25, high_patch: 24, workers: 0, scales: [4, 2, 3]}}
model: {{name: vdsr, depth: 3, width: 4}}
pretrained: null
optimizer: {{name: sgd, lr: 1e-2}}
clip: {{name: rate, most: 1e-3}}
schedule: {{name: multistep, milestones: []}}
steps: 6
batch: 6
validate_every: 3
save_every: 3
log_every: 1
"""
    )
    return path


@pytest.fixture
def experiment(config) -> Make:
    """experiment(*overrides): that experiment, its pairs prepared."""

    def make(*overrides: str) -> Experiment:
        made = load(config, Experiment, overrides)
        feed.prepare_pairs(made)
        return made

    return make


def batches(experiment: Experiment, share: Share | None = None) -> Mixture:
    return feed.open_batches(experiment, feed.open_contest(experiment).training, share or Share())


# ---- what a step sees -----------------------------------------------------------------------------------------------


def test_every_batch_has_an_equal_part_of_each_scale(experiment) -> None:
    for step in range(3):
        sides = [(len(part.low), part.low.shape[-1], part.high.shape[-1]) for part in batches(experiment())[step]]
        assert sides == [(2, 6, 24), (2, 12, 24), (2, 8, 24)]


def test_low_pictures_of_other_scales_are_matlabs_of_the_training_pictures_alone(experiment) -> None:
    made = experiment()
    contest = feed.open_contest(made)
    for part in batches(made).parts:
        assert [source.name for source in part.sources] == [one.pair.name for one in contest.training]
        for source, one in zip(part.sources, contest.training, strict=True):
            low, high = source.whole()[1:]
            truth = read_rgb(one.pair.high)
            if part.scale == 4:
                expected = read_rgb(one.pair.low)
            else:
                expected = degrade(truth, Degradation(), np.random.default_rng(0), part.scale)
            assert np.array_equal(low, expected) and np.array_equal(high, truth)


def test_a_step_depends_on_seed_and_step_alone(experiment) -> None:
    first, second = batches(experiment()), batches(experiment())
    kept = [first[step] for step in range(4)]
    for step in (3, 0, 2, 1):
        for part, other in zip(kept[step], second[step], strict=True):
            assert torch.equal(part.low, other.low) and torch.equal(part.high, other.high)


def test_each_scale_has_places_of_its_own_and_the_models_those_it_has_alone(experiment) -> None:
    mixed, alone = batches(experiment()), batches(experiment("data.scales=[]", "batch=2"))
    places = [[part.samples(step) for step in range(8)] for part in mixed.parts]
    assert places[0] == [alone.parts[0].samples(step) for step in range(8)]
    # Places on grids of unequal steps differ anyway; which pictures, and how they are turned, must be drawn anew too.
    drawn = [[(at.picture, at.symmetry) for samples in one for at in samples] for one in places]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_processes_share_out_every_scale(experiment) -> None:
    whole = batches(experiment())
    halves = [batches(experiment(), Share(rank, 2)) for rank in (0, 1)]
    for part, *shared in zip(whole[5], *(half[5] for half in halves), strict=True):
        assert torch.equal(part.low, torch.cat([one.low for one in shared]))
        assert torch.equal(part.high, torch.cat([one.high for one in shared]))


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_the_loss_of_a_step_is_the_mean_over_the_scales(config, experiment, tmp_path) -> None:
    train([str(config), "name=first"])
    train([str(config), "name=parts", "accumulate=2"])
    made = experiment()
    torch.manual_seed(made.seed)
    network = made.model.build()
    losses = [
        nn.functional.mse_loss(network(low, high.shape[-1] // low.shape[-1]), high).item()
        for low, high in (part.floats(torch.device("cpu")) for part in batches(made)[0])
    ]
    for name in ("first", "parts"):
        logged = read_log(tmp_path / "runs" / name / "metrics.jsonl")[0]
        assert logged["step"] == 1 and logged["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_run_of_several_scales_resumes_exactly_and_its_weights_enlarge_by_each(config, tmp_path) -> None:
    train([str(config)])
    folder = tmp_path / "runs/mixed"
    state = folder / "checkpoints/step_000000006"
    files = [folder / "best.safetensors", state / "model.safetensors", state / "optim.safetensors"]
    before = {path.name: sha256(path) for path in files}
    for path in state.iterdir():
        path.unlink()
    train([str(config)])
    assert {path.name: sha256(path) for path in files} == before
    lows = tmp_path / "contest/train/lr"
    for scale in (2, 3, 4):
        infer([str(folder), "--input", str(lows), "--output", str(tmp_path / f"x{scale}"), "--scale", str(scale)])
        assert (tmp_path / f"x{scale}/000.png").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.scales=[2, 3]"], r"data.scales \[2, 3\] do not have model.scale 4 among them, each once"),
        (["data.scales=[4, 4]"], "each once"),
        (["data.high_patch=32"], "data.high_patch 32 is no multiple of the scale 3"),
        (["model={name: rrdbnet}"], "data.scales .* are several, but model.name rrdbnet has one scale"),
        (["data.scales=[5]"], "data.scales.0: Input should be 2, 3 or 4"),
        (["batch=8"], "batch: 8 cannot be shared by 1 processes in 3 parts each"),
    ],
)
def test_scales_that_do_not_fit_are_refused(overrides, words, config) -> None:
    with pytest.raises(UsageError, match=words):
        train([str(config), *overrides])
