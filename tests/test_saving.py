"""Saving, dying, damage and deletion in any order: a good state and the best weights are always there."""

import contextlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
import small_run
import torch
from faults import Crash, Disk, freeze, full, unreadable, unsure
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from test_checkpoints import damage

from competition import checkpoints
from competition.files import sha256


def die(act, arguments, kind):
    """Die before the change."""
    raise Crash


FAULTS = st.sampled_from([die, freeze, full, unreadable, unsure])
STEPS = st.integers(0, 2)


class Saving(RuleBasedStateMachine):
    """One run folder, the process that trains in it, and what it has been promised."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.place = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
        self.run = Path(self.place.name) / "run"
        self.promised: set[int] = set()
        self.best: str | None = None
        self.number = 0
        self.restart()

    def teardown(self) -> None:
        self.place.cleanup()

    # ---- what the process does --------------------------------------------------------------------------------------

    @rule(steps=STEPS)
    def save(self, steps: int) -> None:
        """Train on and save; without a step between, another state of the same step."""
        self._advance(steps)
        self._save()

    @rule(steps=STEPS)
    def keep_best(self, steps: int) -> None:
        self._advance(steps)
        small_run.keep_best(self.run, self.training, self.step)
        self.best = sha256(self.run / "best.safetensors")

    @rule()
    def restart(self) -> None:
        self.training = small_run.begin()
        resumed = checkpoints.load_newest(self.run / "checkpoints", self.training, small_run.conditions())
        self.step = resumed.step

    # ---- what happens to it -----------------------------------------------------------------------------------------

    @rule(steps=STEPS, fault=FAULTS, at=st.integers(0, 30), sticky=st.booleans())
    def fail_while_saving(self, steps: int, fault, at: int, sticky: bool) -> None:
        self._advance(steps)
        disk = Disk(fault, at, sticky)
        with patch("competition.files.on_disk", disk), contextlib.suppress(Crash, OSError):
            self._save()
        self.restart()

    @rule(steps=STEPS, fault=FAULTS, at=st.integers(0, 6), sticky=st.booleans())
    def fail_while_keeping_the_best(self, steps: int, fault, at: int, sticky: bool) -> None:
        self._advance(steps)
        disk = Disk(fault, at, sticky)
        with patch("competition.files.on_disk", disk), contextlib.suppress(Crash, OSError):
            small_run.keep_best(self.run, self.training, self.step)
        path = self.run / "best.safetensors"
        if path.exists() and small_run.weights.read_description(path).step == self.step:
            self.best = sha256(path)  # the new one: whole, or it could not be read
        self.restart()

    @precondition(lambda self: len(self._good()) > 1)
    @rule(seed=st.integers(0, 2**32))
    def harm_a_state(self, seed: int) -> None:
        choose = random.Random(seed)
        path = choose.choice(self._good())
        damage(path, choose)
        self.promised.discard(int(path.name.rpartition("_")[2]))

    @precondition(lambda self: len(self._good()) > 1)
    @rule(seed=st.integers(0, 2**32))
    def delete_a_state(self, seed: int) -> None:
        path = random.Random(seed).choice(self._good())
        shutil.rmtree(path)
        self.promised.discard(int(path.name.rpartition("_")[2]))

    # ---- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def the_newest_promised_state_loads(self) -> None:
        training = small_run.begin()
        resumed = checkpoints.load_newest(self.run / "checkpoints", training, small_run.conditions())
        assert resumed.step >= max(self.promised, default=0)
        assert resumed.state or not self._good()
        assert torch.equal(training.model.weight, weight_at(resumed.step))

    @invariant()
    def the_best_weights_are_whole(self) -> None:
        path = self.run / "best.safetensors"
        assert (sha256(path) if path.exists() else None) == self.best

    def _save(self) -> None:
        self.number += 1
        folder, description = self.run / "checkpoints", small_run.describe(self.step)
        extra = {"number": self.number // 2}  # every second time the same state again
        checkpoints.save(folder, self.training, description, small_run.conditions(), extra=extra)
        self.promised = set(sorted({*self.promised, self.step})[-checkpoints.KEEP :])

    def _advance(self, steps: int) -> None:
        for _ in range(steps):
            small_run.advance(self.training, self.step)
            self.step += 1

    def _good(self) -> list[Path]:
        good = []
        for path in sorted((self.run / "checkpoints").glob("*step_*")):
            if not path.name.startswith((".tmp", ".del")):
                with contextlib.suppress(checkpoints.BadCheckpoint):
                    checkpoints.verify(path)
                    good.append(path)
        return good


_weights = [small_run.begin().model.weight.detach().clone()]
_training = small_run.begin()


def weight_at(step: int) -> torch.Tensor:
    """The network's weights after so many steps without any fault."""
    while len(_weights) <= step:
        small_run.advance(_training, len(_weights) - 1)
        _weights.append(_training.model.weight.detach().clone())
    return _weights[step]


@pytest.mark.parametrize(
    "examples", [pytest.param(25, id="some"), pytest.param(2000, id="many", marks=pytest.mark.slow)]
)
def test_whatever_happens_a_good_state_and_the_best_weights_are_there(examples: int):
    checks = list(HealthCheck)
    run_state_machine_as_test(
        Saving,
        settings=settings(max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=checks),
    )
