"""Fine-tune a network on paired patches: the same command starts a run, resumes it, or finds it complete."""

import contextlib
import copy
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from competition import loops, processes
from competition.errors import UsageError, run_command
from competition.experiment import Experiment
from competition.optim import add_l1_gradient, update_ema
from competition.progress import progress
from competition.runs import Log
from competition.states import Conditions, Training


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    if experiment := loops.read_command("train", __doc__ or "", arguments):
        train(experiment)


def train(experiment: Experiment) -> None:
    """Run an experiment to its last step, from scratch or from its newest training state.

    Raises Stopped after SIGINT or SIGTERM, with the state saved; NumericalError when a step is not finite.
    """
    if experiment.gan:
        raise UsageError("gan: is for python -m competition.train_gan. Train with that, or set gan=null")
    with loops.opened(experiment) as (run, accelerator):
        _train(experiment, run, accelerator)


def _train(experiment: Experiment, run: Path, accelerator: Accelerator) -> None:
    contest, identity = loops.open_contest(experiment, run, accelerator)
    stop = processes.StopSignal()
    network = loops.first_network(experiment, accelerator)
    training = Training(network, copy.deepcopy(network), experiment.optimizer.build(network))
    model, optimizer = accelerator.prepare(training.model, training.optimizer)
    conditions = Conditions.now(identity, experiment.seed, accelerator.num_processes)
    step = loops.resume(accelerator, run, training, conditions)
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        return loops.finish(accelerator, run, model, optimizer)

    loops.require_room(accelerator, run, training)
    validation = loops.Validation(experiment, run, contest)
    keeper = loops.Keeper(experiment, accelerator, training, conditions, validation, log)
    batches = loops.open_batches(experiment, accelerator, contest, step)
    keeper.make_up(step)
    stages, criterion = experiment.all_stages(), nn.Module()
    parameters = list(training.model.parameters())
    clip = experiment.clip.build() if experiment.clip else None
    stage, pace, left_out = stages[0], loops.Pace(step, experiment.steps), 0
    with closing(batches), progress(shown=accelerator.is_main_process) as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for batch in batches:
            if step == pace.first or step >= stage.last:
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
            pace.samples += stage.batch
            bar.update(task, completed=step)
            if left_out:
                loops.leave_out(experiment, accelerator, step, loss, gradient, left_out)
                continue  # weights that give such values are neither saved nor measured
            if loops.due(step, experiment.log_every, experiment.steps):
                mean = accelerator.reduce(loss, "mean").item()
                log.write(step, lr=lr, loss=mean, grad_norm=gradient.item(), **pace.so_far(step))
            keeper.after(step, stopping)
    loops.finish(accelerator, run, model, optimizer)


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


if __name__ == "__main__":
    run_command(main)
