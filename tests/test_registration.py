"""Planted shifts, gains and offsets are found on real photographs; honest pairs and conventions stay unaccused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Texture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from competition.data.degrade import KINDS, degrade
from competition.data.registration import GRID, Registration, photometry, register, verdict
from competition.images import Bytes, read_rgb

Reduction = Callable[[Bytes], Bytes]
PHOTOGRAPHS = (
    "urban100/hr/005.png",
    "urban100/hr/064.png",
    "bsd100/hr/029.png",
    "bsd100/hr/050.png",
    "set5/hr/002.png",
)


def photograph(shared_data: Path, name: str) -> Bytes:
    """At most 480x480 from the upper left corner."""
    high = read_rgb(shared_data / name)[:480, :480]
    return np.ascontiguousarray(high[: high.shape[0] // 4 * 4, : high.shape[1] // 4 * 4])


def moved(high: Bytes, down: float, right: float) -> Bytes:
    """Shifted by a quintic spline, in high pixels."""
    channels = [
        ndimage.shift(high[..., i].astype(np.float32), (down, right), order=5, mode="reflect") for i in range(3)
    ]
    return rounded(np.stack(channels, -1))


def rounded(values: npt.NDArray[np.floating]) -> Bytes:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)


def by(kind: str) -> Reduction:
    return lambda high: degrade(high, kind, np.random.default_rng(3))


def noisiest(high: Bytes) -> Bytes:
    low = by("bicubic")(high)
    return rounded(low + np.random.default_rng(3).normal(0, 6, low.shape))


def most_compressed(high: Bytes) -> Bytes:
    _, content = cv2.imencode(".jpg", by("bicubic")(high)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
    return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])


def most_blurred(high: Bytes) -> Bytes:
    return by("bicubic")(rounded(cv2.GaussianBlur(high.astype(np.float32), (0, 0), 2)))


REDUCTIONS: dict[str, Reduction] = {
    "bicubic": by("bicubic"),
    "area": by("area"),
    "blur": most_blurred,
    "noise": noisiest,
    "jpeg": most_compressed,
}
# In high pixels, four to a low pixel: a quarter, half and one of either kind, in x, y and both.
PLANTED = [(0.25, 0), (0, 0.5), (1, 1), (0, -1), (2, 0), (-2, 2), (0, 4), (4, -4)]


def difference(found: Registration, down: float, right: float) -> float:
    """The larger error, in low pixels."""
    return float(np.abs(np.subtract(found.shift, (down, right))).max())


# ---- shifts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_planted_shifts_are_found_within_a_twentieth_of_a_pixel(name: str, shared_data: Path) -> None:
    high = photograph(shared_data, name)
    for down, right in PLANTED:
        shifted = moved(high, down, right)
        for kind, reduce in REDUCTIONS.items():
            found = register(reduce(shifted), high, 4)
            assert difference(found, down / 4, right / 4) <= 0.05, (down, right, kind)


@pytest.mark.parametrize("label", ["set5", "bsd100", "urban100"])
def test_honest_photographs_are_aligned_within_a_twentieth_of_a_pixel(label: str, shared_data: Path) -> None:
    for path in sorted((shared_data / label / "lr_bicubic_x4").glob("*.png"))[::5]:
        low = read_rgb(path)
        high = read_rgb(shared_data / label / "hr" / path.name)[: low.shape[0] * 4, : low.shape[1] * 4]
        found = register(low, high, 4)
        assert difference(found, 0, 0) <= 0.05, path
        assert verdict(found.shift, found.error, 4) == "aligned"


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (-2, 3), (7, -5)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_thing_further_down_and_right_in_the_low_picture_is_a_positive_shift(
    shift: tuple[int, int], scale: int, texture: Texture
) -> None:
    high = texture(1, 64 * scale, 72 * scale)
    low = cv2.resize(high, (72, 64), interpolation=cv2.INTER_AREA)
    found = register(np.roll(low, shift, (0, 1)), high, scale)
    assert difference(found, *shift) <= 0.05
    assert verdict(found.shift, found.error, scale) == "shifted"


@settings(max_examples=25, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_any_fraction_is_found(texture: Texture, down: float, right: float) -> None:
    high = texture(2, 256, 320)
    low = by("area")(moved(high, 4 * down, 4 * right))
    assert difference(register(low, high, 4), down, right) <= 0.05


@pytest.mark.parametrize("phase", range(4))
def test_taking_every_fourth_pixel_is_measured_truthfully_and_accepted(phase: int, shared_data: Path) -> None:
    for name in PHOTOGRAPHS:
        high = photograph(shared_data, name)
        found = register(np.ascontiguousarray(high[phase::4, phase::4]), high, 4)
        assert difference(found, (1.5 - phase) / 4, (1.5 - phase) / 4) <= 0.1, name
        assert verdict(found.shift, found.error, 4) != "shifted", name


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_degradation_counts_as_shifted(kind: str, shared_data: Path) -> None:
    for name in PHOTOGRAPHS:
        high = photograph(shared_data, name)
        found = register(by(kind)(high), high, 4)
        assert verdict(found.shift, found.error, 4) in ("aligned", "sampled off centre"), name


@pytest.mark.parametrize(
    ("shift", "error", "scale", "expected"),
    [
        ((0.0, 0.0), 0.0, 4, "aligned"),
        ((0.09, -0.09), 0.0, 4, "aligned"),
        ((0.375, 0.375), 0.0, 4, "sampled off centre"),
        ((-0.125, -0.125), 0.0, 4, "sampled off centre"),
        ((-0.375, 0.375), 0.0, 4, "shifted"),  # no sampling moves down and left
        ((0.25, 0.0), 0.0, 4, "shifted"),
        ((0.25, 0.25), 0.0, 2, "sampled off centre"),
        ((0.25, 0.25), 0.0, 4, "shifted"),
        ((1 / 3, 1 / 3), 0.0, 3, "sampled off centre"),
        ((0.5, 0.5), 0.0, 4, "shifted"),
        ((0.15, 0.0), 0.0, 1, "shifted"),
        ((0.15, 0.0), 0.06, 1, "aligned"),
        ((np.nan, np.nan), np.nan, 4, "unsure"),
    ],
)
def test_verdicts(shift: tuple[float, float], error: float, scale: int, expected: str) -> None:
    assert verdict(shift, error, scale) == expected


# ---- where nothing can be told --------------------------------------------------------------------------------------


def test_flat_tiles_are_nan_and_the_others_show_the_shift(texture: Texture) -> None:
    high = texture(4, 384, 512)
    high[:, :256] = 90
    found = register(np.roll(by("area")(high), 1, 0), high, 4)
    tiles = np.array(found.tiles)
    assert tiles.shape == (GRID, GRID, 2)
    assert np.isnan(tiles[:, 0]).all()
    assert np.abs(tiles[:, 3] - (1, 0)).max() <= 0.1


def test_the_error_grows_with_noise_and_covers_what_is_off(texture: Texture) -> None:
    high = texture(5, 384, 384)
    clean = by("area")(high)
    found = [
        register(rounded(clean + np.random.default_rng(seed).normal(0, noise, clean.shape)), high, 4)
        for noise in (0, 15, 60)
        for seed in range(5)
    ]
    errors = [result.error for result in found]
    assert max(errors[:5]) < min(errors[5:10]) < max(errors[5:10]) < min(errors[10:])
    assert all(difference(result, 0, 0) <= 4 * result.error for result in found)


@pytest.mark.parametrize("make", ["flat", "stripes", "tiny", "other scene"])
def test_what_cannot_be_told_is_nan(make: str, texture: Texture) -> None:
    stripes = np.repeat(texture(6, 1, 256), 256, axis=0)  # say nothing of up and down
    low, high = {
        "flat": (np.full((64, 64, 3), 9, np.uint8), np.full((256, 256, 3), 9, np.uint8)),
        "stripes": (by("area")(stripes), stripes),
        "tiny": (by("area")(texture(6, 32, 32)), texture(6, 32, 32)),
        "other scene": (by("area")(texture(6)), texture(7)),
    }[make]
    found = register(low, high, 4)
    assert np.isnan(found.shift).all() and np.isnan(found.error)
    assert verdict(found.shift, found.error, 4) == "unsure"


def test_the_pictures_are_left_as_they_were(texture: Texture) -> None:
    high = texture(8, 256, 256)
    low = by("area")(high)
    before = low.copy(), high.copy()
    register(low, high, 4)
    assert np.array_equal(low, before[0]) and np.array_equal(high, before[1])


# ---- brightness -----------------------------------------------------------------------------------------------------


def test_gain_and_offset_of_every_channel_are_found_in_spite_of_a_caption(shared_data: Path) -> None:
    gain, offset = np.array([0.8, 1.0, 0.9]), np.array([20.0, -10.0, 5.0])
    for name in PHOTOGRAPHS:
        high = photograph(shared_data, name)
        low = rounded(by("bicubic")(high // 2 + 60) * gain + offset)
        low[-10:, :40] = (255, 0, 255)
        found = register(low, high // 2 + 60, 4)
        assert np.abs(found.gain - gain).max() < 0.05, name
        assert np.abs(np.array(found.gain) * 128 + found.offset - (gain * 128 + offset)).max() < 2, name


def test_a_channel_without_contrast_has_gain_one() -> None:
    gain, offset = photometry(np.full((20, 30, 3), 80, np.uint8), np.full((20, 30, 3), 77, np.uint8))
    assert gain == (1, 1, 1)
    assert offset == (3, 3, 3)


def test_psnr_agrees_with_an_independent_judge(texture: Texture) -> None:
    high = texture(9)
    low = by("bicubic")(high)
    reduced = cv2.resize(high, (24, 24), interpolation=cv2.INTER_AREA)
    assert register(low, high, 4).psnr == pytest.approx(peak_signal_noise_ratio(low, reduced), abs=1e-6)
