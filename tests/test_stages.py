"""Stages and schedules: the rate of every step by hand and by torch, and what a stage changes and keeps."""

import math
from pathlib import Path

import pytest
import torch

from competition.config import load
from competition.errors import UsageError
from competition.experiment import Experiment
from competition.losses import L1Config, MSEConfig
from competition.schedules import CosineConfig, MultiStepConfig


@pytest.fixture
def experiment(tmp_path: Path):
    """experiment(yaml): a valid experiment with these lines."""

    def make(lines: str) -> Experiment:
        path = tmp_path / "run.yaml"
        path.write_text(f"name: run\ndata: {{root: data, high_patch: 64}}\n{lines}\n")
        return load(path, Experiment)

    return make


def rates_of_torch(scheduler, optimizer, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_multistep_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 7, 8], 0.5)
    schedule = MultiStepConfig(milestones=(3, 7, 8), gamma=0.5)
    assert [schedule.factor(step, 12) for step in range(12)] == rates_of_torch(scheduler, optimizer, 12)


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 0.01)
    schedule = CosineConfig(floor=0.01)
    ours = [schedule.factor(step, 20) for step in range(20)]
    assert ours == pytest.approx(rates_of_torch(scheduler, optimizer, 20))


@pytest.mark.parametrize("schedule", [MultiStepConfig(milestones=(), warmup=4), CosineConfig(warmup=4, floor=0)])
def test_a_warm_up_rises_in_equal_steps_to_the_whole_rate(schedule) -> None:
    assert [schedule.factor(step, 100) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])


def test_cosine_after_its_warm_up_is_half_way_in_the_middle() -> None:
    schedule = CosineConfig(warmup=10, floor=0)
    assert schedule.factor(60, 110) == pytest.approx(0.5)
    assert schedule.factor(35, 110) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_a_stage_keeps_what_it_does_not_change(experiment) -> None:
    made = experiment(
        """
steps: 100
batch: 8
loss: {name: l1}
stages:
  - {from_step: 40, high_patch: 128, batch: 4}
  - {from_step: 60, loss: {name: mse}, lr: 5e-5, ema: 0.9, accumulate: 2}
"""
    )
    first, second, third = made.all_stages()
    assert (first.first, first.last, second.last, third.last) == (0, 40, 60, 100)
    assert (first.high_patch, first.batch, first.loss) == (64, 8, L1Config())
    assert (second.high_patch, second.batch, second.loss) == (128, 4, L1Config())
    assert (third.high_patch, third.batch, third.loss) == (128, 4, MSEConfig())
    assert (second.ema, third.ema, second.accumulate, third.accumulate) == (0.999, 0.9, 1, 2)
    assert (second.rate(59), third.rate(60)) == (1e-4, 5e-5)


def test_a_schedule_goes_on_through_stages_until_one_brings_its_own(experiment) -> None:
    made = experiment(
        """
steps: 100
schedule: {name: multistep, milestones: [10, 50], gamma: 0.1}
stages:
  - {from_step: 30, high_patch: 128}
  - {from_step: 60, schedule: {name: cosine, floor: 0}}
"""
    )
    stages = made.all_stages()
    rates = [next(stage for stage in stages if step < stage.last).rate(step) for step in (0, 10, 30, 50, 60, 80)]
    assert rates == pytest.approx([1e-4, 1e-5, 1e-5, 1e-6, 1e-4, 5e-5])


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ("[{from_step: 9, batch: 2}, {from_step: 5, batch: 2}]", "do not follow each other"),
        ("[{from_step: 100, batch: 2}]", "below 100"),
        ("[{from_step: 9, high_patch: 66}]", "stages.0.high_patch 66 is no multiple"),
    ],
)
def test_impossible_stages_are_refused(stages: str, words: str, experiment) -> None:
    with pytest.raises(UsageError, match=words):
        experiment(f"steps: 100\nstages: {stages}")
