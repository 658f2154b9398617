"""What few pictures tell of the next ones, against known values, other formulas and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from competition.statistics import compare, expect, p_again, shake


def scores(seed: int, gain: float, noise: float, count: int = 18) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(25, 4, count)
    return first + gain + rng.normal(0, noise, count), first


def test_a_comparison_counts_and_averages_picture_by_picture():
    found = compare([30, 31, 29, 40], [29, 32, 27, 40])
    assert (found.mean, found.wins, found.losses) == (0.5, 2, 1)
    assert found.p_sign == pytest.approx(1.0) and found.low < 0.5 < found.high


@pytest.mark.parametrize(("wins", "losses"), [(18, 0), (14, 4), (9, 9), (3, 1)])
def test_the_sign_test_is_the_binomial_one(wins, losses):
    found = compare([1.0 + 0.1 * k for k in range(wins)] + [-1.0] * losses, [0.0] * (wins + losses))
    tail = sum(math.comb(wins + losses, k) for k in range(max(wins, losses), wins + losses + 1)) / 2 ** (wins + losses)
    assert found.p_sign == pytest.approx(min(1, 2 * tail))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        differences = rng.normal(0.05, 0.1, 18)
        found = compare(differences, np.zeros(18))
        covered += found.low <= 0.05 <= found.high
    assert 50 <= covered <= 59


def test_the_interval_of_many_pictures_is_that_of_the_normal_distribution():
    first, second = scores(3, 0.2, 0.5, 400)
    found = compare(first, second)
    half = 1.96 * (first - second).std(ddof=1) / 20
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.1 * half)


def test_differences_between_pictures_do_not_hide_differences_between_predictions():
    first, second = scores(0, 0.02, 0.01)
    found = compare(first, second)
    assert found.low > 0 and found.p_again > 0.99 and stats.ttest_ind(first, second).pvalue > 0.9


def test_the_chance_of_another_win_is_kept():
    """Over many contests in which 18 pictures are followed by 18 others, said and seen chances agree."""
    rng = np.random.default_rng(2)
    gains = rng.normal(0, 0.02, 4000)  # a wide prior, so that the ones said are right on average
    known = rng.normal(gains[:, None] * 10, 0.1, (4000, 18))
    later = rng.normal(gains * 10, 0.1 / np.sqrt(18))
    said = np.array([p_again(differences) for differences in known])
    for low, high in ((0.05, 0.35), (0.35, 0.65), (0.65, 0.95)):
        chosen = (said > low) & (said < high)
        assert chosen.sum() > 100 and (later[chosen] > 0).mean() == pytest.approx(said[chosen].mean(), abs=0.08)


def test_the_score_to_expect_is_met_as_often_as_said():
    rng = np.random.default_rng(4)
    met = 0
    for _ in range(400):
        _, low, high = expect(rng.normal(25, 4, 10))
        met += low <= rng.normal(25, 4, 18).mean() <= high
    assert 370 <= met <= 390
    with pytest.raises(ValueError, match="two finite ones"):
        expect([25.0])


def test_equal_predictions_are_even():
    found = compare([25.0, 30.0], [25.0, 30.0])
    assert found == (0.0, 0.0, 0.0, 0, 0, 1.0, 0.5)


def test_a_constant_gain_is_sure():
    found = compare([26.0, 31.0, 36.0], [25.0, 30.0, 35.0])
    assert (found.low, found.high, found.p_again) == (1.0, 1.0, 1.0)


def test_one_picture_tells_a_difference_and_no_more():
    found = compare([26.0], [25.0])
    assert found.mean == 1.0 and math.isnan(found.low) and math.isnan(found.p_again)


@pytest.mark.parametrize("pair", [([1.0], [1.0, 2.0]), ([], []), ([math.inf], [1.0]), ([math.nan], [1.0])])
def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match="finite scores of the same pictures"):
        compare(*pair)


# ---- shake ----------------------------------------------------------------------------------------------------------


def test_a_clear_winner_wins_both_halves_and_equal_predictions_share():
    base = np.random.default_rng(0).normal(25, 4, 18)
    clear = shake(np.array([base, base + 1]))
    assert (clear.same_winner, clear.regret) == (1.0, 0.0)
    equal = shake(np.array([base, base]))
    assert equal.same_winner == 1.0 and equal.regret == 0.0


def test_predictions_that_differ_by_chance_swap_places():
    rng = np.random.default_rng(1)
    base = rng.normal(25, 4, 18)
    found = shake(np.array([base, base + rng.permutation(np.linspace(-0.1, 0.1, 18))]))
    assert found.same_winner < 0.5 and 0 < found.regret < 0.1


def test_halves_of_one_test_set_lie_as_far_apart_as_combinatorics_says():
    """Two halves of n values drawn without replacement: the variance of their difference is 4 s^2 / n."""
    base = np.random.default_rng(2).normal(25, 4, 18)
    expected = 2 * base.std(ddof=1) / np.sqrt(18)
    assert shake(base[None]).spread == pytest.approx(expected, rel=0.03)


def test_other_numbers_of_pictures_are_drawn_with_replacement():
    base = np.random.default_rng(3).normal(25, 4, 60)
    expected = base.std() * np.sqrt(1 / 9 + 1 / 9)
    assert shake(base[None]).spread == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("public", [0, 18, -1])
def test_halves_without_pictures_are_refused(public):
    with pytest.raises(ValueError, match="leave nothing to compare"):
        shake(np.zeros((2, 18)), public=public)
