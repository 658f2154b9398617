"""What is read from a run's log: the forecast of known curves, what each rate brought, the gap, where time went."""

import json

import numpy as np
import pytest
from drawn_run import log

from competition.analysis.forecast import forecast
from competition.analysis.series import History, Series, read_history
from competition.analysis.training import gap, heading, remarks, stages, time_spent


@pytest.fixture
def history(tmp_path) -> History:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log()))
    return read_history(tmp_path, "drawn")


def power_law(points: int, noise: float, seed: int, exponent: float = 0.7) -> Series:
    """30 - 3 * (step / 200) ** -exponent with normal noise, at 200, 400, … steps."""
    steps = 200.0 * np.arange(1, points + 1)
    noisy = np.random.default_rng(seed).normal(0, noise, points)
    return Series(steps, 30 - 3 * (steps / 200) ** -exponent + noisy)


@pytest.mark.parametrize("exponent", [0.2, 0.7, 1.5])
def test_a_power_law_without_noise_is_continued(exponent):
    known = power_law(12, 0, 0, exponent)
    ahead = np.array([3000.0, 4800.0, 9600.0])
    found = forecast(known, ahead)
    truth = 30 - 3 * (ahead / 200) ** -exponent
    assert np.allclose(found.median, truth, atol=0.02)
    assert (found.low - truth < 5e-3).all() and (truth - found.high < 5e-3).all()


def test_the_interval_holds_nineteen_of_twenty_and_is_no_wider_than_it_must_be():
    held, widths = [], []
    for seed in range(40):
        found = forecast(power_law(10, 0.02, seed), np.array([4000.0]))
        new = 30 - 3 * 20**-0.7 + np.random.default_rng(seed + 10_000).normal(0, 0.02)
        held.append(found.low[0] <= new <= found.high[0])
        widths.append(found.high[0] - found.low[0])
    assert np.mean(held) >= 0.87
    assert 4 * 0.02 < np.median(widths) < 12 * 0.02


def test_a_forecast_widens_with_the_distance_and_with_the_noise():
    near, far = (
        forecast(power_law(8, 0.05, 1), np.array([1800.0, 16_000.0])),
        forecast(power_law(8, 0.01, 1), np.array([1800.0, 16_000.0])),
    )
    for found in (near, far):
        assert found.high[1] - found.low[1] > found.high[0] - found.low[0]
    assert (near.high - near.low > far.high - far.low).all()


def test_three_points_foretell_nothing():
    assert forecast(power_law(3, 0, 0), np.array([800.0])) is None
    assert heading(History("run", {"psnr": power_law(3, 0, 0)}, None)) is None
    assert heading(History("run", {}, None)) is None


def test_equal_scores_are_forecast_to_stay():
    found = forecast(Series(200.0 * np.arange(1, 6), np.full(5, 25.0)), np.array([2000.0]))
    assert found.median[0] == pytest.approx(25, abs=1e-3) and found.high[0] - found.low[0] < 0.05


def test_each_rate_has_its_steps_and_what_it_brought(history):
    table = stages(history)
    assert np.allclose(table["lr"], [1e-4, 5e-5, 2.5e-5])
    assert table[["first", "last"]].to_numpy().tolist() == [[0, 400], [400, 600], [600, 800]]
    assert table["validations"].tolist() == [5, 2, 3]
    scores = history.series["psnr"].values
    assert np.allclose(table["psnr"], [scores[4], scores[6], scores[9]])
    assert np.allclose(table["gain"], [scores[4] - scores[0], scores[6] - scores[4], scores[9] - scores[6]])
    assert table["gain_per_1000"].iloc[2] == pytest.approx((scores[9] - scores[6]) / 240 * 1000)
    # The curve was drawn without regard to the rate: the halving brought nothing beyond its course.
    assert table["expected"].iloc[1] == pytest.approx(scores[6], abs=0.05)
    assert np.isnan(table["expected"].iloc[2])  # of two validations


def test_a_rate_that_changes_at_every_step_has_no_stages(history):
    rate = history.series["lr"]
    falling = Series(rate.steps, rate.values * np.linspace(1, 0.5, len(rate.steps)))
    assert stages(history._replace(series=history.series | {"lr": falling})).empty
    assert stages(history._replace(series={})).empty


def test_the_gap_is_between_training_and_validation_and_of_squared_errors_only(history):
    found = gap(history, "mse")
    assert len(found.steps) == 10
    assert found.values[-1] == pytest.approx(-10 * np.log10(0.01) - history.series["psnr"].values[-1], abs=0.1)
    assert gap(history, "l1") is None and gap(history, None) is None


def test_time_goes_into_steps_and_validations(history):
    time = time_spent(history).set_index("on")["seconds"]
    assert time["steps"] == pytest.approx(400, rel=0.01)
    assert time["validation and saving"] == pytest.approx(36, rel=0.02)
    assert time["slow steps"] == pytest.approx(0, abs=1)


def test_a_resume_does_not_make_time_run_backwards(history):
    speed = history.series["steps_per_s"]
    again = np.where(speed.steps > 400, 2.0, speed.values)
    again[speed.steps > 400] = (speed.steps[speed.steps > 400] - 400) / (0.5 * (speed.steps[speed.steps > 400] - 400))
    slow = np.where(speed.steps <= 400, 0.1, again)
    resumed = history._replace(series=history.series | {"steps_per_s": Series(speed.steps, slow)})
    time = time_spent(resumed)
    assert (time["seconds"] >= -1e-9).all() and time["share"].sum() == pytest.approx(1)


def test_sentences_carry_the_figures_of_the_log(history):
    said = {about: sentence for about, sentence, _ in remarks(history)}
    gain = stages(history)["gain"].iloc[-1]
    assert f"{gain:+.3f} dB" in said["rate"] and "2.5e-05" in said["rate"]
    assert f"{history.series['psnr'].values[-1]:.3f} dB" in said["forecast"]
    assert not list(remarks(History("empty", {}, None)))
