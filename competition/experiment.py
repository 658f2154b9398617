"""What the YAML of a training run may say; the defaults are the winning recipe."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from competition.clipping import ClipConfig
from competition.config import Config, parse
from competition.data.preparation import StoreKind
from competition.data.sampling import SamplingConfig, UniformConfig
from competition.data.synthesis import SynthesizeConfig
from competition.errors import UsageError
from competition.losses import LossConfig, MSEConfig
from competition.metrics import MetricConfig
from competition.models import AnyScaleConfig, ModelConfig
from competition.models.patchgan import PatchGANConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.optim import AdamConfig, OptimizerConfig
from competition.schedules import MultiStepConfig, ScheduleConfig

# Where the data lies, who cuts it, what is written when: nothing of that changes the result.
_ELSEWHERE: Any = {
    **dict.fromkeys(("runs", "recompute", "save_every", "log_every", "timeout", "trackers"), True),
    "data": {"root", "store", "cache", "workers"},
}


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
    scales: tuple[Literal[2, 3, 4], ...] = ()
    """Scales that every batch mixes in equal parts, the model's among them; low pictures of the others are made from
    the high ones by MATLAB's bicubic. Empty: the model's alone."""
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


class GanConfig(Config):
    """Training against an adversary; Isola et al., "Image-to-image translation with conditional adversarial networks"
    (Pix2Pix), CVPR 2017, equation 4. Its optimiser is that of the network, but for rates by layer."""

    discriminator: PatchGANConfig = PatchGANConfig()
    weight: float = Field(100, gt=0)
    """What `loss` is multiplied with beside the adversarial loss: their lambda, with loss l1."""


class StageConfig(Config):
    """What changes from a step on; keys that are not given stay as they were."""

    from_step: int = Field(ge=1)
    """First optimiser step of the stage."""
    high_patch: int | None = Field(None, ge=8)
    """Side of a high patch in pixels."""
    batch: int | None = Field(None, ge=1)
    """Patches per optimiser step, over all processes."""
    accumulate: int | None = Field(None, ge=1)
    """Parts a process cuts its patches of a step into."""
    loss: LossConfig | None = None
    """What is minimised."""
    lr: float | None = Field(None, gt=0, le=1)
    """Learning rate that the schedule multiplies."""
    schedule: ScheduleConfig | None = None
    """A schedule of its own, whose steps count from the stage's first one to the next such stage."""
    ema: float | None = Field(None, ge=0, lt=1)
    """Decay of the averaged weights."""


class Stage(NamedTuple):
    """Everything that holds from step `first` to step `last` - 1."""

    first: int
    last: int
    high_patch: int
    batch: int
    accumulate: int
    loss: LossConfig
    lr: float
    schedule: ScheduleConfig
    schedule_first: int
    schedule_steps: int
    ema: float

    def rate(self, step: int) -> float:
        """The learning rate of an optimiser step of this stage."""
        return self.lr * self.schedule.factor(step - self.schedule_first, self.schedule_steps)


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
    optimizer: OptimizerConfig = AdamConfig()
    schedule: ScheduleConfig = MultiStepConfig()
    clip: ClipConfig | None = None
    """How gradients are kept small, or null."""
    gan: GanConfig | None = None
    """The adversary of `train_gan`, or null for `train`."""
    l1_penalty: float = Field(0, ge=0)
    """Adds to the loss this times the sum of the weights' magnitudes, biases left out; the log shows the loss alone."""
    steps: int = Field(1_000_000, ge=1)
    """Optimiser steps."""
    batch: int = Field(16, ge=1)
    """Patches per optimiser step, over all processes."""
    stages: tuple[StageConfig, ...] = ()
    """What changes at later steps, in order."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the averaged weights, which validation and inference use."""
    accumulate: int = Field(1, ge=1)
    """Parts a process cuts its patches of a step into, where memory does not hold them at once."""
    recompute: bool = False
    """Activation checkpointing: keep less of the forward pass and compute it again for the gradients, which are the
    same. Takes a third longer."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision of training: no (float32), bf16, or fp16 (GPU only)."""
    tf32: bool = True
    """Let GPUs that can multiply float32 in TF32, as PyTorch does by default in convolutions."""
    compile: bool = False
    """Let torch.compile make kernels for the network; the first steps take minutes. Gains nothing on a CPU."""
    skip: int = Field(10, ge=0)
    """Steps in a row that are left out because a value is not finite, before the run stops."""
    timeout: int = Field(600, ge=1)
    """Seconds after which a process that does not answer ends the run."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where Accelerate sends curves beside metrics.jsonl; the last two need their package and account."""
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
        starts = [stage.from_step for stage in self.stages]
        if starts != sorted(set(starts)) or (starts and starts[-1] >= self.steps):
            raise ValueError(f"stages begin at steps {starts}, which do not follow each other below {self.steps}")
        for number, stage in enumerate(self.all_stages()):
            for scale in self.scales():
                if stage.high_patch % scale:
                    key = f"stages.{number - 1}.high_patch" if number else "data.high_patch"
                    raise ValueError(f"{key} {stage.high_patch} is no multiple of the scale {scale}")
        return self

    @model_validator(mode="after")
    def _gan_fits(self) -> "Experiment":
        accumulated = max(stage.accumulate for stage in self.all_stages()) > 1
        if self.gan and (self.model.scale > 1 or accumulated or self.l1_penalty or self.precision == "fp16"):
            raise ValueError("gan needs model.scale 1, accumulate 1, l1_penalty 0 and precision no or bf16")
        return self

    @model_validator(mode="after")
    def _scales_fit(self) -> "Experiment":
        scales, model = self.data.scales, self.model
        if scales and (model.scale not in scales or len(set(scales)) < len(scales)):
            raise ValueError(f"data.scales {list(scales)} do not have model.scale {model.scale} among them, each once")
        if len(scales) > 1 and not isinstance(model, AnyScaleConfig):
            raise ValueError(f"data.scales {list(scales)} are several, but model.name {model.name} has one scale")
        return self

    def scales(self) -> tuple[int, ...]:
        """The scales of its batches."""
        return self.data.scales or (self.model.scale,)

    def all_stages(self) -> list[Stage]:
        """The stages one after the other, from step 0 to `steps`."""
        settings: dict[str, Any] = {
            key: getattr(self, key) for key in ("batch", "accumulate", "loss", "schedule", "ema")
        }
        settings |= {"high_patch": self.data.high_patch, "lr": self.optimizer.lr}
        ends = [*(stage.from_step for stage in self.stages), self.steps]
        schedules = [0, *(stage.from_step for stage in self.stages if stage.schedule), self.steps]
        stages = [self._stage(0, ends[0], schedules, settings)]
        for change, last in zip(self.stages, ends[1:], strict=True):
            settings |= {key: value for key, value in change if key in settings and value is not None}
            stages.append(self._stage(change.from_step, last, schedules, settings))
        return stages

    def _stage(self, first: int, last: int, schedules: Sequence[int], settings: dict[str, Any]) -> Stage:
        begin = max(start for start in schedules if start <= first)
        end = min(start for start in schedules if start > first)
        return Stage(first=first, last=last, schedule_first=begin, schedule_steps=end - begin, **settings)

    def identity(self) -> dict[str, Any]:
        """All keys that change the result, as plain values."""
        return self.model_dump(mode="json", exclude=_ELSEWHERE)


def complete(identity: dict[str, Any]) -> dict[str, Any]:
    """An older `identity` with the defaults of keys that have come since; as it is where keys have gone."""
    with_root = {**identity, "data": {"root": ".", **identity["data"]}}
    try:
        return parse(json.dumps(with_root), Experiment, "experiment.json").identity()
    except UsageError:
        return identity
