"""Losses: what training minimises, chosen by name."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from competition.config import Config


class MSEConfig(Config):
    """Mean squared error: the maximum of the contest's PSNR."""

    name: Literal["mse"] = "mse"

    def build(self) -> nn.Module:
        return nn.MSELoss()


class L1Config(Config):
    """Mean absolute error; Zhao et al., "Loss functions for image restoration with neural networks", IEEE TCI 2017."""

    name: Literal["l1"] = "l1"

    def build(self) -> nn.Module:
        return nn.L1Loss()


LossConfig = Annotated[MSEConfig | L1Config, Field(discriminator="name")]
