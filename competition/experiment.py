"""What the YAML of a training run may say; the defaults are the winning recipe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from competition.config import Config
from competition.losses import LossConfig, MSEConfig
from competition.metrics import MetricConfig
from competition.models import ModelConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.optim import OptimizerConfig, ScheduleConfig


class DataConfig(Config):
    """Where the pairs are and how patches are cut from them."""

    root: Path
    """Contest folder with train/lr, train/hr and test/lr."""
    validation: Path | Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the pairs held out, or a text file in `root` that lists their names."""
    high_patch: int = Field(256, ge=8)
    """Side of a high patch in pixels."""
    workers: int = Field(2, ge=0)
    """Processes that cut patches; 0 cuts them in the training process."""


class Experiment(Config):
    """One training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the run: its folder is `runs/NAME`."""
    runs: Path = Path("runs")
    """Folder that holds the run folders."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Decides initial weights, validation share and samples."""
    data: DataConfig
    model: ModelConfig = RRDBNetConfig()
    pretrained: str | None = "RealESRGAN_x4plus"
    """Weights to start from: a name of `make pretrained`, a file, or null to start from scratch."""
    pretrained_partial: bool = False
    """Take from `pretrained` what fits and start the rest from scratch."""
    loss: LossConfig = MSEConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    steps: int = Field(1_000_000, ge=1)
    """Optimiser steps."""
    batch: int = Field(16, ge=1)
    """Patches per optimiser step, over all processes."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, which validation and inference use."""
    precision: Literal["no", "bf16"] = "no"
    """Mixed precision of training: no (float32) or bf16."""
    validate_every: int = Field(5_000, ge=1)
    """Steps between validations on whole frames."""
    save_every: int = Field(1_000, ge=1)
    """Steps between training states."""
    log_every: int = Field(100, ge=1)
    """Steps between lines of metrics.jsonl."""
    metric: MetricConfig = MetricConfig()
    """The contest's score, by which the best weights are chosen."""

    @model_validator(mode="after")
    def _patch_fits_scale(self) -> "Experiment":
        if self.data.high_patch % self.model.scale:
            raise ValueError(f"data.high_patch {self.data.high_patch} is no multiple of the scale {self.model.scale}")
        return self
