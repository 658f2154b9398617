"""A run of milliseconds that saves, keeps its best weights and resumes as `competition.train` does."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from competition import checkpoints, weights
from competition.files import named, sha256, sync_folder, write_atomic
from competition.models.rrdbnet import RRDBNetConfig
from competition.optim import update_ema
from competition.states import Conditions, Training

MODEL = RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4)  # what the files say; the network itself is smaller
LAST, SAVE_EVERY, VALIDATE_EVERY = 12, 2, 4


def begin() -> Training:
    """A network of 15 weights, its average and its optimiser before the first step."""
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    return Training(network, copy.deepcopy(network), torch.optim.Adam(network.parameters(), lr=0.01))


@functools.cache
def conditions() -> Conditions:
    """Those of this process, for one configuration and seed."""
    return Conditions.now("small", seed=0, processes=1)


def advance(training: Training, step: int) -> None:
    """One optimiser step on samples that depend on the step alone."""
    samples = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
    training.optimizer.zero_grad()
    functional.mse_loss(training.model(samples), samples[:, :3]).backward()
    training.optimizer.step()
    update_ema(training.ema, training.model, 0.9, step)


def save(run: Path, training: Training, step: int) -> Path:
    """Save a state as the run does."""
    return checkpoints.save(run / "checkpoints", training, describe(step), conditions(), best=best(run))


def keep_best(run: Path, training: Training, step: int) -> bool:
    """Keep the averaged weights when their score is the best, and say whether it is."""
    samples = torch.randn(64, 4, generator=torch.Generator().manual_seed(-1))
    with torch.no_grad():
        score = -float(functional.mse_loss(training.ema(samples), samples[:, :3]))
    before = best(run)
    better = before is None or score > before
    if better:
        content = weights.Weights(training.ema.state_dict(), {}, describe(step, score))
        write_atomic(run / "best.safetensors", weights.encode(content))
    return better


def best(run: Path) -> float | None:
    """The score of the best weights so far."""
    path = run / "best.safetensors"
    score = weights.read_description(path).score if path.exists() else None
    return score.value if score else None


def describe(step: int, score: float | None = None) -> weights.Description:
    """What the run's files say of themselves."""
    kept = None if score is None else weights.Score(value=score, definition="minus the squared error")
    return weights.Description(model=MODEL, step=step, score=kept)


def go_on(run: Path, last: int = LAST, safe: Callable[[str, int], None] = lambda what, step: None) -> list[str]:
    """Resume and train to the last step; returns the warnings of the resume.

    `safe` is told whenever a "state" or the "best" weights of a step are safely on disk.
    """
    training = begin()
    resumed = checkpoints.load_newest(run / "checkpoints", training, conditions())
    step = resumed.step
    if best(run) is not None:
        with named(run):  # as the trainer does with its split and its log
            sync_folder(run)
        safe("best", step)
    # A validation may have been cut off.
    if step and step % VALIDATE_EVERY == 0 and keep_best(run, training, step):
        safe("best", step)
    while step < last:
        advance(training, step)
        step += 1
        if step % SAVE_EVERY == 0:
            save(run, training, step)
            safe("state", step)
        if step % VALIDATE_EVERY == 0 and keep_best(run, training, step):
            safe("best", step)
    return resumed.warnings


def outcome(run: Path) -> dict[str, str]:
    """Hashes of what a finished run is judged by."""
    # Not the one before them, which a run that died in the end has not deleted.
    states = sorted((run / "checkpoints").glob("step_*"))[-checkpoints.KEEP :]
    files = [path for state in states for path in sorted(state.iterdir())] + [run / "best.safetensors"]
    return {str(path.relative_to(run)): sha256(path) for path in files}
