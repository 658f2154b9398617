"""PSNR and SSIM against known values and against scikit-image, the independent judge."""

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from competition.ensemble import bicubic
from competition.images import Bytes, read_rgb
from competition.metrics import MetricConfig, luma

RGB = MetricConfig()
LUMA = MetricConfig(channel="y")


def noisy_pair(seed: int, height: int = 40, width: int = 53) -> tuple[Bytes, Bytes]:
    generator = np.random.default_rng(seed)
    truth = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None] + generator.integers(0, 40, 3)
    picture = truth + generator.normal(0, 1 + 10 * seed, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8), truth.clip(0, 255).astype(np.uint8)


def grey(value: int, height: int = 20, width: int = 30) -> Bytes:
    return np.full((height, width, 3), value, np.uint8)


# ---- PSNR -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(10, 11, 48.130803608679), (0, 255, 0.0), (100, 116, 24.048403955560), (255, 254, 48.130803608679)],
)
def test_known_values(first: int, second: int, expected: float) -> None:
    assert RGB.psnr(grey(first), grey(second)) == pytest.approx(expected, abs=1e-9)


def test_one_wrong_sample_counts_as_one_of_all() -> None:
    picture = grey(10)
    picture[3, 4, 1] = 20
    assert RGB.psnr(picture, grey(10)) == pytest.approx(10 * np.log10(255**2 / (100 / picture.size)))


@pytest.mark.parametrize("metric", [RGB, LUMA, MetricConfig(border=4)])
def test_equal_pictures_are_infinitely_good(metric: MetricConfig) -> None:
    picture, _ = noisy_pair(1)
    assert metric.psnr(picture, picture.copy()) == float("inf")
    assert metric.ssim(picture, picture.copy()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 3])
@pytest.mark.parametrize("border", [0, 4])
def test_psnr_agrees_with_scikit_image(seed: int, border: int) -> None:
    picture, truth = noisy_pair(seed)
    inside = (slice(border, 40 - border), slice(border, 53 - border))
    expected = peak_signal_noise_ratio(truth[inside], picture[inside], data_range=255)
    assert MetricConfig(border=border).psnr(picture, truth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [RGB, LUMA])
def test_scores_are_symmetric(metric: MetricConfig) -> None:
    picture, truth = noisy_pair(2)
    assert metric.psnr(picture, truth) == metric.psnr(truth, picture)
    assert metric.ssim(picture, truth) == pytest.approx(metric.ssim(truth, picture), abs=1e-12)


def test_differences_in_the_border_do_not_count() -> None:
    truth = noisy_pair(1)[1]
    picture = truth.copy()
    picture[:4], picture[-4:], picture[:, :4], picture[:, -4:] = 0, 0, 0, 0
    assert MetricConfig(border=4).psnr(picture, truth) == float("inf")
    assert MetricConfig(border=3).psnr(picture, truth) < 60
    assert RGB.psnr(picture, truth) < 30


# ---- luma -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 255, 255), 235),
        ((0, 0, 0), 16),
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
        ((128, 128, 128), 126),
    ],
)
def test_luma_of_known_colours(colour: tuple[int, int, int], expected: int) -> None:
    """MATLAB's rgb2ycbcr of uint8 pictures."""
    assert luma(np.array([[colour]], np.uint8)) == expected


def test_luma_scores_compare_luma_alone() -> None:
    first, second = np.array([[[100, 50, 60]]], np.uint8), np.array([[[100, 50, 62]]], np.uint8)
    assert luma(first) == luma(second)
    assert LUMA.psnr(first, second) == float("inf")
    assert LUMA.psnr(grey(0), grey(255)) == pytest.approx(20 * np.log10(255 / 219))


# ---- SSIM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_ssim_agrees_with_scikit_image_where_its_window_fits(seed: int) -> None:
    picture, truth = noisy_pair(seed)
    _, full = structural_similarity(
        truth,
        picture,
        data_range=255,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    assert RGB.ssim(picture, truth) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


def test_ssim_of_luma_agrees_with_scikit_image() -> None:
    picture, truth = noisy_pair(1)
    _, full = structural_similarity(
        luma(truth)[4:-4, 4:-4],
        luma(picture)[4:-4, 4:-4],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    expected = full[5:-5, 5:-5].mean()
    assert MetricConfig(channel="y", border=4).ssim(picture, truth) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_two_greys_is_the_comparison_of_their_means() -> None:
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + constant) / (100**2 + 120**2 + constant)
    assert RGB.ssim(grey(100), grey(120)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(10, 30), (30, 10)])
def test_pictures_smaller_than_the_window_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 11x11"):
        RGB.ssim(grey(1, *size), grey(2, *size))


@pytest.mark.parametrize("name", ["003", "005"])
def test_both_agree_with_scikit_image_on_photographs(name: str, shared_data: Path) -> None:
    truth = read_rgb(shared_data / f"set5/hr/{name}.png")
    picture = bicubic(read_rgb(shared_data / f"set5/lr_bicubic_x4/{name}.png"), 4)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, full = structural_similarity(truth, picture, data_range=255, channel_axis=-1, **settings)
    assert RGB.psnr(picture, truth) == pytest.approx(peak_signal_noise_ratio(truth, picture, data_range=255), abs=1e-6)
    assert RGB.ssim(picture, truth) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


# ---- definition -----------------------------------------------------------------------------------------------------


def test_different_scores_have_different_definitions() -> None:
    metrics = [MetricConfig(channel=channel, border=border) for channel in ("rgb", "y") for border in (0, 4)]
    assert len({metric.definition() for metric in metrics}) == 4
    assert MetricConfig().definition() == "PSNR on 8-bit rgb, border 0"
