"""Train in a process of its own, which a crash or a lack of memory may end, and hear of its validations meanwhile."""

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

from competition import train
from competition.errors import run_command
from competition.files import make_folder
from competition.locks import locked
from competition.runs import read_log

# Seconds between looks into the log.
POLL = 0.2


class Ending(NamedTuple):
    """How a training ended: exit status (minus the number of a signal), error line, whether `report` cut it short."""

    status: int
    fault: str
    cut: bool


def supervise(command: Sequence[str], run: Path, report: Callable[[int, float], bool]) -> Ending:
    """`competition.train` with these arguments, in the run folder `run`; what it says goes to RUN/output.txt.

    `report(step, psnr)` hears of every finite validation, also of those before a resume, and returns True to cut the
    training short. When this process is asked to stop, or is killed, the training saves its state and ends.
    """
    make_folder(run)
    with locked(run, waiting=lambda holder: None):
        pass  # the training of a killed process may still be saving
    process = _server.Process(target=_child, args=(command, run / "output.txt"))
    process.start()
    try:
        cut = any(report(step, psnr) and process.is_alive() for step, psnr in _validations(process, run))
    finally:
        process.terminate()
        process.join()
    status = process.exitcode or 0
    return Ending(status, _fault(run / "output.txt", status) if status else "", cut)


def _validations(process: ForkServerProcess, run: Path) -> Iterator[tuple[int, float]]:
    """Step and PSNR of a run's validations as they come, until its process ends."""
    log, alive, size, known = run / "metrics.jsonl", True, 0, set[int]()
    while alive:
        process.join(POLL)
        alive = process.is_alive()  # before the log is read, so that its last lines are seen
        if not log.exists() or log.stat().st_size == size:
            continue
        size = log.stat().st_size
        for line in read_log(log):
            if line["step"] not in known and math.isfinite(line.get("psnr", math.nan)):
                known.add(line["step"])
                yield line["step"], line["psnr"]


def _fault(output: Path, status: int) -> str:
    """The line with which a process ended, or what ended it."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}. See the machine's log for a lack of memory"
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines() if output.exists() else []
    told = [line for line in lines if line.startswith("error: ")]
    return told[-1].removeprefix("error: ") if told else f"ended with status {status}. See {output}"


# Imports take seconds; processes forked from one that has made them begin at once.
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["competition.train", "torch._dynamo", "torch.utils.tensorboard"])


def _child(command: Sequence[str], output: Path) -> None:
    os.setsid()  # Ctrl-C in a terminal goes to the parent, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # of the loader's workers: as in a process of the command line
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["train", *command]
    run_command(train.main)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
