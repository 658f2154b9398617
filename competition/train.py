"""Fine-tune a network on paired patches: the same command starts a run, resumes it, or finds it complete."""

import contextlib
import copy
import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from competition import checkpoints, feed, pretrained, processes, weights
from competition.config import describe, load
from competition.data.pairs import fingerprint
from competition.data.patches import Share, loader
from competition.data.preparation import sources
from competition.data.sources import Source
from competition.errors import ArgumentParser, BadCheckpoint, NumericalError, Stopped, UsageError, run_command
from competition.experiment import Experiment, complete
from competition.files import locked, sweep, write_atomic
from competition.memory import reuse_freed_memory
from competition.models.recompute import recompute_blocks
from competition.optim import add_l1_gradient, update_ema
from competition.preview import preview
from competition.progress import console, progress
from competition.runs import Log, record, say
from competition.validation import comparison, scores

# Validation pictures whose middle is shown beside bicubic and truth.
SHOWN = 4


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    keys = "\n".join(["configuration keys and defaults:", *describe(Experiment)])
    parser = ArgumentParser(prog="python -m competition.train", description=__doc__ or "", epilog=keys)
    parser.add_argument("config", type=Path, help="YAML file with what differs from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optimizer.lr=5e-5")
    parser.add_argument("--dry-run", action="store_true", help="only show the stages, with memory and time, and end")
    given = parser.parse_intermixed_args(arguments)
    reuse_freed_memory()
    experiment = load(given.config, Experiment, given.overrides)
    _check_batches(experiment)
    if given.dry_run:
        console.print(preview(experiment, processes.count()))
    else:
        train(experiment)


def train(experiment: Experiment) -> None:
    """Run an experiment to its last step, from scratch or from its newest training state.

    Raises Stopped after SIGINT or SIGTERM, with the state saved; NumericalError when a step is not finite.
    """
    run = experiment.runs / experiment.name
    with locked(run) if processes.rank() == 0 else contextlib.nullcontext():
        # Before the processes begin to wait for each other, which has a time limit: it may take minutes.
        feed.prepare_pairs(experiment)
        with processes.lost_peers(run, experiment.timeout):
            _train(experiment, run, processes.start(experiment))


def _train(experiment: Experiment, run: Path, accelerator: Accelerator) -> None:
    contest, identity = _open_contest(experiment, run, accelerator)
    stop = processes.StopSignal()
    network = _network(experiment, accelerator)
    training = checkpoints.Training(network, copy.deepcopy(network), experiment.optimizer.build(network))
    model, optimizer = accelerator.prepare(training.model, training.optimizer)
    conditions = checkpoints.Conditions.now(identity, experiment.seed, accelerator.num_processes)
    step = _resume(accelerator, run, training, conditions)
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        return _finish(accelerator, run, model, optimizer)

    if accelerator.is_main_process:
        sweep(run)
        checkpoints.require_room(run / "checkpoints", training)
    share = Share(accelerator.process_index, accelerator.num_processes)
    patches = feed.open_batches(experiment, contest.training, share)
    validation = Validation(experiment, run, sources(experiment.data.store, contest.validation))
    cuda, workers = accelerator.device.type == "cuda", experiment.data.workers
    batches = loader(patches, step, experiment.steps, workers, pin_memory=cuda)
    say(accelerator, f"{run}: step {step} of {experiment.steps}, {len(contest.training)} pairs, {accelerator.device}")
    if step and _due(step, experiment.validate_every, experiment.steps) and not log.validated(step):
        validation.run(accelerator, training.ema, step, log)
    stages, criterion = experiment.all_stages(), nn.Module()
    parameters = list(training.model.parameters())
    clip = experiment.clip.build() if experiment.clip else None
    stage = stages[0]
    started, first, samples, left_out = time.monotonic(), step, 0, 0
    with closing(batches), progress(shown=accelerator.is_main_process) as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for batch in batches:
            if step == first or step >= stage.last:
                stage = next(stage for stage in stages if step < stage.last)
                criterion = stage.loss.build().to(accelerator.device)
            lr = stage.rate(step)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"]
            mixed = [part.floats(accelerator.device) for part in batch]
            loss = _backward(accelerator, model, criterion, mixed, stage.accumulate)
            accelerator.unscale_gradients()
            if experiment.l1_penalty:
                add_l1_gradient(training.model, experiment.l1_penalty)
            gradient = nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
            finite, stopping = processes.agree(accelerator, torch.stack([loss, gradient]), stop.requested)
            left_out = 0 if finite else left_out + 1
            if clip and finite:
                clip(parameters, lr)
            # In fp16 the scaler leaves the step out by itself, and lowers its scale.
            if finite or experiment.precision == "fp16":
                optimizer.step()
            optimizer.zero_grad()
            if finite:
                update_ema(training.ema, training.model, stage.ema, step)
            step += 1
            samples += stage.batch
            bar.update(task, completed=step)
            if left_out:
                _leave_out(experiment, accelerator, step, loss, gradient, left_out)
                continue  # weights that give such values are neither saved nor measured
            if _due(step, experiment.log_every, experiment.steps):
                seconds = time.monotonic() - started
                speed = {"steps_per_s": (step - first) / seconds, "samples_per_s": samples / seconds}
                mean = accelerator.reduce(loss, "mean").item()
                eta = round((experiment.steps - step) / speed["steps_per_s"])
                log.write(step, lr=lr, loss=mean, grad_norm=gradient.item(), **speed, eta_s=eta)
            validating = _due(step, experiment.validate_every, experiment.steps)
            saving = validating or stopping or _due(step, experiment.save_every, experiment.steps)
            if saving and accelerator.is_main_process:
                description = _description(experiment, step)
                scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
                checkpoints.save(run / "checkpoints", training, description, conditions, validation.best, scaler)
            if stopping:
                accelerator.wait_for_everyone()
                raise Stopped(f"{run}: stopped by a signal, saved at step {step}. Run the same command again to go on")
            if validating:
                validation.run(accelerator, training.ema, step, log)
    _finish(accelerator, run, model, optimizer)


def _check_batches(experiment: Experiment) -> None:
    for stage in experiment.all_stages():
        parts = stage.accumulate * len(experiment.scales())
        if stage.batch % (processes.count() * parts):
            each = f" in {parts} parts each" if parts > 1 else ""
            raise UsageError(f"batch: {stage.batch} cannot be shared by {processes.count()} processes{each}. Change it")


def _open_contest(experiment: Experiment, run: Path, accelerator: Accelerator) -> tuple[feed.Contest, str]:
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


def _resume(
    accelerator: Accelerator, run: Path, training: checkpoints.Training, conditions: checkpoints.Conditions
) -> int:
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


def _backward(
    accelerator: Accelerator,
    model: nn.Module,
    criterion: nn.Module,
    mixed: Sequence[tuple[Tensor, Tensor]],
    accumulate: int,
) -> Tensor:
    """Add the gradients of a batch of one or more scales, of each in so many parts; returns its loss, detached."""
    total = torch.zeros((), device=accelerator.device)
    parts = [part for sides in mixed for part in zip(*(side.chunk(accumulate) for side in sides), strict=True)]
    for number, (low, high) in enumerate(parts, 1):
        scale = () if len(mixed) == 1 else (high.shape[-1] // low.shape[-1],)
        # Gradients travel between the processes once a step.
        with contextlib.nullcontext() if number == len(parts) else accelerator.no_sync(model):
            loss = criterion(model(low, *scale), high) / len(parts)
            accelerator.backward(loss)
        total += loss.detach()
    return total


def _leave_out(
    experiment: Experiment, accelerator: Accelerator, step: int, loss: Tensor, gradient: Tensor, left_out: int
) -> None:
    """Say that a step changes nothing; raises NumericalError after too many of them in a row, or at the end."""
    values = f"step {step}: loss {loss.item():g}, gradient norm {gradient.item():g}"
    if left_out > experiment.skip or step == experiment.steps:
        before = f", as in {left_out - 1} steps before" if left_out > 1 else ""
        raise NumericalError(f"{values}{before}. Lower optimizer.lr; the last saved state is good")
    say(accelerator, f"warning: {values}. It is left out")


class Validation:
    """The contest's metric on whole frames, spread over the processes; keeps the best weights."""

    def __init__(self, experiment: Experiment, run: Path, pictures: Sequence[Source]) -> None:
        self.experiment = experiment
        self.path = run / "best.safetensors"
        self.pictures = pictures
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


def _network(experiment: Experiment, accelerator: Accelerator) -> nn.Module:
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


def _finish(accelerator: Accelerator, run: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if accelerator.is_main_process:
        best = weights.read_description(run / "best.safetensors")
        score = f"best {best.score.value:.4f} dB at step {best.step} ({best.score.definition})" if best.score else ""
        say(accelerator, f"{run}: complete, {score}")
    # Freed before the processes part: two-process runs can otherwise hang at exit.
    accelerator.free_memory(model, optimizer)
    accelerator.end_training()


def _description(experiment: Experiment, step: int, score: weights.Score | None = None) -> weights.Description:
    return weights.Description(model=experiment.model, step=step, score=score)


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


if __name__ == "__main__":
    run_command(main)
