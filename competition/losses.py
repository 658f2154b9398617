"""Losses: what training minimises, chosen by name.

Every loss takes a prediction and the truth, (N, 3, H, W) with the truth in [0, 1], and is a mean over the N pictures:
the mean of equal shares of a batch is the loss of the batch. It is computed in float32, whatever the network's
precision, and its gradient is finite also where the prediction is the truth.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from competition.colour import luma
from competition.config import Config
from competition.errors import UsageError


class Loss(nn.Module):
    """A function of prediction and truth, at least in float32 and out of autocast's reach."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        with torch.autocast(prediction.device.type, enabled=False):
            return self.function(_at_least_float32(prediction), _at_least_float32(truth))


def _at_least_float32(picture: Tensor) -> Tensor:
    return picture.to(torch.promote_types(picture.dtype, torch.float32))


# ---- differences of pixels ------------------------------------------------------------------------------------------


class MSEConfig(Config):
    """Mean squared error: the maximum of the contest's PSNR."""

    name: Literal["mse"] = "mse"

    def build(self) -> nn.Module:
        return Loss(functional.mse_loss)


class L1Config(Config):
    """Mean absolute error; Zhao et al., "Loss functions for image restoration with neural networks", IEEE TCI 2017."""

    name: Literal["l1"] = "l1"

    def build(self) -> nn.Module:
        return Loss(functional.l1_loss)


class CharbonnierConfig(Config):
    """Mean of sqrt(d^2 + epsilon^2): the absolute error with a smooth minimum.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging", ICIP 1994;
    for super-resolution Lai et al., "Deep Laplacian pyramid networks", CVPR 2017, section 3.2.
    """

    name: Literal["charbonnier"] = "charbonnier"
    epsilon: float = Field(1e-3, ge=1e-6, le=1)
    """Difference below which errors count by their square; 1e-3 is a quarter of an 8-bit step."""

    def build(self) -> nn.Module:
        def charbonnier(prediction: Tensor, truth: Tensor) -> Tensor:
            return ((prediction - truth).square() + self.epsilon**2).sqrt().mean()

        return Loss(charbonnier)


class PSNRConfig(Config):
    """Mean over the pictures of 10 log10(MSE + epsilon): minus their mean PSNR in dB, which a contest scores.

    Chen et al., "HINet: half instance normalization network for image restoration", CVPRW 2021. Where `mse` looks at
    the worst pictures of a batch, this weighs each by 1 / MSE. It scores patches, before clipping and rounding.
    """

    name: Literal["psnr"] = "psnr"
    epsilon: float = Field(1e-8, ge=1e-12, le=1e-2)
    """Bounds the gradient of perfect patches; 1e-8 stands for 80 dB, rounding to 8 bits alone costs more (58.9 dB)."""

    def build(self) -> nn.Module:
        def negative_psnr(prediction: Tensor, truth: Tensor) -> Tensor:
            mse = (prediction - truth).square().mean((1, 2, 3))
            return 10 * (mse + self.epsilon).log10().mean()

        return Loss(negative_psnr)


# ---- structures -----------------------------------------------------------------------------------------------------


class SSIMConfig(Config):
    """One minus the mean structural similarity of the three channels, where its window fits.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004, equation 13:
    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03.
    """

    name: Literal["ssim"] = "ssim"

    def build(self) -> nn.Module:
        return Loss(_dissimilarity)


def _dissimilarity(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM; raises UsageError for patches smaller than the window.

    Written with the difference d and the sum s of the pictures, as 2xy = x^2 + y^2 - d^2 turns both factors of SSIM
    into 1 - d^2 / (...): nothing is lost in float32 where the pictures are nearly equal.
    """
    height, width = truth.shape[-2:]
    if min(height, width) < 11:
        raise UsageError(f"loss.name: ssim needs patches of 11x11, these have {width}x{height}. Enlarge high_patch")
    difference, total = prediction - truth, prediction + truth
    mean_d, mean_s = _window(difference), _window(total)
    variance_d = _window(difference.square()) - mean_d.square()
    variance_s = _window(total.square()) - mean_s.square()
    luminance = mean_d.square() / ((mean_d.square() + mean_s.square()) / 2 + 0.01**2)
    structure = variance_d / ((variance_d + variance_s) / 2 + 0.03**2)
    return (luminance + structure - luminance * structure).mean()


def _window(planes: Tensor) -> Tensor:
    """Gaussian mean over 11x11 windows, (N, C, H - 10, W - 10)."""
    weights = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
    # Shifted sums: a convolution would be allowed to round to TF32, also in its backward pass.
    for dimension in (-2, -1):
        length = planes.shape[dimension] - 10
        shifted = [planes.narrow(dimension, start, length) for start in range(11)]
        planes = _weighted_sum(shifted, (weights / weights.sum()).tolist())
    return planes


class FrequencyConfig(Config):
    """Mean magnitude of the difference's Fourier coefficients: to each frequency what `l1` is to each pixel.

    The frequency reconstruction loss of Cho et al., "Rethinking coarse-to-fine approach in single image deblurring"
    (MIMO-UNet), ICCV 2021, at one scale, of the half plane that a real picture has; orthonormal, so that it is about
    as large as the mean absolute error.
    """

    name: Literal["frequency"] = "frequency"

    def build(self) -> nn.Module:
        def frequency(prediction: Tensor, truth: Tensor) -> Tensor:
            coefficients: Tensor = torch.fft.rfft2(prediction - truth, norm="ortho")
            return coefficients.abs().mean()

        return Loss(frequency)


# ---- made of others --------------------------------------------------------------------------------------------------

_Single = MSEConfig | L1Config | CharbonnierConfig | PSNRConfig | SSIMConfig | FrequencyConfig


class LumaConfig(Config):
    """Another loss, of luma alone: that of published benchmarks, for networks that leave the colour as it is.

    MATLAB's luma, in [16/255, 235/255].
    """

    name: Literal["luma"] = "luma"
    loss: Annotated[_Single, Field(discriminator="name")] = MSEConfig()

    def build(self) -> nn.Module:
        loss = self.loss.build()

        def of_luma(prediction: Tensor, truth: Tensor) -> Tensor:
            value: Tensor = loss(luma(prediction), luma(truth))
            return value

        return Loss(of_luma)


_Part = _Single | LumaConfig


class PartConfig(Config):
    """A loss within a sum."""

    weight: float = Field(gt=0)
    """What the loss is multiplied with."""
    loss: Annotated[_Part, Field(discriminator="name")]


class MixConfig(Config):
    """Weighted sum of losses."""

    name: Literal["mix"] = "mix"
    parts: tuple[PartConfig, ...] = Field(min_length=1)

    def build(self) -> nn.Module:
        losses = [part.loss.build() for part in self.parts]
        weights = [part.weight for part in self.parts]

        def mix(prediction: Tensor, truth: Tensor) -> Tensor:
            return _weighted_sum([loss(prediction, truth) for loss in losses], weights)

        return Loss(mix)


def _weighted_sum(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total = torch.add(total, value, alpha=weight)
    return total


LossConfig = Annotated[_Part | MixConfig, Field(discriminator="name")]
