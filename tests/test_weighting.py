"""Weights of a vote: the quadratic programme, its conditions of optimality, greedy picks, and the guard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from competition import weighting

FITS = (weighting.convex, weighting.greedy)


def grams(seed: int, pictures: int, parts: int, members: int, spread: float = 1.0) -> np.ndarray:
    """Gram matrices of errors as members have them: one they share, one of their own each, of different strength."""
    rng = np.random.default_rng(seed)
    strength = np.exp(spread * rng.normal(size=members)) * 3
    shared = rng.normal(size=(pictures, parts, 1, 500)) * np.exp(rng.normal(size=(pictures, 1, 1, 1))) * 10
    errors = shared + rng.normal(size=(pictures, parts, members, 500)) * strength[:, None]
    return errors @ np.swapaxes(errors, 2, 3) / (500 * parts)


sizes = st.tuples(st.integers(0, 2**32), st.integers(3, 8), st.integers(1, 3), st.integers(1, 7))


@given(sizes, st.floats(0, 3))
@settings(deadline=None, max_examples=100)
def test_the_least_of_a_quadratic_on_the_simplex_meets_the_conditions_of_karush_kuhn_and_tucker(size, spread):
    matrix = grams(*size, spread).sum((0, 1))
    weights = weighting.minimize_on_simplex(matrix)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-12)
    slope = matrix @ weights
    least = weights @ slope
    assert (slope >= least * (1 - 1e-9)).all(), "another member's weight would lower the error"
    assert slope[weights > 0] == pytest.approx(least, rel=1e-9)


@given(sizes)
@settings(deadline=None, max_examples=50)
def test_convex_weights_cannot_be_moved_to_a_higher_mean_psnr(size):
    given_grams = grams(*size)
    weights = weighting.convex(given_grams)
    assert (weights >= 0).all() and weights.sum(1) == pytest.approx(1, abs=1e-12)
    share = 1 / (weighting.errors(given_grams, weights) + weighting.ROUNDING)
    for part, row in enumerate(weights):
        slope = np.tensordot(share, given_grams[:, part], 1) @ row
        assert (slope >= row @ slope * (1 - 1e-5)).all()
    best = weighting.psnr(given_grams, weights).mean()
    for other in (weighting.uniform, weighting.best_member, weighting.greedy):
        assert best >= weighting.psnr(given_grams, other(given_grams)).mean() - 1e-6


def test_a_general_solver_finds_no_better_weights():
    for seed in range(20):
        matrix = grams(seed, 1, 1, 5)[0, 0]
        found = weighting.minimize_on_simplex(matrix)
        constraint = {"type": "eq", "fun": lambda w: w.sum() - 1}
        other = minimize(lambda w, m=matrix: w @ m @ w, np.full(5, 0.2), bounds=[(0, 1)] * 5, constraints=constraint)
        theirs = other.x.clip(0) / other.x.clip(0).sum()
        assert found @ matrix @ found <= theirs @ matrix @ theirs * (1 + 1e-9)
        assert found @ matrix @ found == pytest.approx(theirs @ matrix @ theirs, rel=1e-4)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0], [0, 3]], [0.75, 0.25]),
        ([[1, 1], [1, 4]], [1, 0]),
        ([[1, 2], [2, 9]], [1, 0]),
        ([[0, 0], [0, 5]], [1, 0]),
        ([[7]], [1]),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1e8]], [0.5, 0.5, 0]),
    ],
)
def test_known_weights(matrix, expected):
    assert weighting.minimize_on_simplex(np.array(matrix, np.float64)) == pytest.approx(expected, abs=1e-7)


def test_members_that_are_equal_share_what_one_would_have():
    one = grams(1, 4, 1, 3)
    twice = one[:, :, [0, 1, 2, 2]][:, :, :, [0, 1, 2, 2]]
    alone, shared = weighting.convex(one)[0], weighting.convex(twice)[0]
    assert [*shared[:2], shared[2] + shared[3]] == pytest.approx(list(alone), abs=1e-6)


def test_pictures_count_by_their_share_of_the_mean_psnr_and_not_by_their_error():
    """Member 0 is better by half on two easy pictures, member 1 on one picture that is a hundred times harder."""
    given_grams = np.array([np.diag([1.0, 2.0]), np.diag([1.0, 2.0]), np.diag([200.0, 100.0])])[:, None]
    assert weighting.minimize_on_simplex(given_grams.sum((0, 1)))[0] < 0.5 < weighting.convex(given_grams)[0, 0]


def test_a_part_that_no_picture_has_votes_as_the_others_do():
    given_grams = np.concatenate([grams(3, 5, 1, 3), np.zeros((5, 1, 3, 3))], 1)
    weights = weighting.convex(given_grams)
    assert weights[1] == pytest.approx(weights[0], abs=1e-6)


@given(sizes)
@settings(deadline=None, max_examples=50)
def test_the_votes_error_is_the_members_mean_error_less_the_diversity(size):
    seed, pictures, parts, members = size
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(pictures, parts, members, 300))
    weights = rng.dirichlet(np.ones(members), parts)
    given_grams = errors @ np.swapaxes(errors, 2, 3) / (300 * parts)
    vote = np.einsum("bi,kbin->kbn", weights, errors)
    assert weighting.errors(given_grams, weights) == pytest.approx((vote**2).mean((1, 2)), rel=1e-9)
    alone = np.einsum("bi,kbin->k", weights, errors**2) / (300 * parts)
    apart = np.einsum("bi,kbin->k", weights, (errors - vote[:, :, None]) ** 2) / (300 * parts)
    assert weighting.diversity(given_grams, weights) == pytest.approx(apart, rel=1e-9, abs=1e-12)
    assert weighting.errors(given_grams, weights) == pytest.approx(alone - apart, rel=1e-9)


def test_greedy_picks_are_whole_numbers_of_one_total_and_come_near_the_convex_weights():
    for seed in range(10):
        given_grams = grams(seed, 6, 1, 4)
        weights = weighting.greedy(given_grams)[0]
        counts = [weights * total for total in range(1, weighting.ROUNDS + 1)]
        assert any(np.allclose(count, count.round(), atol=1e-9) for count in counts)
        best, found = (weighting.psnr(given_grams, fit(given_grams)).mean() for fit in FITS)
        assert best - 0.005 < found <= best + 1e-9


# ---- the guard ------------------------------------------------------------------------------------------------------


def test_left_out_scores_know_nothing_of_the_picture_they_judge():
    given_grams = grams(5, 6, 1, 3)
    before = weighting.attempt("convex", weighting.convex, given_grams)
    changed = given_grams.copy()
    changed[2] *= 3
    after = weighting.attempt("convex", weighting.convex, changed)
    error = 255**2 / 10 ** (before.left_out[2] / 10) - weighting.ROUNDING
    assert after.left_out[2] == pytest.approx(10 * np.log10(255**2 / (3 * error + weighting.ROUNDING)))


def test_a_fit_to_noise_is_refused():
    """Twenty equally good members on four pictures: the fit sees differences where there are none."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(20):
        errors = rng.normal(size=(4, 1, 20, 60)) * 10
        given_grams = errors @ np.swapaxes(errors, 2, 3) / 60
        plain = weighting.attempt("the plain mean", weighting.uniform, given_grams)
        fitted = weighting.attempt("convex", weighting.convex, given_grams)
        assert weighting.psnr(given_grams, fitted.weights).mean() > plain.left_out.mean(), "it does look better"
        chosen, line = weighting.prefer(plain, fitted)
        refused += chosen is plain
        assert ("no sure gain, the plain mean stays" in line) == (chosen is plain)
    assert refused >= 19


def test_a_real_gain_is_taken():
    errors = np.random.default_rng(2).normal(size=(8, 1, 4, 500)) * np.array([2, 3, 3, 20])[:, None]
    given_grams = errors @ np.swapaxes(errors, 2, 3) / 500
    plain = weighting.attempt("the plain mean", weighting.uniform, given_grams)
    fitted = weighting.attempt("convex", weighting.convex, given_grams)
    chosen, line = weighting.prefer(plain, fitted)
    assert chosen is fitted and line.endswith("; taken")
