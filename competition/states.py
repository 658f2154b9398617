"""What a training state is made of: networks, optimisers, steps taken, and what the bits of a run depend on."""

import platform
from importlib.metadata import version
from typing import NamedTuple

import torch
from pydantic import Field
from torch import nn

from competition.config import Config
from competition.learners import Learner


class Training(NamedTuple):
    """What training needs to go on: the network, its average and the optimiser, all changed in place."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    adversary: Learner | None = None
    """What learns to tell the network's pictures from real ones, where it is trained so."""

    def learners(self) -> list[Learner]:
        """All networks that are trained."""
        return [Learner(self.model, self.optimizer), *([self.adversary] if self.adversary else [])]


class Conditions(Config):
    """What the bits of a run depend on beside its data."""

    config: str
    """SHA-256 of the configuration the run began with."""
    seed: int
    """Seed of weights and samples."""
    processes: int
    """Training processes that share a batch."""
    threads: int
    """CPU threads of a process."""
    versions: dict[str, str]
    """Of Python, torch and accelerate."""

    @staticmethod
    def now(config: str, seed: int, processes: int) -> "Conditions":
        """Those of this process."""
        versions = {"python": platform.python_version(), **{name: version(name) for name in ("torch", "accelerate")}}
        return Conditions(
            config=config,
            seed=seed,
            processes=processes,
            threads=torch.get_num_threads(),
            versions=versions,
        )

    def changes(self, now: "Conditions") -> list[str]:
        """What differs from `now` and makes the last bits differ, though the samples stay the same."""
        pairs = {
            "processes": (self.processes, now.processes),
            "threads": (self.threads, now.threads),
            "torch": (self.versions.get("torch"), now.versions.get("torch")),
        }
        return [f"{name} {before} -> {after}" for name, (before, after) in pairs.items() if before != after]


class State(Config):
    """What a state holds beside tensors."""

    step: int
    """Optimiser steps taken."""
    conditions: Conditions
    """Under which it came about."""
    best: float | None = None
    """Best validation score so far."""
    extra: dict[str, int | float] = Field(default_factory=dict)
    """Further numbers to go on with, such as the scale of a loss in float16."""
