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

from competition import loops, processes
from competition.clipping import Clip
from competition.errors import UsageError, run_command
from competition.experiment import Experiment
from competition.learners import Learner
from competition.models.patchgan import opinion
from competition.optim import update_ema
from competition.progress import progress
from competition.runs import Log
from competition.states import Conditions, Training


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
    training = _begin(experiment, accelerator)
    network, judge = training.learners()
    prepared = accelerator.prepare(*network, *judge)
    clip = experiment.clip.build() if experiment.clip else None
    players = Player(network.model, *prepared[:2]), Player(judge.model, *prepared[2:])
    game = Game(accelerator, *players, experiment.gan.weight, clip)
    conditions = Conditions.now(identity, experiment.seed, accelerator.num_processes)
    step = loops.resume(accelerator, run, training, conditions)
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        return loops.finish(accelerator, run, *prepared)

    loops.require_room(accelerator, run, training)
    validation = loops.Validation(experiment, run, contest)
    keeper = loops.Keeper(experiment, accelerator, training, conditions, validation, log)
    batches = loops.open_batches(experiment, accelerator, contest, step)
    keeper.make_up(step)
    stages, criterion = experiment.all_stages(), nn.Module()
    stage, pace, left_out = stages[0], loops.Pace(step, experiment.steps), 0
    with closing(batches), progress(shown=accelerator.is_main_process) as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for batch in batches:
            if step == pace.first or step >= stage.last:
                stage = next(stage for stage in stages if step < stage.last)
                criterion = stage.loss.build().to(accelerator.device)
            lr = stage.rate(step)
            played = game.play(*batch[0].floats(accelerator.device), criterion, lr, stop.requested)  # of one scale
            left_out = 0 if played.taught.finite and played.moved.finite else left_out + 1
            if played.moved.finite:
                update_ema(training.ema, training.model, stage.ema, step)
            step += 1
            pace.samples += stage.batch
            bar.update(task, completed=step)
            if left_out:
                loops.leave_out(experiment, accelerator, step, *played.sums(), left_out)
                continue  # weights that give such values are neither saved nor measured
            if loops.due(step, experiment.log_every, experiment.steps):
                log.write(step, lr=lr, **played.means(accelerator), **pace.so_far(step))
            keeper.after(step, played.moved.stop)
    loops.finish(accelerator, run, *prepared)


def _begin(experiment: Experiment, accelerator: Accelerator) -> Training:
    """Both networks as training begins with them."""
    assert experiment.gan
    network = loops.first_network(experiment, accelerator)
    judge = experiment.gan.discriminator.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = experiment.optimizer.build(network)
    other = experiment.optimizer.model_copy(update={"layers": ()}).build(judge)  # it has no such layers
    return Training(network, copy.deepcopy(network), own, Learner(judge, other))


class Descent(NamedTuple):
    """The norm of a step's gradient, and what all processes know of it."""

    norm: Tensor
    finite: bool
    stop: bool


class Played(NamedTuple):
    """What a step of both came to: the network's two losses and the discriminator's, and how each went down its own."""

    loss: Tensor
    adversarial: Tensor
    discriminator: Tensor
    weighted: Tensor
    """The network's losses, added as it went down them."""
    taught: Descent
    """The discriminator's."""
    moved: Descent
    """The network's."""

    def sums(self) -> tuple[Tensor, Tensor]:
        """Loss and gradient norm of both; not finite where one is not."""
        return self.discriminator + self.weighted, self.taught.norm + self.moved.norm

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Losses, as means over the processes, and gradient norms, under their names in the log."""
        losses = torch.stack([self.loss, self.adversarial, self.discriminator]).detach()
        names = ("loss", "adversarial", "discriminator")
        means = dict(zip(names, accelerator.reduce(losses, "mean").tolist(), strict=True))
        return means | {"grad_norm": self.moved.norm.item(), "discriminator_grad_norm": self.taught.norm.item()}


class Player(NamedTuple):
    """One of the two networks: itself, and as the processes share it, with its optimiser."""

    model: nn.Module
    shared: nn.Module
    optimizer: torch.optim.Optimizer


class Game(NamedTuple):
    """The two networks, the weight λ of the network's loss, and what clips gradients."""

    accelerator: Accelerator
    network: Player
    judge: Player
    weight: float
    clip: Clip | None

    def play(self, low: Tensor, high: Tensor, criterion: nn.Module, lr: float, stop: bool) -> Played:
        """One step of the discriminator, then one of the network; each left out where a value is not finite."""
        made = self.network.shared(low)
        # In one call, which is all that gradients on their way between processes allow.
        real, false = self.judge.shared(torch.cat([low, low]), torch.cat([high, made.detach()])).chunk(2)
        told_apart = (opinion(real, True) + opinion(false, False)) / 2
        taught = self._descend(self.judge, told_apart, lr)
        self.judge.model.requires_grad_(False)
        loss, adversarial = criterion(made, high), opinion(self.judge.model(low, made), True)
        weighted = self.weight * loss + adversarial
        moved = self._descend(self.network, weighted, lr, stop)
        self.judge.model.requires_grad_(True)
        return Played(loss, adversarial, told_apart, weighted, taught, moved)

    def _descend(self, player: Player, loss: Tensor, lr: float, stop: bool = False) -> Descent:
        for group in player.optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        self.accelerator.backward(loss)
        parameters = list(player.model.parameters())
        norm = nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
        finite, stopping = processes.agree(self.accelerator, torch.stack([loss.detach(), norm]), stop)
        if finite and self.clip:
            self.clip(parameters, lr)
        if finite:
            player.optimizer.step()
        player.optimizer.zero_grad()
        return Descent(norm, finite, stopping)


if __name__ == "__main__":
    run_command(main)
