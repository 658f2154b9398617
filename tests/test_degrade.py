"""Degradations: what each way of reducing promises, and the draws of new ones."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from competition import compat  # noqa: F401  lets basicsr be imported
from competition.config import load
from competition.data.degrade import (
    EXAMPLES,
    RESIZES,
    Degradation,
    blur,
    degrade,
    draw,
    draw_example,
    reduce,
    round_half_up,
)
from competition.images import read_rgb


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def reduced(high, **settings):
    return degrade(high, Degradation(**settings), generator())


# ---- ways of reducing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_way_divides_the_sides_and_keeps_place_and_brightness(resize, scale):
    rows, columns = np.mgrid[: 24 * scale, : 30 * scale].astype(np.float32)
    low = reduce(np.stack([rows, columns, np.full_like(rows, 77)], -1), resize, scale)
    assert low.shape == (24, 30, 3)
    # On a ramp, away from the border, every way shows the middle of the square that becomes a pixel; sampling shows
    # the pixel it takes.
    middle = {"nearest": 0, "nearest_exact": scale // 2}.get(resize, (scale - 1) / 2)
    assert np.allclose(low[8:-8, 8:-8, 0], (np.arange(24) * scale + middle)[8:-8, None], atol=0.02 * scale)
    assert np.allclose(low[8:-8, 8:-8, 1], (np.arange(30) * scale + middle)[None, 8:-8], atol=0.02 * scale)
    assert np.allclose(low[..., 2], 77, atol=1e-3)


def test_area_is_the_block_mean_rounded_half_up(texture):
    high = texture(0)
    mean = high.reshape(24, 4, 24, 4, 3).mean((1, 3))
    assert np.array_equal(reduced(high, resize="area"), np.floor(mean + 0.5))


def test_sampling_takes_the_first_or_the_middle_pixel_as_opencv_and_pil_do(texture):
    high = texture(0)
    assert np.array_equal(reduced(high, resize="nearest"), high[::4, ::4])
    assert np.array_equal(reduced(high, resize="nearest_exact"), high[2::4, 2::4])
    for flag, resize in ((cv2.INTER_NEAREST, "nearest"), (cv2.INTER_NEAREST_EXACT, "nearest_exact")):
        assert np.array_equal(reduced(high, resize=resize), cv2.resize(high, (24, 24), interpolation=flag))
    pil = Image.fromarray(high).resize((24, 24), Image.Resampling.NEAREST)
    assert np.array_equal(reduced(high, resize="nearest_exact"), np.asarray(pil))


@pytest.mark.parametrize(
    ("resize", "flag"),
    [
        ("opencv_linear", cv2.INTER_LINEAR),
        ("opencv_cubic", cv2.INTER_CUBIC),
        ("opencv_lanczos4", cv2.INTER_LANCZOS4),
        ("area", cv2.INTER_AREA),
    ],
)
def test_opencvs_ways_are_those_of_eight_bit_pictures_within_a_level(resize, flag, texture):
    high = texture(1)
    theirs = cv2.resize(high, (24, 24), interpolation=flag)
    assert np.abs(reduced(high, resize=resize).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("resize", "method"),
    [("pil_bilinear", Image.Resampling.BILINEAR), ("pil_lanczos", Image.Resampling.LANCZOS)],
)
def test_pils_ways_are_those_of_eight_bit_pictures_within_a_level(resize, method, texture):
    high = texture(1)
    theirs = np.asarray(Image.fromarray(high).resize((24, 24), method))  # rounds between its passes
    assert np.abs(reduced(high, resize=resize).astype(int) - theirs).max() <= 1


def test_bicubic_is_torchs_with_antialias_but_for_the_border(texture):
    high = torch.from_numpy(texture(2).astype(np.float64)).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(high, scale_factor=0.25, mode="bicubic", antialias=True)
    low = reduce(texture(2).astype(np.float32), "matlab_bicubic", 4)
    assert np.allclose(low[2:-2, 2:-2], theirs[0].permute(1, 2, 0).numpy()[2:-2, 2:-2], atol=1e-3)
    assert np.abs(low - theirs[0].permute(1, 2, 0).numpy()).max() > 0.5


def rows_by_bicubic(plane):
    mirrored = np.pad(plane, ((16, 16), (0, 0)), mode="symmetric").astype(np.float32)
    size = (mirrored.shape[1], mirrored.shape[0] // 4)
    return round_half_up(np.asarray(Image.fromarray(mirrored).resize(size, Image.Resampling.BICUBIC)))[4:-4]


@pytest.mark.parametrize("number", [1, 3, 5])
def test_bicubic_is_matlabs_but_for_matlabs_rounding_between_the_passes(shared_data: Path, number: int):
    high = read_rgb(shared_data / f"set5/hr/{number:03d}.png")
    matlabs = read_rgb(shared_data / f"set5/lr_bicubic_x4/{number:03d}.png")
    inside = np.s_[4:-4, 4:-4]
    assert np.mean(np.abs(reduced(high).astype(int) - matlabs)[inside] > 1) < 1e-3
    twice = np.stack([rows_by_bicubic(rows_by_bicubic(high[..., channel]).T).T for channel in range(3)], -1)
    assert np.array_equal(twice[inside], matlabs[inside])


# ---- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_the_blur_is_basicsrs_kernel(sigma):
    degradations = pytest.importorskip("basicsr.data.degradations")
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    kernel = degradations.bivariate_Gaussian(21, sigma, sigma, 0)
    assert np.allclose(blur(point, sigma)[10:-10, 10:-10], kernel, atol=2e-4)
    assert blur(point, sigma).sum() == pytest.approx(1)


def test_the_median_comes_first_and_takes_away_single_points():
    high = np.full((32, 32, 3), 100, np.uint8)
    high[9, 9] = 255
    assert (reduced(high, resize="area", median=3) == 100).all()
    assert (reduced(high, resize="area") != 100).any()


def test_filters_of_the_low_picture_are_opencvs_on_the_reduced_one(texture):
    high = texture(4)
    low = reduced(high, resize="nearest")
    assert np.array_equal(reduced(high, resize="nearest", low_median=3), cv2.medianBlur(low, 3))
    ours = reduced(high, resize="nearest", low_blur=0.8, low_window=3).astype(int)
    assert np.abs(ours - cv2.GaussianBlur(low, (3, 3), 0.8))[1:-1, 1:-1].max() <= 1


def test_noise_has_the_sigma_asked_for_and_is_drawn_from_the_generator():
    high = np.full((512, 512, 3), 128, np.uint8)
    low = reduced(high, noise=6.0)
    assert np.std(low.astype(float)) == pytest.approx(6, rel=0.02)
    assert abs(np.corrcoef(low[..., 0].ravel(), low[..., 1].ravel())[0, 1]) < 0.02
    assert np.array_equal(low, reduced(high, noise=6.0))
    assert not np.array_equal(low, degrade(high, Degradation(noise=6.0), generator(1)))


def test_jpeg_comes_from_a_real_encoder_and_keeps_the_channels_in_place(texture):
    high = texture(3, 256, 256)
    clean = reduced(high).astype(float)
    errors = [np.abs(reduced(high, jpeg=quality) - clean).mean() for quality in (20, 60, 95)]
    assert errors == sorted(errors, reverse=True) and errors[2] > 0
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert reduced(red, jpeg=90).mean((0, 1)) == pytest.approx([200, 0, 0], abs=3)


@pytest.mark.parametrize("size", [(8, 9, 3), (8, 8), (8, 8, 4)])
def test_impossible_pictures_are_refused(size):
    with pytest.raises(ValueError, match=r"multiples|expected a uint8"):
        reduced(np.zeros(size, np.uint8))


# ---- as a configuration ---------------------------------------------------------------------------------------------


def test_a_degradation_stands_in_yaml_and_json(tmp_path: Path):
    path = tmp_path / "degradation.yaml"
    path.write_text("resize: area\nmedian: 3\njpeg: 70\nnoise: 2\n")
    degradation = load(path, Degradation)
    assert degradation == Degradation(resize="area", median=3, jpeg=70, noise=2.0)
    assert Degradation.model_validate_json(degradation.model_dump_json()) == degradation
    assert json.loads(Degradation().model_dump_json()) == {
        "resize": "matlab_bicubic",
        "median": 0,
        "blur": 0.0,
        "low_median": 0,
        "low_blur": 0.0,
        "low_window": 0,
        "noise": 0.0,
        "jpeg": None,
    }


@pytest.mark.parametrize(
    "wrong", [{"resize": "bicubic"}, {"median": 4}, {"blur": -1.0}, {"jpeg": 0}, {"jpeg": 101}, {"sharpen": 1}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Degradation(**wrong)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "matlab_bicubic"),
        ({"resize": "area", "median": 5}, "area+median"),
        ({"resize": "nearest", "jpeg": 40}, "nearest+jpeg"),
        ({"jpeg": 9, "noise": 2.0, "blur": 1.0, "median": 3}, "matlab_bicubic+median+blur+noise+jpeg"),
    ],
)
def test_a_kind_names_the_steps_without_their_strengths(settings, kind):
    assert Degradation(**settings).kind == kind


# ---- drawing --------------------------------------------------------------------------------------------------------

FOUND = [
    (Degradation(resize="area", blur=1.0), 3.0),
    (Degradation(noise=10.0, jpeg=90), 1.0),
    (Degradation(resize="nearest", jpeg=100), 0.0),
]


def test_kinds_are_drawn_by_weight_with_strengths_nearby():
    rng = generator()
    drawn = [draw(FOUND, rng) for _ in range(2000)]
    areas = [one for one in drawn if one.resize == "area"]
    others = [one for one in drawn if one.resize != "area"]
    assert len(areas) / 2000 == pytest.approx(0.75, abs=0.03)
    assert {one.kind for one in areas} == {"area+blur"}
    assert {one.kind for one in others} == {"matlab_bicubic+noise+jpeg"}
    blurs, noises = [one.blur for one in areas], [one.noise for one in others]
    assert 0.9 <= min(blurs) < 0.92 and 1.08 < max(blurs) <= 1.1
    assert 9 <= min(noises) < 9.2 and 10.8 < max(noises) <= 11
    assert {one.jpeg for one in others} == {89, 90, 91}


def test_the_draw_depends_on_the_generator_alone():
    assert draw(FOUND, generator(3)) == draw(FOUND, generator(3))
    assert len({draw(FOUND, generator(seed)).model_dump_json() for seed in range(5)}) == 5


def test_what_is_drawn_is_valid_at_the_ends_of_the_ranges():
    ends = [(Degradation(blur=10.0, noise=100.0, jpeg=1), 1.0), (Degradation(jpeg=100), 1.0)]
    for seed in range(50):
        one = draw(ends, generator(seed))
        assert Degradation.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_of_the_demo_shows_the_same_scene_at_a_quarter(texture, kind):
    high = texture(0, 96, 128)
    rng = generator()
    low = degrade(high, draw_example(kind, rng), rng)
    assert low.shape == (24, 32, 3) and low.dtype == np.uint8
    mean = high.reshape(24, 4, 32, 4, 3).mean((1, 3))
    assert 10 * np.log10(255**2 / np.mean((low - mean) ** 2)) > 20
