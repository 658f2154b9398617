"""Fine-tune a network on paired patches: the same command starts a run, resumes it, or finds it complete."""

import copy
import json
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from competition import checkpoints, feed, pretrained, weights
from competition.config import describe, load
from competition.data.pairs import fingerprint
from competition.data.patches import Share, loader
from competition.data.preparation import sources
from competition.data.sources import Source
from competition.errors import ArgumentParser, NumericalError, Stopped, UsageError, run_command
from competition.experiment import Experiment, complete
from competition.files import write_atomic
from competition.memory import reuse_freed_memory
from competition.optim import update_ema
from competition.progress import progress
from competition.runs import Log, record, say
from competition.validation import scores


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    keys = "\n".join(["configuration keys and defaults:", *describe(Experiment)])
    parser = ArgumentParser(prog="python -m competition.train", description=__doc__ or "", epilog=keys)
    parser.add_argument("config", type=Path, help="YAML file with what differs from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optimizer.lr=5e-5")
    given = parser.parse_intermixed_args(arguments)
    reuse_freed_memory()
    train(load(given.config, Experiment, given.overrides))


def train(experiment: Experiment) -> None:
    """Run an experiment to its last step, from scratch or from its newest training state.

    Raises Stopped after SIGINT or SIGTERM, with the state saved; NumericalError when a step is not finite.
    """
    run = experiment.runs / experiment.name
    # Said explicitly: on a machine without GPU, Accelerate would otherwise take several processes for several runs.
    cpu = not torch.cuda.is_available()
    accelerator = Accelerator(cpu=cpu, mixed_precision=experiment.precision, log_with="tensorboard", project_dir=run)
    torch.backends.cudnn.deterministic = True  # a resumed run shall end with the bits of an uninterrupted one
    for stage in experiment.all_stages():
        if stage.batch % accelerator.num_processes:
            raise UsageError(
                f"batch: {stage.batch} cannot be shared by {accelerator.num_processes} processes. Change it"
            )
    if accelerator.is_main_process:
        feed.prepare_pairs(experiment)
    accelerator.wait_for_everyone()
    contest = feed.open_contest(experiment)
    stop = StopSignal()
    sides = {"train": contest.training, "validation": contest.validation}
    fingerprints = {side: fingerprint(one.pair for one in prepared) for side, prepared in sides.items()}
    record(run, experiment.identity(), fingerprints, complete, write=accelerator.is_main_process)
    if accelerator.is_main_process:
        write_atomic(run / "validation.txt", "".join(f"{one.pair.name}\n" for one in contest.validation).encode())
        write_atomic(run / "split.json", json.dumps(contest.split._asdict(), indent=1).encode())
    for line in contest.warnings():
        say(accelerator, f"warning: {line}")
    accelerator.wait_for_everyone()

    network = _network(experiment, accelerator)
    training = checkpoints.Training(network, copy.deepcopy(network), experiment.optimizer.build(network.parameters()))
    model, optimizer = accelerator.prepare(training.model, training.optimizer)
    training.ema.to(accelerator.device)
    step, skipped = checkpoints.load_newest(run / "checkpoints", training)
    for line in skipped:
        say(accelerator, f"warning: {line}")
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        return _finish(accelerator, run, model, optimizer)

    share = Share(accelerator.process_index, accelerator.num_processes)
    patches = feed.open_patches(experiment, contest.training, share)
    validation = Validation(experiment, run, sources(experiment.data.store, contest.validation))
    cuda, workers = accelerator.device.type == "cuda", experiment.data.workers
    batches = loader(patches, step, experiment.steps, workers, pin_memory=cuda)
    criterion = experiment.loss.build()
    say(accelerator, f"{run}: step {step} of {experiment.steps}, {len(contest.training)} pairs, {accelerator.device}")
    if step and _due(step, experiment.validate_every, experiment.steps) and not log.validated(step):
        validation.run(accelerator, training.ema, step, log)
    started, first = time.monotonic(), step
    with closing(batches), progress(shown=accelerator.is_main_process) as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for batch in batches:
            low, high = batch.floats(accelerator.device)
            lr = experiment.optimizer.lr * experiment.schedule.factor(step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = criterion(model(low), high)
            accelerator.backward(loss)
            gradient = nn.utils.get_total_norm([p.grad for p in training.model.parameters() if p.grad is not None])
            stopping = _agree(accelerator, loss, gradient, stop.requested, step)
            optimizer.step()
            optimizer.zero_grad()
            update_ema(training.ema, training.model, experiment.ema, step)
            step += 1
            bar.update(task, completed=step)
            if _due(step, experiment.log_every, experiment.steps):
                rate = (step - first) / (time.monotonic() - started)
                speed = {"steps_per_s": round(rate, 3), "eta_s": round((experiment.steps - step) / rate)}
                mean = accelerator.reduce(loss.detach(), "mean").item()
                log.write(step, lr=lr, loss=mean, grad_norm=gradient.item(), **speed)
            validating = _due(step, experiment.validate_every, experiment.steps)
            saving = validating or stopping or _due(step, experiment.save_every, experiment.steps)
            if saving and accelerator.is_main_process:
                checkpoints.save(run / "checkpoints", training, _description(experiment, step))
            if stopping:
                accelerator.wait_for_everyone()
                raise Stopped(f"{run}: stopped by a signal, saved at step {step}. Run the same command again to go on")
            if validating:
                validation.run(accelerator, training.ema, step, log)
    _finish(accelerator, run, model, optimizer)


class StopSignal:
    """Notes SIGINT and SIGTERM so that the loop can finish its step; a second request ends the process at once."""

    # Job managers signal the launcher and its processes, and the launcher passes its own signal on: one request.
    SAME_REQUEST = 5.0

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() - self._since > self.SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self.requested:
            self.requested, self._since = True, time.monotonic()


class Validation:
    """The contest's metric on whole frames, spread over the processes; keeps the best weights."""

    def __init__(self, experiment: Experiment, run: Path, pictures: Sequence[Source]) -> None:
        self.experiment = experiment
        self.run_folder = run
        self.pictures = pictures

    def run(self, accelerator: Accelerator, network: nn.Module, step: int, log: Log) -> None:
        """Measure `network`, keep it as best.safetensors when it is, and log the mean PSNR."""
        own = range(accelerator.process_index, len(self.pictures), accelerator.num_processes)
        mine = scores(network, self.pictures, self.experiment.metric, accelerator.device, own)
        mean = float(accelerator.reduce(mine, "sum").mean())
        path = self.run_folder / "best.safetensors"
        if accelerator.is_main_process and (not path.exists() or mean > _score(path)):
            score = weights.Score(value=mean, definition=self.experiment.metric.definition())
            content = weights.Weights(network.state_dict(), {}, _description(self.experiment, step, score))
            write_atomic(path, weights.encode(content))
        log.write(step, psnr=mean)
        accelerator.wait_for_everyone()


def _network(experiment: Experiment, accelerator: Accelerator) -> nn.Module:
    """The network as training begins with it: initialised from the seed, or from given weights."""
    torch.manual_seed(experiment.seed)
    network: nn.Module = experiment.model.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if experiment.pretrained:
        state = pretrained.state_for(experiment.pretrained, experiment.model)
        say(accelerator, weights.load_state(network, state, experiment.pretrained, experiment.pretrained_partial))
    if not any(True for _ in network.parameters()):
        raise UsageError(
            f"model.name: {experiment.model.name} has nothing to train. Choose another, or use it with infer"
        )
    return network


def _finish(accelerator: Accelerator, run: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if accelerator.is_main_process:
        best = weights.read(run / "best.safetensors").description
        score = f"best {best.score.value:.4f} dB at step {best.step} ({best.score.definition})" if best.score else ""
        say(accelerator, f"{run}: complete, {score}")
    # Freed before the processes part: two-process runs can otherwise hang at exit.
    accelerator.free_memory(model, optimizer)
    accelerator.end_training()


def _score(path: Path) -> float:
    score = weights.read(path).description.score
    return score.value if score else float("-inf")


def _description(experiment: Experiment, step: int, score: weights.Score | None = None) -> weights.Description:
    return weights.Description(model=experiment.model, step=step, score=score)


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _agree(accelerator: Accelerator, loss: Tensor, gradient: Tensor, stop: bool, step: int) -> bool:
    """Whether any process was asked to stop; raises NumericalError on all when a value is not finite on one."""
    broken = not (torch.isfinite(loss) and torch.isfinite(gradient))
    votes = accelerator.reduce(torch.tensor([broken, stop], dtype=torch.int32, device=accelerator.device), "sum")
    if votes[0]:
        raise NumericalError(
            f"step {step}: loss {loss.item():g}, gradient norm {gradient.item():g}. "
            "Lower optimizer.lr; the last saved state is good"
        )
    return bool(votes[1])


if __name__ == "__main__":
    run_command(main)
