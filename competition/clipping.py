"""Gradient clipping: what bounds a step when one batch has a steep loss, chosen by name.

Every choice builds `clip(parameters, lr)`, which changes gradients in place and passes over parameters without one.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from competition.config import Config
from competition.errors import UsageError

Clip = Callable[[Sequence[nn.Parameter], float], None]


class NormConfig(Config):
    """All gradients together are scaled to a norm, their direction kept.

    Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1.
    """

    name: Literal["norm"] = "norm"
    most: float = Field(gt=0)
    """Greatest norm (L2, over all parameters); `grad_norm` of metrics.jsonl shows what is usual."""

    def build(self) -> Clip:
        def clip(parameters: Sequence[nn.Parameter], lr: float) -> None:
            nn.utils.clip_grad_norm_(parameters, self.most)

        return clip


class ValueConfig(Config):
    """Each entry of the gradients is clamped, whatever the others are."""

    name: Literal["value"] = "value"
    most: float = Field(gt=0)
    """Greatest magnitude of an entry."""

    def build(self) -> Clip:
        def clip(parameters: Sequence[nn.Parameter], lr: float) -> None:
            nn.utils.clip_grad_value_(parameters, self.most)

        return clip


class RateConfig(Config):
    """Each entry of the gradients is clamped to `most` / lr, so that high rates are safe and low ones not held back.

    The adjustable clipping of Kim et al., "Accurate image super-resolution using very deep convolutional networks"
    (VDSR), CVPR 2016, section 3.2, for plain gradient descent.
    """

    name: Literal["rate"] = "rate"
    most: float = Field(gt=0)
    """Greatest magnitude of an entry times the learning rate: of a weight's change in one step of plain descent."""

    def build(self) -> Clip:
        def clip(parameters: Sequence[nn.Parameter], lr: float) -> None:
            if lr > 0:  # a step of rate 0 changes nothing, however long its gradient
                nn.utils.clip_grad_value_(parameters, self.most / lr)

        return clip


class AdaptiveConfig(Config):
    """Each filter's gradient is scaled to a share of the filter's own norm.

    Brock et al., "High-performance large-scale image recognition without normalization" (NFNets), ICML 2021,
    equation 3; by timm.
    """

    name: Literal["adaptive"] = "adaptive"
    factor: float = Field(0.01, gt=0)
    """Greatest norm of a gradient, as a share of its filter's norm."""
    epsilon: float = Field(1e-3, gt=0)
    """Norm that filters near zero are taken to have."""

    def build(self) -> Clip:
        import competition.compat  # noqa: F401 (makes timm importable)

        try:
            from timm.utils.agc import adaptive_clip_grad
        except ImportError as error:
            raise UsageError(f"clip.name: adaptive needs timm ({error}). Install timm or choose norm") from error

        def clip(parameters: Sequence[nn.Parameter], lr: float) -> None:
            adaptive_clip_grad(parameters, self.factor, self.epsilon)  # type: ignore[no-untyped-call]

        return clip


ClipConfig = Annotated[NormConfig | ValueConfig | RateConfig | AdaptiveConfig, Field(discriminator="name")]
