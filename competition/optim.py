"""The optimiser, the learning rate as a function of the step, and the moving average of the weights."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import nn

from competition.config import Config

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """Adam; Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015."""

    lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate before any milestone."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the first and second moment."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        # foreach=False would be slower and fused=True is not on every device; the default picks per device.
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas)


class ScheduleConfig(Config):
    """MultiStepLR as a pure function of the optimiser step, so that resumes and processes cannot shift it."""

    milestones: tuple[NonNegativeInt, ...] = (200_000, 400_000, 600_000, 800_000)
    """Steps from which the rate is multiplied once more by `gamma`."""
    gamma: float = Field(0.5, gt=0, le=1)
    """Factor at each milestone."""

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with during optimiser step `step` (the first step is 0)."""
        return self.gamma ** sum(step >= milestone for milestone in self.milestones)


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones: ema = decay * ema + (1 - decay) * weight.

    `step` optimiser steps were taken before; early on the decay is (1 + step) / (10 + step) where that is smaller, so
    that short runs are not averaged with the weights they started from.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
