"""The processes of one run: how Accelerate starts them, what they agree on, and what the loss of one looks like."""

import contextlib
import importlib.util
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from types import FrameType
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor

from competition.errors import LostPeer, UsageError
from competition.experiment import Experiment

# What gloo, NCCL and the store of torch.distributed say when another process has gone or does not answer.
_LOST = re.compile(r"connection (closed|reset|refused)|broken pipe|timed out|gloo|nccl|socket", re.IGNORECASE)


def count() -> int:
    """How many processes the launcher has started for this run."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Number of this process among them; 0 writes what a run leaves."""
    return int(os.environ.get("RANK", 0))


def start(experiment: Experiment) -> Accelerator:
    """Accelerate as an experiment wants it; raises UsageError for what cannot work here."""
    # Said explicitly: on a machine without GPU, Accelerate would otherwise take several processes for several runs.
    cpu = not torch.cuda.is_available()
    if cpu and experiment.precision == "fp16":
        raise UsageError("precision: fp16 needs a GPU. Use bf16 or no")
    for name in experiment.trackers:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"trackers: {name} is not installed. Install it or leave it out")
    torch.backends.cudnn.deterministic = True  # a resumed run shall end with the bits of an uninterrupted one
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = experiment.tf32
    return Accelerator(
        cpu=cpu,
        mixed_precision=experiment.precision,
        dynamo_backend="inductor" if experiment.compile else "no",
        log_with=list(experiment.trackers),
        project_dir=experiment.runs / experiment.name,
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=experiment.timeout)),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ],
    )


class Agreement(NamedTuple):
    """What all processes know after a step's gradients: whether all values are finite, whether any shall stop."""

    finite: bool
    stop: bool


def agree(accelerator: Accelerator, values: Tensor, stop: bool) -> Agreement:
    """Whether `values` are finite on all processes, and whether any was asked to stop."""
    votes = torch.stack([(~torch.isfinite(values)).any(), torch.tensor(stop, device=values.device)])
    broken, stopping = accelerator.reduce(votes.to(torch.int32), "sum").tolist()
    return Agreement(not broken, bool(stopping))


@contextlib.contextmanager
def lost_peers(run: Any, timeout: int) -> Iterator[None]:
    """Tell the end of another process, or its silence of more than `timeout` seconds, as LostPeer."""
    try:
        yield
    except RuntimeError as error:
        if count() == 1 or not _LOST.search(str(error)):
            raise
        words = re.sub(r"^\[.*?\] *", "", str(error)).split(". ")[0].splitlines()[0]  # gloo begins with its source file
        cause = f"another process has ended or been silent for {timeout} s ({words})"
        raise LostPeer(f"{run}: {cause}. Run the same command again to go on from the last state") from error


class StopSignal:
    """Notes SIGINT, SIGTERM and SIGHUP so that the loop can finish its step; a second request ends the process."""

    # Job managers signal the launcher and its processes, and the launcher passes its own signal on: one request.
    SAME_REQUEST = 5.0

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() - self._since > self.SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self.requested:
            self.requested, self._since = True, time.monotonic()
