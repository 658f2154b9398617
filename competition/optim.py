"""The optimiser and the moving average of the weights."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from competition.config import Config

Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """Adam; Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015."""

    lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate that the schedule multiplies."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the first and second moment."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        """The optimiser of parameters that are on their device already; one pass over them a step."""
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, fused=True)


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones: ema = decay * ema + (1 - decay) * weight.

    `step` optimiser steps were taken before; early on the decay is (1 + step) / (10 + step) where that is smaller, so
    that short runs are not averaged with the weights they started from.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
