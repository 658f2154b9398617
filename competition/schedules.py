"""The learning rate as a pure function of the optimiser step, so that resumes and processes cannot shift it."""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from competition.config import Config


class MultiStepConfig(Config):
    """Steps down: torch's MultiStepLR."""

    name: Literal["multistep"] = "multistep"
    milestones: tuple[NonNegativeInt, ...] = (200_000, 400_000, 600_000, 800_000)
    """Steps from which the rate is multiplied once more by `gamma`."""
    gamma: float = Field(0.5, gt=0, le=1)
    """Factor at each milestone."""
    warmup: int = Field(0, ge=0)
    """Steps over which the rate first rises linearly from nearly zero."""

    def factor(self, step: int, steps: int) -> float:
        """What the rate is multiplied with during `step` (the first is 0) of a schedule of `steps`."""
        return _rise(step, self.warmup) * self.gamma ** sum(step >= milestone for milestone in self.milestones)


class CosineConfig(Config):
    """Half a cosine from the whole rate to `floor` of it; Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5."""

    name: Literal["cosine"] = "cosine"
    floor: float = Field(0.001, ge=0, lt=1)
    """Share of the rate that is left at the end."""
    warmup: int = Field(0, ge=0)
    """Steps over which the rate first rises linearly from nearly zero."""

    def factor(self, step: int, steps: int) -> float:
        """What the rate is multiplied with during `step` (the first is 0) of a schedule of `steps`."""
        progress = max(0, step - self.warmup) / max(1, steps - self.warmup)
        return _rise(step, self.warmup) * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2)


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


ScheduleConfig = Annotated[MultiStepConfig | CosineConfig, Field(discriminator="name")]
