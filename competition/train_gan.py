"""Train a network against an adversary, by GAN + λ·L1: the same command starts a run, resumes it, or finds it complete.

Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, algorithm 1, as Pix2Pix has it (section 3.3 there): one
step of the discriminator, its loss halved, then one of the network, which wants to be taken for real.
"""

import copy
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from competition import checkpoints, loops, processes
from competition.clipping import Clip
from competition.errors import UsageError, run_command
from competition.experiment import Experiment
from competition.learners import Learner
from competition.models.patchgan import opinion
from competition.optim import update_ema
from competition.progress import progress
from competition.runs import Log


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    if experiment := loops.read_command("train_gan", __doc__ or "", arguments):
        train_gan(experiment)


def train_gan(experiment: Experiment) -> None:
    """Run an experiment with an adversary to its last step, from scratch or from its newest training state.

    Raises Stopped after SIGINT or SIGTERM, with the state saved; NumericalError when a step is not finite.
    """
    if not experiment.gan:
        raise UsageError("gan: is null. Give it, gan={} for Pix2Pix's, or use python -m competition.train")
    with loops.opened(experiment) as (run, accelerator):
        _train(experiment, run, accelerator)


def _train(experiment: Experiment, run: Path, accelerator: Accelerator) -> None:
    assert experiment.gan
    contest, identity = loops.open_contest(experiment, run, accelerator)
    stop = processes.StopSignal()
    network = loops.first_network(experiment, accelerator)
    judge = experiment.gan.discriminator.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = experiment.optimizer.build(network)
    other = experiment.optimizer.model_copy(update={"layers": ()}).build(judge)  # it has no such layers
    training = checkpoints.Training(network, copy.deepcopy(network), own, Learner(judge, other))
    model, optimizer, discriminator, other_optimizer = accelerator.prepare(network, own, judge, other)
    conditions = checkpoints.Conditions.now(identity, experiment.seed, accelerator.num_processes)
    step = loops.resume(accelerator, run, training, conditions)
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        return loops.finish(accelerator, run, model, optimizer, discriminator, other_optimizer)

    loops.require_room(accelerator, run, training)
    validation = loops.Validation(experiment, run, contest)
    keeper = loops.Keeper(experiment, accelerator, training, conditions, validation, log)
    batches = loops.open_batches(experiment, accelerator, contest, step)
    keeper.make_up(step)
    stages, criterion = experiment.all_stages(), nn.Module()
    clip = experiment.clip.build() if experiment.clip else None
    stage, pace, left_out = stages[0], loops.Pace(step, experiment.steps), 0
    with closing(batches), progress(shown=accelerator.is_main_process) as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for batch in batches:
            if step == pace.first or step >= stage.last:
                stage = next(stage for stage in stages if step < stage.last)
                criterion = stage.loss.build().to(accelerator.device)
            lr = stage.rate(step)
            for group in [*optimizer.param_groups, *other_optimizer.param_groups]:
                group["lr"] = lr * group["factor"]
            low, high = batch[0].floats(accelerator.device)  # of one scale
            made = model(low)
            # In one call, which is all that gradients on their way between processes allow.
            real, false = discriminator(torch.cat([low, low]), torch.cat([high, made.detach()])).chunk(2)
            told_apart = (opinion(real, True) + opinion(false, False)) / 2
            taught = _descend(accelerator, told_apart, judge, other_optimizer, clip, lr)
            judge.requires_grad_(False)
            loss, adversarial = criterion(made, high), opinion(judge(low, made), True)
            total = experiment.gan.weight * loss + adversarial
            moved = _descend(accelerator, total, network, optimizer, clip, lr, stop.requested)
            judge.requires_grad_(True)
            left_out = 0 if taught.finite and moved.finite else left_out + 1
            if moved.finite:
                update_ema(training.ema, training.model, stage.ema, step)
            step += 1
            pace.samples += stage.batch
            bar.update(task, completed=step)
            if left_out:
                loops.leave_out(experiment, accelerator, step, told_apart + total, taught.norm + moved.norm, left_out)
                continue  # weights that give such values are neither saved nor measured
            if loops.due(step, experiment.log_every, experiment.steps):
                losses = torch.stack([loss, adversarial, told_apart]).detach()
                names = ("loss", "adversarial", "discriminator")
                means = dict(zip(names, accelerator.reduce(losses, "mean").tolist(), strict=True))
                norms = {"grad_norm": moved.norm.item(), "discriminator_grad_norm": taught.norm.item()}
                log.write(step, lr=lr, **means, **norms, **pace.so_far(step))
            keeper.after(step, moved.stop)
    loops.finish(accelerator, run, model, optimizer, discriminator, other_optimizer)


class Descent(NamedTuple):
    """The norm of a step's gradient, and what all processes know of it."""

    norm: Tensor
    finite: bool
    stop: bool


def _descend(
    accelerator: Accelerator,
    loss: Tensor,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    clip: Clip | None,
    lr: float,
    stop: bool = False,
) -> Descent:
    """One step of a network's optimiser down its loss, left out where a value is not finite."""
    accelerator.backward(loss)
    parameters = list(network.parameters())
    norm = nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
    finite, stopping = processes.agree(accelerator, torch.stack([loss.detach(), norm]), stop)
    if finite and clip:
        clip(parameters, lr)
    if finite:
        optimizer.step()
    optimizer.zero_grad()
    return Descent(norm, finite, stopping)


if __name__ == "__main__":
    run_command(main)
