"""Losses: what every member of the union must do, and each against hand values, scikit-image, NumPy and basicsr."""

import math
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from competition.config import Config, parse
from competition.errors import UsageError
from competition.losses import (
    CharbonnierConfig,
    FrequencyConfig,
    L1Config,
    LossConfig,
    LumaConfig,
    MixConfig,
    MSEConfig,
    PartConfig,
    PSNRConfig,
    SSIMConfig,
)

MIX = MixConfig(parts=(PartConfig(weight=1, loss=L1Config()), PartConfig(weight=0.05, loss=FrequencyConfig())))
MEMBERS: list[Any] = [
    MIX if member is MixConfig else member() for member in typing.get_args(typing.get_args(LossConfig)[0])
]
EVERY_MEMBER = pytest.mark.parametrize("config", MEMBERS, ids=lambda config: config.name)


def truth_and(noise: float, count: int = 4, height: int = 18, width: int = 21) -> tuple[Tensor, Tensor]:
    """A prediction that lies off by `noise` (partly outside of [0, 1]), more in each picture, and the truth."""
    generator = torch.Generator().manual_seed(count + height)
    truth = torch.rand((count, 3, height, width), generator=generator)
    size = noise * torch.arange(1, count + 1).view(-1, 1, 1, 1)
    return truth + size * torch.randn(truth.shape, generator=generator), truth


def gradient(loss: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, truth: Tensor) -> Tensor:
    prediction = prediction.detach().requires_grad_()
    loss(prediction, truth).backward()
    assert prediction.grad is not None
    return prediction.grad


# ---- every member ---------------------------------------------------------------------------------------------------


@EVERY_MEMBER
def test_the_mean_over_equal_shares_is_the_loss_of_the_batch(config: Any) -> None:
    loss, (prediction, truth) = config.build(), truth_and(0.05)
    whole = loss(prediction, truth)
    for size in (1, 2):
        shares = zip(prediction.split(size), truth.split(size), strict=True)
        torch.testing.assert_close(torch.stack([loss(*share) for share in shares]).mean(), whole, rtol=1e-5, atol=1e-7)


@EVERY_MEMBER
def test_a_worse_prediction_has_a_greater_loss_and_its_gradient_leads_back(config: Any) -> None:
    loss = config.build()
    values = [loss(*truth_and(noise)).item() for noise in (0.0, 0.01, 0.03, 0.1, 0.3)]
    assert values == sorted(values) and len(set(values)) == len(values)
    prediction, truth = truth_and(0.05)
    assert (gradient(loss, prediction, truth) * (prediction - truth)).sum() > 0


@EVERY_MEMBER
def test_a_perfect_prediction_is_a_minimum_without_slope(config: Any) -> None:
    loss = config.build()
    for truth in (truth_and(0)[1], torch.zeros(1, 3, 12, 12), torch.ones(1, 3, 12, 12)):
        assert torch.equal(gradient(loss, truth, truth), torch.zeros_like(truth))
    least = {"charbonnier": 1e-3, "psnr": -80}.get(config.name, 0)
    assert loss(truth, truth).item() == pytest.approx(least, rel=1e-6)


@EVERY_MEMBER
def test_the_gradient_is_finite_next_to_perfect_and_far_outside(config: Any) -> None:
    loss, (_, truth) = config.build(), truth_and(0)
    for shift in (1e-30, 1e-20, 1e-7, 1e-3, 10, 1e4):
        slope = gradient(loss, truth + shift * torch.randn(truth.shape), truth)
        assert slope.isfinite().all(), shift


@EVERY_MEMBER
def test_the_gradient_is_that_of_finite_differences(config: Any) -> None:
    prediction, truth = truth_and(0.05, count=2, height=12, width=11)
    prediction, truth = prediction.double().requires_grad_(), truth.double()
    assert torch.autograd.gradcheck(config.build(), (prediction, truth), fast_mode=True)


@EVERY_MEMBER
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_predictions_of_half_precision_are_compared_in_float32(config: Any, precision: torch.dtype) -> None:
    loss, (prediction, truth) = config.build(), truth_and(0.05)
    prediction = prediction.to(precision)
    expected = loss(prediction.float(), truth)
    assert expected.dtype == torch.float32
    assert torch.equal(loss(prediction, truth), expected)
    assert torch.equal(loss(prediction, truth.to(precision)), loss(prediction.float(), truth.to(precision).float()))
    assert gradient(loss, prediction, truth).dtype == precision
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(prediction, truth), expected)


@EVERY_MEMBER
def test_float32_agrees_with_float64(config: Any) -> None:
    loss = config.build()
    for noise in (1e-3, 0.05):
        prediction, truth = truth_and(noise)
        exact = loss(prediction.double(), truth.double())
        torch.testing.assert_close(loss(prediction, truth).double(), exact, rtol=1e-5, atol=1e-9)


@EVERY_MEMBER
def test_the_memory_layout_does_not_matter_and_inputs_are_left_alone(config: Any) -> None:
    loss, (prediction, truth) = config.build(), truth_and(0.05)
    before = prediction.clone(), truth.clone()
    value = loss(prediction, truth)
    last = loss(prediction.to(memory_format=torch.channels_last), truth.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, value, rtol=1e-6, atol=1e-7)
    assert torch.equal(prediction, before[0]) and torch.equal(truth, before[1])


@EVERY_MEMBER
def test_a_loss_has_nothing_to_train_and_nothing_to_save(config: Any) -> None:
    assert not config.build().state_dict()


# ---- one by one -----------------------------------------------------------------------------------------------------


def flat(value: float, *shape: int) -> Tensor:
    return torch.full(shape or (1, 3, 12, 12), value)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MSEConfig(), 0.01),
        (L1Config(), 0.1),
        (CharbonnierConfig(), math.hypot(0.1, 1e-3)),
        (CharbonnierConfig(epsilon=0.5), math.hypot(0.1, 0.5)),
        (PSNRConfig(), 10 * math.log10(0.01 + 1e-8)),
        (PSNRConfig(epsilon=1e-2), 10 * math.log10(0.02)),
        (SSIMConfig(), 1 - (2 * 0.4 * 0.5 + 1e-4) / (0.4**2 + 0.5**2 + 1e-4)),
        # Only the coefficient of the mean is not zero: 0.1 * 12 among the 12 x 7 of the half plane.
        (FrequencyConfig(), 1.2 / (12 * 7)),
        (MIX, 0.1 + 0.05 * 1.2 / (12 * 7)),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_values_of_two_greys(config: Any, expected: float) -> None:
    assert config.build()(flat(0.4), flat(0.5)).item() == pytest.approx(expected, rel=1e-4)


def test_psnr_is_minus_the_mean_psnr_of_the_pictures() -> None:
    prediction, truth = truth_and(0.03)
    expected = [
        peak_signal_noise_ratio(one.numpy(), other.numpy(), data_range=1)
        for one, other in zip(truth, prediction, strict=True)
    ]
    assert PSNRConfig().build()(prediction, truth).item() == pytest.approx(-np.mean(expected), abs=1e-3)


def test_psnr_weighs_pictures_by_their_quality() -> None:
    good, bad = flat(0.51), flat(0.7)
    slopes = gradient(PSNRConfig().build(), torch.cat([good, bad]), flat(0.5, 2, 3, 12, 12)).sum((1, 2, 3))
    assert slopes[0] / slopes[1] == pytest.approx(0.2 / 0.01, rel=1e-3)


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.2])
def test_ssim_agrees_with_scikit_image_where_its_window_fits(noise: float) -> None:
    prediction, truth = (picture.double() for picture in truth_and(noise))
    similar = []
    for one, other in zip(truth.numpy(), prediction.numpy(), strict=True):
        _, full = structural_similarity(
            one,
            other,
            data_range=1,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        similar.append(full[:, 5:-5, 5:-5].mean())
    assert SSIMConfig().build()(prediction, truth).item() == pytest.approx(1 - np.mean(similar), abs=1e-9)


def test_ssim_of_nearly_equal_bright_pictures_is_not_lost_in_float32() -> None:
    truth = 1 - 1e-3 * truth_and(0)[1]
    prediction = truth + 1e-5 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    loss = SSIMConfig().build()
    exact = loss(prediction.double(), truth.double()).item()
    assert 0 < exact < 1e-6
    assert loss(prediction, truth).item() == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("size", [(10, 30), (30, 10)])
def test_patches_smaller_than_the_window_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=rf"ssim needs patches of 11x11, these have {size[1]}x{size[0]}"):
        SSIMConfig().build()(flat(0, 1, 3, *size), flat(1, 1, 3, *size))


@pytest.mark.parametrize("size", [(12, 12), (13, 9), (1, 1)])
def test_frequency_agrees_with_numpy(size: tuple[int, int]) -> None:
    prediction, truth = truth_and(0.05, 2, *size)
    coefficients = np.fft.rfft2((prediction - truth).double().numpy(), norm="ortho")
    assert FrequencyConfig().build()(prediction, truth).item() == pytest.approx(np.abs(coefficients).mean(), rel=1e-5)


def test_frequency_counts_one_pixel_alike_wherever_it_is() -> None:
    truth = torch.zeros(1, 3, 16, 16)
    for row, column in ((0, 0), (5, 9), (15, 15)):
        prediction = truth.clone()
        prediction[..., row, column] = 0.8
        # All coefficients of an impulse have its height divided by the square root of the number of pixels.
        assert FrequencyConfig().build()(prediction, truth).item() == pytest.approx(0.8 / 16, rel=1e-5)


def test_charbonnier_is_that_of_basicsr() -> None:
    import competition.compat  # noqa: F401 (makes basicsr importable)

    module = pytest.importorskip("basicsr.losses.basic_loss")
    prediction, truth = truth_and(0.01)
    expected = module.CharbonnierLoss(eps=1e-6)(prediction, truth)
    torch.testing.assert_close(CharbonnierConfig(epsilon=1e-3).build()(prediction, truth), expected)


def test_mse_and_l1_are_those_of_torch() -> None:
    prediction, truth = truth_and(0.05)
    assert torch.equal(MSEConfig().build()(prediction, truth), torch.nn.MSELoss()(prediction, truth))
    assert torch.equal(L1Config().build()(prediction, truth), torch.nn.L1Loss()(prediction, truth))


# ---- sums -----------------------------------------------------------------------------------------------------------


def test_luma_compares_what_matlab_calls_y() -> None:
    prediction, truth = truth_and(0.1)
    shares = torch.tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1) / 255
    expected = (((prediction - truth) * shares).sum(1)).square().mean()
    torch.testing.assert_close(LumaConfig().build()(prediction, truth), expected)
    absolute = (((prediction - truth) * shares).sum(1)).abs().mean()
    torch.testing.assert_close(LumaConfig(loss=L1Config()).build()(prediction, truth), absolute)


def test_luma_does_not_see_a_change_of_colour_alone() -> None:
    truth = flat(0.5, 1, 3, 4, 4)
    change = torch.tensor([1 / 65.481, -1 / 128.553, 0.0]).view(1, 3, 1, 1)
    assert LumaConfig().build()(truth + change, truth) < 1e-12 < MSEConfig().build()(truth + change, truth)


def test_a_mix_is_the_weighted_sum_of_its_parts_and_of_their_gradients() -> None:
    weights = [0.5 + index for index in range(len(MEMBERS) - 1)]
    singles = [member for member in MEMBERS if member.name != "mix"]
    mix = MixConfig(
        parts=tuple(PartConfig(weight=weight, loss=loss) for weight, loss in zip(weights, singles, strict=True))
    )
    prediction, truth = truth_and(0.05)
    values = [weight * loss.build()(prediction, truth) for weight, loss in zip(weights, singles, strict=True)]
    torch.testing.assert_close(mix.build()(prediction, truth), torch.stack(values).sum())
    slopes = [weight * gradient(loss.build(), prediction, truth) for weight, loss in zip(weights, singles, strict=True)]
    torch.testing.assert_close(gradient(mix.build(), prediction, truth), torch.stack(slopes).sum(0))


class Holder(Config):
    loss: LossConfig = MSEConfig()


def test_a_mix_is_read_from_a_configuration() -> None:
    text = """{"loss": {"name": "mix", "parts": [
        {"weight": 1, "loss": {"name": "l1"}}, {"weight": 0.05, "loss": {"name": "frequency"}}]}}"""
    assert parse(text, Holder, "run.yaml").loss == MIX


@pytest.mark.parametrize(
    ("loss", "start"),
    [
        ('{"name": "mix"}', "loss.parts: missing"),
        ('{"name": "mix", "parts": []}', "loss.parts: Tuple should have at least 1 item"),
        (
            '{"name": "mix", "parts": [{"weight": 1, "loss": {"name": "mix", "parts": []}}]}',
            "loss.parts.0.loss.name: unknown name 'mix'. Allowed: mse, l1, charbonnier, psnr, ssim, frequency",
        ),
        (
            '{"name": "mix", "parts": [{"weight": 1, "loss": {"name": "frequenzy"}}]}',
            "loss.parts.0.loss.name: unknown name 'frequenzy'. Did you mean 'frequency'?",
        ),
        (
            '{"name": "mix", "parts": [{"weight": 0, "loss": {"name": "l1"}}]}',
            "loss.parts.0.weight: Input should be greater than 0",
        ),
        ('{"name": "mix", "parts": [{"loss": {"name": "l1"}}]}', "loss.parts.0.weight: missing"),
        (
            '{"name": "mix", "parts": [{"wight": 1, "weight": 1, "loss": {"name": "l1"}}]}',
            "loss.parts.0.wight: unknown key. Did you mean 'weight'?",
        ),
        ('{"name": "charbonnier", "epsilon": 0}', "loss.epsilon: Input should be greater than or equal to 0.000001"),
        ('{"name": "l1", "epsilon": 1e-3}', "loss.epsilon: unknown key. Allowed: name"),
    ],
    ids=lambda text: text[:60],
)
def test_a_wrong_loss_is_one_line_with_its_key(loss: str, start: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(f'{{"loss": {loss}}}', Holder, "run.yaml")
    (line,) = refused.value.lines
    assert line.startswith(f"run.yaml: {start}")
