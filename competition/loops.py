"""What training loops have in common around their steps: beginning, resuming, validating, saving, telling, the end."""

import contextlib
import json
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from competition import checkpoints, feed, pretrained, processes, weights
from competition.config import describe, load
from competition.data.pairs import fingerprint
from competition.data.patches import Batch, Share, loader
from competition.data.preparation import sources
from competition.data.sources import Source
from competition.errors import ArgumentParser, BadCheckpoint, NumericalError, Stopped, UsageError
from competition.experiment import Experiment, complete
from competition.files import sweep, write_atomic
from competition.locks import locked
from competition.memory import reuse_freed_memory
from competition.models.recompute import recompute_blocks
from competition.preview import preview
from competition.progress import console
from competition.runs import Log, record, say
from competition.states import Conditions, Training
from competition.validation import comparison, scores

# Validation pictures whose middle is shown beside bicubic and truth.
SHOWN = 4


# ---- before the first step ------------------------------------------------------------------------------------------


def read_command(name: str, purpose: str, arguments: Sequence[str]) -> Experiment | None:
    """The command line of a trainer, CONFIG and overrides: the experiment, or None where a dry run was all of it."""
    keys = "\n".join(["configuration keys and defaults:", *describe(Experiment)])
    parser = ArgumentParser(prog=f"python -m competition.{name}", description=purpose, epilog=keys)
    parser.add_argument("config", type=Path, help="YAML file with what differs from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optimizer.lr=5e-5")
    parser.add_argument("--dry-run", action="store_true", help="only show the stages, with memory and time, and end")
    given = parser.parse_intermixed_args(arguments)
    reuse_freed_memory()
    experiment = load(given.config, Experiment, given.overrides)
    _check_batches(experiment)
    if given.dry_run:
        console.print(preview(experiment, processes.count()))
    return None if given.dry_run else experiment


def _check_batches(experiment: Experiment) -> None:
    for stage in experiment.all_stages():
        parts = stage.accumulate * len(experiment.scales())
        if stage.batch % (processes.count() * parts):
            each = f" in {parts} parts each" if parts > 1 else ""
            raise UsageError(f"batch: {stage.batch} cannot be shared by {processes.count()} processes{each}. Change it")


@contextlib.contextmanager
def opened(experiment: Experiment) -> Iterator[tuple[Path, Accelerator]]:
    """The folder of a run, held for this training alone, with its pairs prepared and its processes started."""
    run = experiment.runs / experiment.name
    with locked(run) if processes.rank() == 0 else contextlib.nullcontext():
        # Before the processes begin to wait for each other, which has a time limit: it may take minutes.
        feed.prepare_pairs(experiment)
        with processes.lost_peers(run, experiment.timeout):
            yield run, processes.start(experiment)


def open_contest(experiment: Experiment, run: Path, accelerator: Accelerator) -> tuple[feed.Contest, str]:
    """The run's pairs and the hash of its experiment, once it is clear that they are those the run began with."""
    contest = feed.open_contest(experiment)
    sides = {"train": contest.training, "validation": contest.validation}
    fingerprints = {side: fingerprint(one.pair for one in prepared) for side, prepared in sides.items()}
    identity = record(run, experiment.identity(), fingerprints, complete, write=accelerator.is_main_process)
    if accelerator.is_main_process:
        write_atomic(run / "validation.txt", "".join(f"{one.pair.name}\n" for one in contest.validation).encode())
        write_atomic(run / "split.json", json.dumps(contest.split._asdict(), indent=1).encode())
    for line in contest.warnings():
        say(accelerator, f"warning: {line}")
    accelerator.wait_for_everyone()
    return contest, identity


def first_network(experiment: Experiment, accelerator: Accelerator) -> nn.Module:
    """The network as training begins with it: initialised from the seed, or from given weights."""
    torch.manual_seed(experiment.seed)
    network: nn.Module = experiment.model.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if experiment.pretrained:
        state = pretrained.state_for(experiment.pretrained, experiment.model)
        say(accelerator, weights.load_state(network, state, experiment.pretrained, experiment.pretrained_partial))
    if experiment.recompute and not recompute_blocks(network):
        raise UsageError(f"recompute: {experiment.model.name} is not made of blocks. Leave it out")
    if not any(True for _ in network.parameters()):
        raise UsageError(
            f"model.name: {experiment.model.name} has nothing to train. Choose another, or use it with infer"
        )
    return network


def resume(accelerator: Accelerator, run: Path, training: Training, conditions: Conditions) -> int:
    """Load the newest training state, the same in all processes; returns the steps taken."""
    resumed = checkpoints.load_newest(run / "checkpoints", training, conditions)
    for line in resumed.warnings:
        say(accelerator, f"warning: {line}")
    steps = gather_object([resumed.step])
    if len(set(steps)) > 1:
        raise BadCheckpoint(f"{run / 'checkpoints'}: the processes see the steps {steps}. Wait for the disk they share")
    if accelerator.scaler is not None and resumed.state:
        accelerator.scaler.load_state_dict(resumed.state.extra)
    return resumed.step


def require_room(accelerator: Accelerator, run: Path, training: Training) -> None:
    """Delete what killed processes left of files, and raise StorageError unless the disk holds what will be saved."""
    if accelerator.is_main_process:
        sweep(run)
        checkpoints.require_room(run / "checkpoints", training)


def open_batches(
    experiment: Experiment, accelerator: Accelerator, contest: feed.Contest, step: int
) -> Generator[tuple[Batch, ...], None, None]:
    """This process's part, by scale, of the batches from `step` to the last one; close it before the process ends."""
    share = Share(accelerator.process_index, accelerator.num_processes)
    patches = feed.open_batches(experiment, contest.training, share)
    cuda, workers = accelerator.device.type == "cuda", experiment.data.workers
    run = experiment.runs / experiment.name
    say(accelerator, f"{run}: step {step} of {experiment.steps}, {len(contest.training)} pairs, {accelerator.device}")
    return loader(patches, step, experiment.steps, workers, pin_memory=cuda)


# ---- between steps --------------------------------------------------------------------------------------------------


class Validation:
    """The contest's metric on whole frames, spread over the processes; keeps the best weights."""

    def __init__(self, experiment: Experiment, run: Path, contest: feed.Contest) -> None:
        self.experiment = experiment
        self.path = run / "best.safetensors"
        self.pictures: Sequence[Source] = sources(experiment.data.store, contest.validation)
        score = weights.read_description(self.path).score if self.path.exists() else None
        self.best = score.value if score else None

    def run(self, accelerator: Accelerator, network: nn.Module, step: int, log: Log) -> None:
        """Measure `network`, keep it as best.safetensors when it is, and log the mean PSNR."""
        own = range(accelerator.process_index, len(self.pictures), accelerator.num_processes)
        mine = scores(network, self.pictures, self.experiment.metric, accelerator.device, own)
        mean = float(accelerator.reduce(mine, "sum").mean())
        better = self.best is None or mean > self.best
        if better and accelerator.is_main_process:
            score = weights.Score(value=mean, definition=self.experiment.metric.definition())
            content = weights.Weights(network.state_dict(), {}, _description(self.experiment, step, score))
            write_atomic(self.path, weights.encode(content))
        self.best = mean if better else self.best
        log.write(step, psnr=mean)
        if accelerator.is_main_process and accelerator.trackers:
            shown = {
                picture.name: comparison(network, picture, accelerator.device) for picture in self.pictures[:SHOWN]
            }
            log.show(step, shown)
        accelerator.wait_for_everyone()


class Pace:
    """How fast a run has been since it was started or resumed."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.samples = 0
        self._started = time.monotonic()

    def so_far(self, step: int) -> dict[str, float]:
        """Steps and samples a second, and seconds left, under their names in the log."""
        seconds = time.monotonic() - self._started
        speed = {"steps_per_s": (step - self.first) / seconds, "samples_per_s": self.samples / seconds}
        return speed | {"eta_s": round((self.last - step) / speed["steps_per_s"])}


def due(step: int, every: int, last: int) -> bool:
    """Whether something that happens at every so many steps, and at the last one, happens after this one."""
    return step % every == 0 or step == last


def leave_out(
    experiment: Experiment, accelerator: Accelerator, step: int, loss: Tensor, gradient: Tensor, left_out: int
) -> None:
    """Say that a step changes nothing; raises NumericalError after too many of them in a row, or at the end."""
    values = f"step {step}: loss {loss.item():g}, gradient norm {gradient.item():g}"
    if left_out > experiment.skip or step == experiment.steps:
        before = f", as in {left_out - 1} steps before" if left_out > 1 else ""
        raise NumericalError(f"{values}{before}. Lower optimizer.lr; the last saved state is good")
    say(accelerator, f"warning: {values}. It is left out")


class Keeper(NamedTuple):
    """What a run keeps of its steps: states, the best weights, and the score of every validation."""

    experiment: Experiment
    accelerator: Accelerator
    training: Training
    conditions: Conditions
    validation: Validation
    log: Log

    def make_up(self, step: int) -> None:
        """Validate a resumed run whose validation was cut off."""
        if step and due(step, self.experiment.validate_every, self.experiment.steps) and not self.log.validated(step):
            self.validation.run(self.accelerator, self.training.ema, step, self.log)

    def after(self, step: int, stopping: bool) -> None:
        """Save and validate where that is due after a step; raises Stopped, with the state saved, if `stopping`."""
        validating = due(step, self.experiment.validate_every, self.experiment.steps)
        saving = validating or stopping or due(step, self.experiment.save_every, self.experiment.steps)
        run = self.experiment.runs / self.experiment.name
        if saving and self.accelerator.is_main_process:
            description = _description(self.experiment, step)
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else {}
            best = self.validation.best
            checkpoints.save(run / "checkpoints", self.training, description, self.conditions, best, scaler)
        if stopping:
            self.accelerator.wait_for_everyone()
            raise Stopped(f"{run}: stopped by a signal, saved at step {step}. Run the same command again to go on")
        if validating:
            self.validation.run(self.accelerator, self.training.ema, step, self.log)


# ---- the end --------------------------------------------------------------------------------------------------------


def finish(accelerator: Accelerator, run: Path, *prepared: nn.Module | torch.optim.Optimizer) -> None:
    """Say what came of the run and part from the other processes and from what Accelerate has `prepared`."""
    if accelerator.is_main_process:
        best = weights.read_description(run / "best.safetensors")
        score = f"best {best.score.value:.4f} dB at step {best.step} ({best.score.definition})" if best.score else ""
        say(accelerator, f"{run}: complete, {score}")
    # Freed before the processes part: two-process runs can otherwise hang at exit.
    accelerator.free_memory(*prepared)
    accelerator.end_training()


def _description(experiment: Experiment, step: int, score: weights.Score | None = None) -> weights.Description:
    return weights.Description(model=experiment.model, step=step, score=score)
