"""Fine-tune a network on paired patches: the same command starts a run, resumes it, or finds it complete."""

import copy
import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from competition import checkpoints, pretrained, weights
from competition.config import describe, differences, load
from competition.data.pairs import Pair, Pictures, find_pairs, fingerprint, load_pairs, split
from competition.data.patches import Patches, StepBatches
from competition.ensemble import enlarge
from competition.errors import ArgumentParser, BadCheckpoint, NumericalError, Stopped, UsageError, run_command
from competition.experiment import Experiment
from competition.files import write_atomic
from competition.images import quantize, to_tensor
from competition.optim import update_ema
from competition.progress import console, progress


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    keys = "\n".join(["configuration keys and defaults:", *describe(Experiment)])
    parser = ArgumentParser(prog="python -m competition.train", description=__doc__ or "", epilog=keys)
    parser.add_argument("config", type=Path, help="YAML file with what differs from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example optimizer.lr=5e-5")
    given = parser.parse_args(arguments)
    train(load(given.config, Experiment, given.overrides))


def train(experiment: Experiment) -> None:
    """Run an experiment to its last step, from scratch or from its newest training state.

    Raises Stopped after SIGINT or SIGTERM, with the state saved; NumericalError when a step is not finite.
    """
    stop = StopSignal()
    run = experiment.runs / experiment.name
    scale = experiment.model.scale
    train_pairs, held_out = split(
        find_pairs(experiment.data.root, scale), experiment.data.validation, experiment.data.root, experiment.seed
    )
    accelerator = Accelerator(mixed_precision=experiment.precision, log_with="tensorboard", project_dir=run)
    if experiment.batch % accelerator.num_processes:
        raise UsageError(f"batch: {experiment.batch} is not divisible by {accelerator.num_processes} processes. Change it")
    if accelerator.is_main_process:
        _record(run, experiment, train_pairs, held_out)
    accelerator.wait_for_everyone()

    torch.manual_seed(experiment.seed)
    network = experiment.model.build().to(memory_format=torch.channels_last)
    if experiment.pretrained:
        state = pretrained.state_for(experiment.pretrained, experiment.model)
        coverage = weights.load_state(network, state, experiment.pretrained, experiment.pretrained_partial)
        _say(accelerator, coverage)
    training = checkpoints.Training(network, copy.deepcopy(network), experiment.optimizer.build(network.parameters()))
    model, optimizer = accelerator.prepare(training.model, training.optimizer)
    training.ema.to(accelerator.device)
    step, skipped = checkpoints.load_newest(run / "checkpoints", training)
    for line in skipped:
        _say(accelerator, f"warning: {line}")
    log = Log(accelerator, run / "metrics.jsonl", step)
    if step == experiment.steps and log.validated(step):
        _say(accelerator, f"{run}: complete at step {step}, {_best(run)}")
        return accelerator.end_training()

    pictures = load_pairs(train_pairs, scale)
    validation = Validation(experiment, run, load_pairs(held_out, scale))
    patches = Patches(pictures, experiment.data.high_patch // scale, scale, experiment.seed)
    loader = DataLoader(
        patches,
        batch_sampler=StepBatches(
            step, experiment.steps, experiment.batch, accelerator.process_index, accelerator.num_processes
        ),
        num_workers=experiment.data.workers,
        worker_init_fn=_ignore_signals,
        pin_memory=accelerator.device.type == "cuda",
    )
    criterion = experiment.loss.build()
    _say(accelerator, f"{run}: step {step} of {experiment.steps}, {len(pictures)} pairs, {accelerator.device}")
    if step and _due(step, experiment.validate_every, experiment.steps) and not log.validated(step):
        validation.run(accelerator, training.ema, step, log)
    started, first = time.monotonic(), step
    with progress() as bar:
        task = bar.add_task(experiment.name, total=experiment.steps, completed=step)
        for low, high in loader:
            lr = experiment.optimizer.lr * experiment.schedule.factor(step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss = criterion(model(_to_float(low, accelerator)), _to_float(high, accelerator))
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
                log.write(step, lr=lr, loss=loss.item(), grad_norm=gradient.item(), steps_per_s=round(rate, 3))
            validating = _due(step, experiment.validate_every, experiment.steps)
            if validating or stopping or _due(step, experiment.save_every, experiment.steps):
                if accelerator.is_main_process:
                    checkpoints.save(run / "checkpoints", training, _description(experiment, step))
            if stopping:
                raise Stopped(f"{run}: stopped by a signal, saved at step {step}. Run the same command again to go on")
            if validating:
                validation.run(accelerator, training.ema, step, log)
    _say(accelerator, f"{run}: complete at step {step}, {_best(run)}")
    # Freed before the processes part: two-process runs can otherwise hang at exit.
    accelerator.free_memory()
    accelerator.end_training()


class StopSignal:
    """Notes SIGINT and SIGTERM so that the loop can finish its step; a second one ends the process at once."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


class Log:
    """metrics.jsonl, one object a line, and the trackers beside it; lines after the resumed step are dropped."""

    def __init__(self, accelerator: Accelerator, path: Path, step: int) -> None:
        self.accelerator = accelerator
        self.path = path
        lines = [line for line in read_log(path) if line["step"] <= step]
        self._validated = {line["step"] for line in lines if "psnr" in line}
        if accelerator.is_main_process:
            write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        accelerator.init_trackers("tensorboard")

    def write(self, step: int, **values: float) -> None:
        """Append one line; on the main process only."""
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        self.accelerator.log(values, step=step)
        if not console.is_terminal:
            _say(self.accelerator, f"step {step} " + " ".join(f"{key} {value:.5g}" for key, value in values.items()))

    def validated(self, step: int) -> bool:
        """Whether the run had validated at this step when it was resumed."""
        return step in self._validated


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a line that a crash cut short is passed over."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


class Validation:
    """The contest's metric on whole frames, spread over the processes; keeps the best weights."""

    def __init__(self, experiment: Experiment, run: Path, pictures: Sequence[Pictures]) -> None:
        self.experiment = experiment
        self.run_folder = run
        self.pictures = pictures

    def run(self, accelerator: Accelerator, network: nn.Module, step: int, log: Log) -> None:
        """Measure `network`, keep it as best.safetensors when it is, and log the mean PSNR."""
        network.eval()
        scores = torch.zeros(len(self.pictures), dtype=torch.float64, device=accelerator.device)
        for index in range(accelerator.process_index, len(self.pictures), accelerator.num_processes):
            _, low, high = self.pictures[index]
            prediction = enlarge(network, to_tensor(low).to(accelerator.device), self.experiment.model.scale)
            scores[index] = self.experiment.metric.psnr(quantize(prediction, 8), high)
        mean = float(accelerator.reduce(scores, "sum").mean())
        path = self.run_folder / "best.safetensors"
        if accelerator.is_main_process and (not path.exists() or mean > _score(path)):
            score = weights.Score(value=mean, definition=self.experiment.metric.definition())
            content = weights.Weights(network.state_dict(), {}, _description(self.experiment, step, score))
            write_atomic(path, weights.encode(content))
        log.write(step, psnr=mean)


def _score(path: Path) -> float:
    score = weights.read(path).description.score
    return score.value if score else float("-inf")


def _best(run: Path) -> str:
    description = weights.read(run / "best.safetensors").description
    assert description.score is not None
    return f"best {description.score.value:.4f} dB at step {description.step} ({description.score.definition})"


def _description(experiment: Experiment, step: int, score: weights.Score | None = None) -> weights.Description:
    return weights.Description(model=experiment.model, step=step, score=score)


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _to_float(pixels: Tensor, accelerator: Accelerator) -> Tensor:
    """uint8 (N, 3, H, W) to float32 in [0, 1] on the device: bytes travel, floats do not."""
    moved = pixels.to(accelerator.device, non_blocking=True, memory_format=torch.channels_last)
    return moved.float() / 255


def _agree(accelerator: Accelerator, loss: Tensor, gradient: Tensor, stop: bool, step: int) -> bool:
    """Whether any process was asked to stop; raises NumericalError on all when loss or gradient is not finite on one."""
    broken = not (torch.isfinite(loss) and torch.isfinite(gradient))
    votes = accelerator.reduce(torch.tensor([broken, stop], dtype=torch.int32, device=accelerator.device), "sum")
    if votes[0]:
        raise NumericalError(
            f"step {step}: loss {loss.item():g}, gradient norm {gradient.item():g}. "
            "Lower optimizer.lr; the last saved state is good"
        )
    return bool(votes[1])


def _ignore_signals(worker: int) -> None:
    # A Ctrl-C reaches the whole process group; the workers go on until the training process has saved and ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _say(accelerator: Accelerator, line: str) -> None:
    if accelerator.is_main_process:
        console.print(line)


def _record(run: Path, experiment: Experiment, train_pairs: Sequence[Pair], held_out: Sequence[Pair]) -> None:
    """Write experiment.json and validation.txt, or refuse a changed experiment under the same name."""
    path = run / "experiment.json"
    config = json.loads(experiment.model_dump_json(exclude={"runs"}))
    data = {"train": fingerprint(train_pairs), "validation": fingerprint(held_out)}
    if path.exists():
        try:
            recorded = json.loads(path.read_text())
            changes = differences(recorded["config"], config) + differences(recorded["data"], data, "pictures.")
        except (ValueError, KeyError, TypeError) as error:
            raise BadCheckpoint(f"{path}: cannot be read ({error}). Restore it or choose another name=…") from error
        if changes:
            raise BadCheckpoint(f"{path}: the run is another experiment ({'; '.join(changes)}). Choose another name=…")
        return
    packages = {name: version(name) for name in ("torch", "accelerate", "albumentations", "numpy", "opencv-python")}
    versions = {"python": platform.python_version(), **packages, "competition": version("competition")}
    record = {"config": config, "data": data, "commit": _commit(), "versions": versions}
    write_atomic(run / "validation.txt", "".join(f"{pair.name}\n" for pair in held_out).encode())
    write_atomic(path, json.dumps(record, indent=1).encode())


def _commit() -> str | None:
    """The git commit of this code, where it is a checkout."""
    command = ["git", "-C", os.path.dirname(__file__), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    run_command(main)
