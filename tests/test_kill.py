"""kill -9 at random moments: the same command always resumes, and ends with the bits of an uninterrupted run.

The long form is `make soak`.
"""

import random

import pytest
from soak import Tally, soak


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_loses_nothing(in_memory, seed, workers):
    tally = soak(in_memory / "run", Tally("one"), random.Random(seed), 3, workers=workers, steps=40)
    assert tally.kills == 3 and tally.finished and not tally.faults()


def test_the_death_of_one_process_ends_the_other_and_loses_nothing(in_memory, seed):
    tally = soak(in_memory / "run", Tally("two"), random.Random(seed), 2, processes=2, steps=40)
    assert tally.kills == 2 and tally.finished and not tally.faults()
