"""kill -9 at random moments: the same command always resumes, and ends with the bits of an uninterrupted run.

The long form is `make soak`.
"""

import os
import random
import signal
import time

import pytest
from soak import Tally, log_size, soak
from tiny_run import fork, write_config


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_loses_nothing(in_memory, seed, workers):
    tally = soak(in_memory / "run", Tally("one"), random.Random(seed), 3, workers=workers, steps=40)
    assert tally.kills == 3 and tally.finished and not tally.faults()


def test_the_death_of_one_process_ends_the_other_and_loses_nothing(in_memory, seed):
    tally = soak(in_memory / "run", Tally("two"), random.Random(seed), 2, processes=2, steps=40)
    assert tally.kills == 2 and tally.finished and not tally.faults()


def test_workers_that_outlive_a_killed_run_do_not_keep_its_folder(in_memory):
    """They notice its death within seconds; here they are held, so that they never do."""
    config = write_config(in_memory, steps=100_000, validate_every=100_000, save_every=100_000, workers=2)
    with fork(str(config), output=in_memory / "first") as first:
        while not log_size(in_memory / "runs" / "tiny") and first.runs():
            time.sleep(0.01)
        first.stop()
        os.kill(first.pids[0], signal.SIGKILL)
        first.processes[0].join()
        with fork(str(config), output=in_memory / "second") as second:
            while "step 0 of" not in (said := second.output.read_text()) and second.runs():
                time.sleep(0.01)
    assert "step 0 of" in said and "locked" not in said
