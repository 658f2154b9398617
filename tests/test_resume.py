"""Stopped after any step, and again, a run resumes to the bits of one that was never stopped."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import outcome, write_config

from competition import processes, weights
from competition.errors import Stopped
from competition.loops import Validation
from competition.train import main as train


@pytest.fixture
def run_until(monkeypatch) -> Callable[..., None]:
    """run_until(config, name, first, last, *settings): from step `first` to a request to stop in step `last` (or 0)."""
    agree = processes.agree

    def run(config: Path, name: str, first: int, last: int, *settings: str) -> None:
        step = first

        def agree_to_stop(accelerator, values, stop):
            nonlocal step
            step += 1
            return agree(accelerator, values, stop or step == last)

        monkeypatch.setattr(processes, "agree", agree_to_stop)
        if last:
            with pytest.raises(Stopped, match=f"saved at step {last}"):
                train([str(config), f"name={name}", *settings])
        else:
            train([str(config), f"name={name}", *settings])

    return run


@pytest.mark.parametrize(
    ("steps", "stops", "workers"),
    [
        pytest.param(24, (1, 11, 23), 0, id="some"),
        pytest.param(100, range(1, 100), 0, id="every", marks=pytest.mark.slow),
        pytest.param(100, range(1, 100), 2, id="every-workers", marks=pytest.mark.slow),
    ],
)
def test_a_stop_after_any_step_changes_nothing(tmp_path, run_until, capsys, steps, stops, workers):
    config = write_config(tmp_path, steps=steps, validate_every=10, save_every=7, workers=workers)
    run_until(config, "whole", 0, 0)
    whole = outcome(tmp_path / "runs/whole")
    for stop in stops:
        run_until(config, f"cut{stop}", 0, stop)
        capsys.readouterr()
        run_until(config, f"cut{stop}", stop, 0)
        assert f"step {stop} of {steps}, " in capsys.readouterr().out
        assert outcome(tmp_path / f"runs/cut{stop}") == whole, stop


@pytest.mark.parametrize(
    ("steps", "stops"),
    [
        pytest.param(24, (2, 3, 12, 20), id="some"),
        pytest.param(100, (1, 2, 4, 7, 11, 16, 22, 29, 60, 99), id="ten", marks=pytest.mark.slow),
        pytest.param(60, range(1, 60), id="every", marks=pytest.mark.slow),
    ],
)
def test_stops_one_after_the_other_change_nothing(tmp_path, run_until, steps, stops):
    config = write_config(tmp_path, steps=steps, validate_every=10, save_every=7)
    run_until(config, "whole", 0, 0)
    first = 0
    for stop in stops:
        run_until(config, "cut", first, stop)
        first = stop
    run_until(config, "cut", first, 0)
    assert outcome(tmp_path / "runs/cut") == outcome(tmp_path / "runs/whole")


def test_after_a_stop_the_best_weights_of_before_are_still_the_best(tmp_path, run_until):
    worse = ["optimizer.lr=3e-3", "schedule.milestones=[]", "stages=[{from_step: 11, lr: 0.1}]"]
    config = write_config(tmp_path, steps=24, validate_every=10, save_every=7)
    run_until(config, "whole", 0, 0, *worse)
    run_until(config, "cut", 0, 15, *worse)
    run_until(config, "cut", 15, 0, *worse)
    assert weights.read_description(tmp_path / "runs/cut/best.safetensors").step == 10
    assert outcome(tmp_path / "runs/cut") == outcome(tmp_path / "runs/whole")


def test_a_validation_that_was_cut_off_is_made_up_for(tmp_path, run_until, monkeypatch):
    def cut_off(*arguments):
        raise KeyboardInterrupt

    config = write_config(tmp_path, steps=24, validate_every=10, save_every=7)
    run_until(config, "whole", 0, 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Validation, "run", cut_off)
        run_until(config, "cut", 0, 0)
    run_until(config, "cut", 10, 0)
    assert outcome(tmp_path / "runs/cut") == outcome(tmp_path / "runs/whole")
