"""A real training run of seconds on four drawn pairs: for tests that stop, kill and damage it, and for the soak."""

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from drawn import draw_contest

from competition import train, train_gan
from competition.errors import run_command
from competition.files import sha256
from competition.runs import read_log

NETWORK = "model: {name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}"
# With an adversary, for `fork(…, trainer="train_gan")`.
ADVERSARIAL = """model: {name: pix2pix, width: 4, depth: 3}
gan: {discriminator: {width: 4}}
loss: {name: l1}"""


def write_config(
    folder: Path, steps: int, validate_every: int, save_every: int, workers: int = 0, network: str = NETWORK
) -> Path:
    """A YAML of a tiny network on drawn pairs, its runs in FOLDER/runs."""
    contest = draw_contest(folder / "contest", scale=1 if network == ADVERSARIAL else 4)
    path = folder / "tiny.yaml"
    path.write_text(
        f"""
name: tiny
runs: {folder / "runs"}
data: {{root: {contest}, validation: 0.25, high_patch: 32, workers: {workers}}}
{network}
pretrained: null
optimizer: {{lr: 1e-3}}
schedule: {{name: multistep, milestones: [4, 8]}}
steps: {steps}
batch: 4
validate_every: {validate_every}
save_every: {save_every}
log_every: 1
"""
    )
    return path


class Training:
    """The processes of a run, each with its workers in a process group of its own, and what they have said so far."""

    def __init__(self, processes: list[ForkServerProcess], output: Path) -> None:
        self.processes = processes
        self.output = output

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes, by rank."""
        return [process.pid for process in self.processes if process.pid]

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def runs(self) -> bool:
        """Whether one of them has not ended."""
        return any(process.is_alive() for process in self.processes)

    def signal(self, number: int) -> None:
        """Send a signal to them all and to their workers."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:  # too young to have made its group
                    os.kill(pid, number)

    def stop(self) -> None:
        """Hold them all where they are."""
        self.signal(signal.SIGSTOP)
        for process in self.processes:
            state = Path(f"/proc/{process.pid}/stat")
            with contextlib.suppress(OSError):
                while process.is_alive() and state.read_text().rpartition(")")[2].split()[0] not in "TZ":
                    time.sleep(0.0001)

    def go_on(self) -> None:
        """Let them run again."""
        self.signal(signal.SIGCONT)

    def kill(self) -> str:
        """End them without a word; returns what was said before."""
        self.signal(signal.SIGKILL)
        for process in self.processes:
            process.join(60)
        return self.output.read_text()

    def wait(self) -> tuple[list[int | None], str]:
        """Wait for the end; the exit statuses (None where one does not come) and what was said."""
        for process in self.processes:
            process.join(120)
        statuses = [process.exitcode for process in self.processes]
        return statuses, self.kill()


def fork(*arguments: str, output: Path, processes: int = 1, trainer: str = "train") -> Training:
    """`competition.train` (or another one) with these arguments, without the seconds that imports take."""
    return fork_each(_train, (trainer, *arguments), output, processes)


def fork_each(act: Callable[..., object], arguments: tuple[object, ...], output: Path, count: int) -> Training:
    """`act` in copies of a process that has made its imports and done nothing else.

    Several learn their rank from the variables of torchrun.
    """
    output.write_bytes(b"")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = {"MASTER_ADDR": "localhost", "MASTER_PORT": free.getsockname()[1]}
    processes = []
    for rank in range(count):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        told = {key: str(value) for key, value in (ranks | place).items()} if count > 1 else {}
        processes.append(_server.Process(target=_child, args=(act, arguments, output, told)))
        processes[-1].start()
    return Training(processes, output)


_server = multiprocessing.get_context("forkserver")
_imports = ["competition.train", "competition.train_gan", "competition.submit"]
_server.set_forkserver_preload([*_imports, "torch._dynamo", "torch.utils.tensorboard", "PIL.Image"])


def _child(act: Callable[..., object], arguments: tuple[object, ...], output: Path, told: dict[str, str]) -> None:
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # of the loader's workers: as in a process of the command line
    os.environ |= told | {"CUDA_VISIBLE_DEVICES": ""}
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    act(*arguments)


def _end_with_parent() -> None:
    """A test that is ended by force leaves no training behind."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.killpg(0, signal.SIGKILL)


def _train(trainer: str, *arguments: str) -> None:
    sys.argv = [trainer, *arguments]
    run_command({"train": train.main, "train_gan": train_gan.main}[trainer])


def outcome(run: Path) -> dict[str, str]:
    """What a finished run is judged by: hashes of its last state and best weights, and its log without the speed."""
    state = max((run / "checkpoints").glob("step_*"))
    files = [*state.glob("*.safetensors"), run / "best.safetensors"]
    log = read_log(run / "metrics.jsonl")
    for line in log:
        for speed in ("steps_per_s", "samples_per_s", "eta_s"):
            line.pop(speed, None)
    return {path.name: sha256(path) for path in files} | {"step": state.name, "log": json.dumps(log)}
