"""What the YAML of a study may say: an experiment, the settings that are tried in it, and how they are chosen."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from competition.config import Config, load
from competition.errors import UsageError
from competition.experiment import Experiment

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

Scalar = bool | int | float | str | None
Settings = dict[str, Scalar]


class RangeConfig(Config):
    """Numbers from `low` to `high`; whole ones where both ends are."""

    low: int | float
    high: int | float
    log: bool = False
    """Spread evenly over magnitudes instead of values."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "RangeConfig":
        if not (0 if self.log else float("-inf")) < self.low < self.high:
            raise ValueError(f"{self.low} to {self.high} is no range{' of magnitudes' if self.log else ''}")
        return self


class GridConfig(Config):
    """Every combination of values and choices once, in the order in which they are written.

    They wait in Optuna's queue, from which a worker takes one at a time: its GridSampler draws with replacement where
    several workers ask at once.
    """

    name: Literal["grid"] = "grid"


class TPEConfig(Config):
    """New settings are drawn where good ones are denser than bad ones.

    Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011, section 4; by Optuna.
    """

    name: Literal["tpe"] = "tpe"
    trials: int = Field(ge=1)
    """Trials in all; a larger number goes on with the same study."""
    random: int = Field(10, ge=0)
    """First trials, whose settings are drawn without looking at others."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides the draws, together with the trials before."""

    def build(self, number: int) -> "BaseSampler":
        """What draws the settings of trial `number`."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.random, seed=self.seed + number)


class MedianConfig(Config):
    """A trial ends where its best validation so far is below the median of the others at that step.

    Golovin et al., "Google Vizier", KDD 2017, section 3.2.1; by Optuna.
    """

    name: Literal["median"] = "median"
    after_trials: int = Field(5, ge=1)
    """Trials that come to their end before any is ended early."""
    after_step: int = Field(0, ge=0)
    """Step up to which none is ended."""

    def build(self) -> "BasePruner":
        from optuna.pruners import MedianPruner

        return MedianPruner(n_startup_trials=self.after_trials, n_warmup_steps=self.after_step)


class HalvingConfig(Config):
    """Of every `factor` trials at a rung one goes on to the next, which is `factor` times as many steps away.

    Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, algorithm 2; by Optuna.
    """

    name: Literal["halving"] = "halving"
    first: int = Field(ge=1)
    """Step of the first rung."""
    factor: int = Field(4, ge=2)
    """Ratio between rungs, and of trials that end at each."""

    def build(self) -> "BasePruner":
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.factor)


class Plan(Config):
    """A study: one experiment, trained again and again with other settings."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the study: its folder is `runs/NAME`, which holds a run for every trial."""
    runs: Path = Path("runs/studies")
    """Folder that holds the study folders."""
    experiment: Path
    """YAML of the experiment that is varied."""
    settings: tuple[str, ...] = ()
    """What differs from it in all trials, as on the command line of `train`: key=value."""
    choices: dict[str, Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]] = Field({})
    """Named alternatives that change several keys: {network: {small: [model.num_block=2], large: […]}}."""
    values: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=1)]] = Field({})
    """Values of single keys: {optimizer.lr: [0.01, 0.1]}; they are laid over the choices."""
    ranges: dict[str, RangeConfig] = Field({})
    """Numbers to be searched, for sampler tpe: {optimizer.lr: {low: 1e-5, high: 1e-2, log: true}}."""
    sampler: Annotated[GridConfig | TPEConfig, Field(discriminator="name")] = GridConfig()
    """How settings are chosen."""
    pruner: Annotated[MedianConfig | HalvingConfig, Field(discriminator="name")] | None = None
    """Which trials end early, or null."""
    storage: str | None = None
    """URL of the database that holds the trials, such as postgresql://…; null is study.db in the study's folder."""

    @model_validator(mode="after")
    def _can_be_chosen(self) -> "Plan":
        keys = [*self.choices, *self.values, *self.ranges]
        if twice := sorted({key for key in keys if keys.count(key) > 1} | {"name", "runs"} & set(keys)):
            raise ValueError(f"{', '.join(twice)} cannot be varied, or not in two ways")
        if not keys:
            raise ValueError("choices, values and ranges are all empty")
        if self.ranges and isinstance(self.sampler, GridConfig):
            raise ValueError("ranges need a search, sampler {name: tpe, trials: 40}, instead of a grid")
        return self

    @property
    def folder(self) -> Path:
        """Where the study's database, tables, pictures and runs are."""
        return self.runs / self.name

    def grid(self) -> list[Settings]:
        """All combinations of choices and values."""
        axes: dict[str, tuple[Scalar, ...]] = {key: tuple(labels) for key, labels in self.choices.items()} | self.values
        return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]

    def command(self, settings: Settings, number: int) -> list[str]:
        """The arguments of `train` for a trial; its run is FOLDER/NUMBER."""
        varied = [line for key, value in settings.items() for line in self._overrides(key, value)]
        own = [f"name={json.dumps(run_name(number))}", f"runs={json.dumps(str(self.folder))}"]
        return [str(self.experiment), *self.settings, *varied, *own]

    def experiments(self, origin: Path) -> list[tuple[Settings, Experiment]]:
        """What the trials are, by number; of a search the two ends of all ranges, with all choices and values.

        Raises UsageError that names `origin`, the study's file, for settings that no experiment can have.
        """
        found, faults = [], dict[str, None]()
        for number, settings in enumerate(self._ends()):
            try:
                path, *overrides = self.command(settings, number)
                found.append((settings, load(Path(path), Experiment, overrides, str(origin))))
            except UsageError as error:
                faults |= dict.fromkeys(error.lines)
        if len({experiment.metric for _, experiment in found}) > 1:
            faults[f"{origin}: metric: differs between trials, whose scores cannot be compared. Keep to one"] = None
        if faults:
            raise UsageError(*faults)
        return found

    def identity(self) -> dict[str, Any]:
        """All keys that decide what the trials are, as plain values."""
        elsewhere: Any = {"runs": True, "storage": True, "pruner": True, "experiment": True, "sampler": {"trials"}}
        return self.model_dump(mode="json", exclude=elsewhere)

    def _overrides(self, key: str, value: Scalar) -> tuple[str, ...]:
        return self.choices[key][str(value)] if key in self.choices else (f"{key}={json.dumps(value)}",)

    def _ends(self) -> Iterator[Settings]:
        for settings in self.grid():
            for end in ("low", "high") if self.ranges else ("",):
                yield settings | {key: getattr(one, end) for key, one in self.ranges.items()}


def run_name(number: int) -> str:
    """The run of a trial, which sorts as its number does."""
    return f"{number:03d}"
