"""What the YAML of a training run may say; the defaults are the winning recipe."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from competition.config import Config, parse
from competition.data.preparation import StoreKind
from competition.data.sampling import SamplingConfig, UniformConfig
from competition.data.synthesis import SynthesizeConfig
from competition.errors import UsageError
from competition.losses import LossConfig, MSEConfig
from competition.metrics import MetricConfig
from competition.models import ModelConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.optim import OptimizerConfig, ScheduleConfig

_ELSEWHERE: Any = {"runs": True, "data": {"root", "store", "cache", "workers"}}


class DataConfig(Config):
    """Where the pairs are and how patches are cut from them."""

    root: Path
    """Contest folder with train/lr, train/hr and test/lr."""
    validation: Path | Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Share of the pairs held out, whole scenes, or a text file in `root` that lists their names."""
    fold: int = Field(0, ge=0)
    """Which fold is held out, where `validation` is a share: 0.2 makes 5 folds, 0 to 4."""
    high_patch: int = Field(256, ge=8)
    """Side of a high patch in pixels."""
    synthesize: SynthesizeConfig | None = None
    sampling: SamplingConfig = UniformConfig()
    channel_shuffle: float = Field(0, ge=0, le=1)
    """Share of the patches whose colour channels change places."""
    gain: float = Field(0, ge=0, lt=1)
    """Patches are darkened by a factor drawn from [1 - gain, 1]."""
    store: StoreKind = "disk"
    """Where decoded pixels are: disk (prepared once, shared), memory (read at each start), none (decoded each time)."""
    cache: Path | None = None
    """Folder of the prepared pixels, one for each `root`; null is ROOT/store."""
    workers: int = Field(2, ge=0)
    """Processes that cut patches; 0 cuts them in the training process."""

    def prepared(self, scale: int) -> Path:
        """Folder of the store for pairs of this scale."""
        return (self.cache or self.root / "store") / f"x{scale}"


class StageConfig(Config):
    """Patch size and batch from a step on."""

    from_step: int = Field(ge=1)
    """First optimiser step of the stage."""
    high_patch: int = Field(ge=8)
    """Side of a high patch in pixels."""
    batch: int = Field(ge=1)
    """Patches per optimiser step, over all processes."""


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
    stages: tuple[StageConfig, ...] = ()
    """Other patch sizes and batches from later steps on, in order."""
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
    def _stages_fit(self) -> "Experiment":
        for number, stage in enumerate(self.all_stages()):
            if stage.high_patch % self.model.scale:
                key = f"stages.{number - 1}.high_patch" if number else "data.high_patch"
                raise ValueError(f"{key} {stage.high_patch} is no multiple of the scale {self.model.scale}")
        starts = [stage.from_step for stage in self.stages]
        if starts != sorted(set(starts)):
            raise ValueError(f"stages begin at steps {starts}, which do not follow each other")
        return self

    def all_stages(self) -> list[StageConfig]:
        """The stages from step 0 on; the first has `data.high_patch` and `batch`."""
        first = StageConfig.model_construct(from_step=0, high_patch=self.data.high_patch, batch=self.batch)
        return [first, *self.stages]

    def identity(self) -> dict[str, Any]:
        """All keys that change the result, as plain values: not where the data lies and who cuts it."""
        return self.model_dump(mode="json", exclude=_ELSEWHERE)


def complete(identity: dict[str, Any]) -> dict[str, Any]:
    """An older `identity` with the defaults of keys that have come since; as it is where keys have gone."""
    with_root = {**identity, "data": {"root": ".", **identity["data"]}}
    try:
        return parse(json.dumps(with_root), Experiment, "experiment.json").identity()
    except UsageError:
        return identity
