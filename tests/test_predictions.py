"""Votes of anything that can be handed over: every order of the members, and every weight that is none."""

from itertools import permutations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.ensemble import vote


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=4, max_size=4).filter(any), st.integers(0, 2**32 - 1))
def test_no_order_of_the_members_changes_a_bit_of_the_vote(weights, seed):
    generator = np.random.default_rng(seed)
    members = [generator.integers(0, 65536, (3, 4, 3), np.uint16) for _ in weights]
    votes = [vote([members[i] for i in order], [weights[i] for i in order]) for order in permutations(range(4))]
    assert all(torch.equal(votes[0], other) for other in votes[1:])
