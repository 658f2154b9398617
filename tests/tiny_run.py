"""A real training run of seconds on four drawn pairs: for tests that stop, kill and damage it, and for the soak."""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from drawn import draw_contest

from competition.errors import run_command
from competition.files import sha256
from competition.runs import read_log
from competition.train import main

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def write_config(folder: Path, steps: int, validate_every: int, save_every: int, workers: int = 0) -> Path:
    """A YAML of a tiny network on drawn pairs, its runs in FOLDER/runs."""
    path = folder / "tiny.yaml"
    path.write_text(
        f"""
name: tiny
runs: {folder / "runs"}
data: {{root: {draw_contest(folder / "contest")}, validation: 0.25, high_patch: 32, workers: {workers}}}
model: {{name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}
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


def start(*arguments: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.Popen[str]:
    """`competition.train` with these arguments in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *launcher, "competition.train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class Training:
    """A forked training process, in a process group of its own, and what it has said so far."""

    def __init__(self, process: ForkServerProcess, output: Path) -> None:
        assert process.pid
        self.process, self.pid = process, process.pid
        self.output = output

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.is_alive()

    def stop(self) -> None:
        """Hold all its processes where they are."""
        self._signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        with contextlib.suppress(OSError):
            while self.runs() and state.read_text().rpartition(")")[2].split()[0] not in "TZ":
                time.sleep(0.0001)

    def go_on(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def kill(self) -> str:
        """End them without a word; returns what was said before."""
        self._signal(signal.SIGKILL)
        self.process.join(60)
        return self.output.read_text()

    def wait(self) -> tuple[int | None, str]:
        """Wait for the end; the exit status (None where it does not come) and what was said."""
        self.process.join(120)
        status = self.process.exitcode
        return status, self.kill()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def fork(*arguments: str, output: Path) -> Training:
    """The same without the seconds that imports take: a copy of a process that has made them and done nothing else."""
    process = _server.Process(target=_train, args=(arguments, output))
    process.start()
    return Training(process, output)


_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tiny_run"])


def _train(arguments: tuple[str, ...], output: Path) -> None:
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.setsid()
    torch.set_num_threads(1)
    sys.argv = ["train", *arguments]
    run_command(main)


def outcome(run: Path) -> dict[str, str]:
    """What a finished run is judged by: hashes of its last state and best weights, and its log without the speed."""
    state = max((run / "checkpoints").glob("step_*"))
    files = [state / "model.safetensors", state / "optim.safetensors", run / "best.safetensors"]
    log = read_log(run / "metrics.jsonl")
    for line in log:
        for speed in ("steps_per_s", "samples_per_s", "eta_s"):
            line.pop(speed, None)
    return {path.name: sha256(path) for path in files} | {"step": state.name, "log": json.dumps(log)}
