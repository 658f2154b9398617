"""What is said of a low picture without its high one, on pictures made in known ways and on the real test pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Contest, Texture

from competition.analysis.inspect import inspect
from competition.data.blind import SMALLEST, look
from competition.data.degrade import Degradation, degrade
from competition.images import Bytes, read_rgb, write_png

NOISES = (1.0, 4.0, 12.0)
MADE = {
    "plain": (Degradation(), []),
    "nearest": (Degradation(resize="nearest"), []),
    "median 3": (Degradation(low_median=3), ["median filter"]),
    "median 5": (Degradation(low_median=5), ["median filter"]),
    "nearest, median": (Degradation(resize="nearest", low_median=3), ["median filter"]),
    "blur 1": (Degradation(low_blur=1), ["blur"]),
    "nearest, blur": (Degradation(resize="nearest", low_blur=1), ["blur"]),
    "noise": (Degradation(noise=4), []),
    "JPEG 90": (Degradation(jpeg=90), ["JPEG 90"]),
    "JPEG 50": (Degradation(jpeg=50), ["JPEG 50"]),
    "blur, JPEG 95": (Degradation(low_blur=1, jpeg=95), ["blur", "JPEG 95"]),
}


@pytest.fixture(scope="module")
def high(shared_data: Path) -> Bytes:
    return np.ascontiguousarray(read_rgb(shared_data / "urban100/hr/065.png")[:640, :768])


@pytest.mark.parametrize("name", MADE)
def test_the_traces_of_a_photograph_made_low(name: str, high: Bytes) -> None:
    degradation, traces = MADE[name]
    assert look(degrade(high, degradation, np.random.default_rng(1))).traces == traces


@pytest.mark.parametrize("sigma", NOISES)
def test_noise_is_measured(sigma: float) -> None:
    ground = np.full((160, 200, 3), 120.0) + np.linspace(0, 40, 200)[None, :, None]
    noisy = ground + sigma * np.random.default_rng(2).standard_normal(ground.shape)
    assert look(noisy.clip(0, 255).round().astype(np.uint8)).noise == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("side", range(2, 9))
def test_repeated_pixels_are_found_wherever_the_picture_begins(side: int, texture: Texture) -> None:
    repeated = texture(1, 32, 40).repeat(side, 0).repeat(side, 1)
    for down, right in ((0, 0), (1, 0), (side - 1, side // 2)):
        found = look(np.ascontiguousarray(repeated[down:, right:]))
        assert found.repeat == side and f"pixels repeated {side} times" in found.traces and not found.median


def test_stripes_of_one_direction_are_no_repeated_pixels(texture: Texture) -> None:
    assert look(texture(1, 64, 32).repeat(2, 1)).repeat == 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_without_texture_shows_nothing(level: int) -> None:
    found = look(np.full((SMALLEST, 40, 3), level, np.uint8))
    assert found.traces == [] and found.noise == 0 and found.aliasing is found.equal is found.streak is None


def test_a_sampled_picture_aliases_more_than_a_smoothed_one(high: Bytes) -> None:
    sampled, smoothed = high[::4, ::4], cv2.resize(high, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    many, few = look(np.ascontiguousarray(sampled)).aliasing, look(np.asarray(smoothed, np.uint8)).aliasing
    assert many is not None and few is not None and many > 1.5 * few


def test_a_picture_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="16 x 16"):
        look(np.zeros((SMALLEST - 1, 40, 3), np.uint8))


def test_the_contests_test_pictures_were_made_in_three_ways(shared_data: Path) -> None:
    traces = {
        path.stem: look(read_rgb(path)).traces for path in sorted((shared_data / "competition/test/lr").iterdir())
    }
    # Told by eye, at four times the size.
    median = {"20000", "20001", "20003", "20004", "20005", "20010", "20015", "20016"}
    blurred = {"20002", "20009", "20011", "20012", "20013"}
    assert {name for name, found in traces.items() if found == ["median filter"]} == median
    assert {name for name, found in traces.items() if found == ["blur"]} == blurred
    assert {name for name, found in traces.items() if not found} == set(traces) - median - blurred


def test_the_audit_looks_at_every_test_picture(contest: Contest, texture: Texture) -> None:
    root = contest(2)
    (root / "test/lr").mkdir(parents=True)
    for name, side in (("large.png", 64), ("tiny.png", SMALLEST - 1)):
        write_png(root / "test/lr" / name, texture(3, side, side))
    large, tiny = inspect(root, 4, quick=True).test
    found = look(read_rgb(root / "test/lr/large.png"))
    assert large.look == {"traces": found.traces, **found._asdict()}
    assert tiny.look is None
