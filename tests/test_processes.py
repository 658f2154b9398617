"""Several processes of one run: what one of them sees, all know, and together they do what one alone would do."""

import json

import pytest
import torch
from accelerate import Accelerator
from tiny_run import fork, fork_each, write_config

from competition import processes
from competition.runs import read_log


def vote() -> None:
    """Print what this process is told when one of the two has something to tell."""
    accelerator = Accelerator(cpu=True)
    values = [0.0, float("inf"), float("nan"), 0.0, 0.0]
    told = []
    for number, value in enumerate(values):
        mine = accelerator.process_index == number % 2  # the others see nothing
        finite = torch.tensor([1.0, value if mine else 0.0])
        told.append(processes.agree(accelerator, finite, stop=mine and number == 4))
    print(json.dumps(told) + "\n", end="")  # in one piece: both print into one file
    accelerator.end_training()


def test_all_know_what_one_has_seen(tmp_path):
    statuses, output = fork_each(vote, (), tmp_path / "output", 2).wait()
    assert statuses == [0, 0], output
    told = [json.loads(line) for line in output.splitlines() if line.startswith("[[")]
    assert told == [[[True, False], [False, False], [False, False], [True, False], [True, True]]] * 2


def test_two_processes_do_what_one_does(tmp_path):
    config = write_config(tmp_path, steps=24, validate_every=12, save_every=24)
    logs = []
    for count in (1, 2):
        statuses, output = fork(str(config), f"name=with{count}", output=tmp_path / "output", processes=count).wait()
        assert statuses == [0] * count, output
        logs.append(read_log(tmp_path / f"runs/with{count}/metrics.jsonl"))
    one, two = logs
    assert [(line["step"], line.get("lr")) for line in two] == [(line["step"], line.get("lr")) for line in one]
    for key, tolerance in (("loss", 1e-3), ("grad_norm", 1e-2), ("psnr", 1e-4)):
        ours, theirs = ([line[key] for line in log if key in line] for log in (two, one))
        assert ours == pytest.approx(theirs, rel=tolerance), key
