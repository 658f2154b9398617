"""kill -9 at random moments: the same command always resumes, and ends with the bits of an uninterrupted run.

The long form is `make soak`.
"""

import random

import pytest
from soak import OneProcess, Tally, TwoProcesses, series, undisturbed
from tiny_run import TWO_PROCESSES


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_loses_nothing(tmp_path, seed, workers):
    config, whole = undisturbed(tmp_path / "run", workers, steps=40)
    tally = Tally(f"{workers} workers")
    series(OneProcess(config, whole, tally, random.Random(seed)), 3, lambda tally, number: None)
    assert (tally.kills, tally.finished) == (3, 1)


def test_the_death_of_one_process_ends_the_others_and_loses_nothing(tmp_path, seed):
    config, whole = undisturbed(tmp_path / "run", 0, 40, TWO_PROCESSES)
    tally = Tally("2 processes")
    series(TwoProcesses(config, whole, tally, random.Random(seed)), 2, lambda tally, number: None)
    assert (tally.kills, tally.finished) == (2, 1)
    assert tally.slowest_end < 2
