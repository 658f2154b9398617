"""Estimates of how a pair was made: right about what is known, honest about what is not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from competition.data.crops import MARGIN, cut
from competition.data.degrade import RESIZES, Degradation, degrade, reduce
from competition.data.estimate import estimate
from competition.data.traces import find_quality
from competition.images import Bytes, read_rgb


@pytest.fixture(scope="module")
def photograph(shared_data: Path) -> Bytes:
    return np.ascontiguousarray(read_rgb(shared_data / "urban100/hr/012.png")[:448, :512])


def made(high, **settings):
    return degrade(high, Degradation(**settings), np.random.default_rng(3))


def found(high, **settings):
    return estimate(made(high, **settings), high)


# ---- what is known --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", RESIZES)
def test_a_clean_pair_is_explained_to_the_rounding(resize, photograph):
    result = found(photograph, resize=resize)
    assert result.degradation == Degradation(resize=resize)
    assert result.rms < 0.35 and result.psnr > 57 and result.margin > 100


@pytest.mark.parametrize("name", ["set5/{}/001.png", "bsd100/{}/017.png", "urban100/{}/002.png"])
def test_matlabs_pairs_are_clean_bicubic(name, shared_data: Path):
    low, high = read_rgb(shared_data / name.format("lr_bicubic_x4")), read_rgb(shared_data / name.format("hr"))
    result = estimate(low, high[: 4 * low.shape[0], : 4 * low.shape[1]])
    assert result.explained and result.degradation == Degradation()


@pytest.mark.slow
@pytest.mark.parametrize("label", ["set5", "bsd100", "urban100"])
def test_all_of_matlabs_pairs_are_clean_bicubic(label, shared_data: Path):
    for path in sorted((shared_data / label / "lr_bicubic_x4").iterdir()):
        low, high = read_rgb(path), read_rgb(shared_data / label / "hr" / path.name)
        result = estimate(low, high[: 4 * low.shape[0], : 4 * low.shape[1]])
        assert result.kind == "matlab_bicubic", path.name


def by_opencv(flag):
    return lambda high: cv2.resize(high, (128, 112), interpolation=flag)


def by_pil(method):
    return lambda high: np.asarray(Image.fromarray(high).resize((128, 112), method))


LIBRARIES = {
    "opencv nearest": (by_opencv(cv2.INTER_NEAREST), "nearest"),
    "opencv exact": (by_opencv(cv2.INTER_NEAREST_EXACT), "nearest_exact"),
    "opencv linear": (by_opencv(cv2.INTER_LINEAR), "opencv_linear"),
    "opencv cubic": (by_opencv(cv2.INTER_CUBIC), "opencv_cubic"),
    "opencv lanczos4": (by_opencv(cv2.INTER_LANCZOS4), "opencv_lanczos4"),
    "opencv area": (by_opencv(cv2.INTER_AREA), "area"),
    "pil nearest": (by_pil(Image.Resampling.NEAREST), "nearest_exact"),
    "pil box": (by_pil(Image.Resampling.BOX), "area"),
    "pil bilinear": (by_pil(Image.Resampling.BILINEAR), "pil_bilinear"),
    "pil bicubic": (by_pil(Image.Resampling.BICUBIC), "matlab_bicubic"),
    "pil lanczos": (by_pil(Image.Resampling.LANCZOS), "pil_lanczos"),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_libraries_make_of_eight_bit_pictures_is_named(library, photograph):
    shrink, resize = LIBRARIES[library]
    result = estimate(shrink(photograph), photograph)
    assert result.explained and result.degradation == Degradation(resize=resize)


STEPS = [
    {"blur": 0.7},
    {"blur": 2.4},
    {"blur": 1.5, "resize": "opencv_linear"},
    {"resize": "area", "median": 3},
    {"resize": "nearest", "median": 7},
    {"noise": 2.0},
    {"noise": 12.0, "resize": "opencv_cubic"},
    {"jpeg": 35},
    {"jpeg": 95, "resize": "area"},
    {"jpeg": 70, "noise": 5.0},
    {"blur": 1.3, "noise": 4.0},
    {"blur": 1.8, "jpeg": 80},
    {"resize": "area", "median": 5, "blur": 1.0, "noise": 3.0},
]


@pytest.mark.parametrize("settings", STEPS, ids=lambda settings: Degradation(**settings).kind)
def test_the_steps_are_found_with_their_strengths(settings, photograph):
    truth, result = Degradation(**settings), found(photograph, **settings)
    assert result.kind == truth.kind
    assert (result.degradation.median, result.degradation.jpeg) == (truth.median, truth.jpeg)
    assert result.degradation.blur == pytest.approx(truth.blur, abs=0.06)
    assert result.degradation.noise == pytest.approx(truth.noise, abs=0.3)
    assert result.runner_up.kind != result.degradation.kind


def test_skimages_resize_is_a_blur_and_a_linear_reduction(photograph):
    transform = pytest.importorskip("skimage.transform")
    low = transform.resize(photograph, (112, 128), anti_aliasing=True)
    result = estimate((255 * low).round().astype(np.uint8), photograph)
    assert result.degradation == Degradation(resize="opencv_linear", blur=1.5)


def test_grey_and_coloured_noise_have_the_same_sigma(photograph):
    grain = np.random.default_rng(0).normal(0, 8, (112, 128, 1))
    low = (made(photograph) + grain).clip(0, 255).round().astype(np.uint8)
    assert estimate(low, photograph).degradation.noise == pytest.approx(8, abs=0.2)


def test_another_scale(photograph):
    high = photograph[:444, :510]
    low = degrade(high, Degradation(resize="pil_lanczos", jpeg=60), np.random.default_rng(0), 3)
    assert estimate(low, high, 3).degradation == Degradation(resize="pil_lanczos", jpeg=60)


# ---- what is not ----------------------------------------------------------------------------------------------------


def bilateral(high):
    return made(cv2.bilateralFilter(high, 9, 60, 4))


def moved(high):
    return made(np.roll(high, 1, 1))


def motion(high):
    return made(cv2.blur(high, (15, 1)))


def sharpened(high):
    low = made(high).astype(np.float32)
    return (1.6 * low - 0.6 * cv2.GaussianBlur(low, (0, 0), 1)).clip(0, 255).astype(np.uint8)


def darkened(high):
    return (255 * (made(high) / 255) ** 1.1).astype(np.uint8)


def other_scene(high):
    return made(np.ascontiguousarray(high[::-1]))


def smeared_after(high):
    return cv2.medianBlur(made(high), 3)


def averaged_in_linear_light(high):
    light = reduce(((high / 255) ** 2.2).astype(np.float32), "area", 4)
    return (255 * light ** (1 / 2.2)).round().astype(np.uint8)


def as_webp(high):
    _, code = cv2.imencode(".webp", made(high), [cv2.IMWRITE_WEBP_QUALITY, 40])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


FOREIGN = [bilateral, moved, motion, sharpened, darkened, other_scene, smeared_after, averaged_in_linear_light, as_webp]


@pytest.mark.parametrize("degradation", FOREIGN)
def test_what_no_known_degradation_made_is_unknown(degradation, photograph):
    result = estimate(degradation(photograph), photograph)
    assert result.kind == "unknown" and not result.explained and result.rms > 1


def test_sizes_that_do_not_match_are_refused(photograph):
    with pytest.raises(ValueError, match="4 times as many"):
        estimate(photograph[:64, :64], photograph)
    with pytest.raises(ValueError, match="at least 16x16"):
        estimate(photograph[:8, :64], photograph[:32, :256])


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_pair_prefers_nothing(level):
    result = estimate(np.full((32, 32, 3), level, np.uint8), np.full((128, 128, 3), level, np.uint8))
    assert result.degradation == Degradation() and result.margin < 1


# ---- crops and traces -----------------------------------------------------------------------------------------------


def test_crops_are_the_detailed_parts_and_lie_on_each_other(texture):
    low, high = np.full((320, 400, 3), 90, np.uint8), np.full((1280, 1600, 3), 90, np.uint8)
    high[600:800, 700:900] = texture(0, 200, 200)
    low[:] = reduce(high.astype(np.float32), "area", 4)
    crops = cut(low, high, 4, 4)
    assert crops.count == 4 and crops.margin == MARGIN
    assert np.array_equal(crops.trim(reduce(crops.high.astype(np.float32), "area", 4)).astype(np.uint8), crops.low)
    assert (crops.low != 90).any((1, 2)).sum() > 40


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 97])
def test_the_quality_is_read_from_the_low_picture_alone(quality, photograph):
    assert find_quality(made(photograph, jpeg=quality)) == quality
    assert find_quality(made(photograph, jpeg=quality, noise=5.0)) == quality


def test_a_picture_without_jpeg_shows_no_quality(photograph, shared_data: Path):
    for settings in ({}, {"noise": 5.0}, {"resize": "nearest"}, {"blur": 3.0}):
        assert find_quality(made(photograph, **settings)) is None
    for path in sorted((shared_data / "bsd100/lr_bicubic_x4").iterdir()):
        assert find_quality(read_rgb(path)) is None
    assert find_quality(np.zeros((5, 5, 3), np.uint8)) is None
