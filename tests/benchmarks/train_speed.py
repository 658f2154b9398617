"""Seconds a training step takes, data loading included, BasicSR's and ours: python train_speed.py DEMO WORK.

One run, the same network and pictures, methods in turns over ROUNDS rounds. Each method is a process of its own, which
rests while another one is timed, and takes some steps before its time is taken, so that nothing comes from a queue that
was filled meanwhile. BasicSR: SRModel with its dataset, its loader with two workers and its prefetcher, from PNGs,
sub-images and LMDB. Ours: the loop of competition.train as it is, which a gate in its loader starts and stops. A time
during which other programs took more than FOREIGN of the machine is thrown away and taken again. What the contenders
print goes to WORK/train_speed.log.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from measure import keep

NETWORK = {"num_feat": 32, "num_block": 4, "num_grow_ch": 16}
BATCH, HIGH, SCALE, LR, BETAS, EMA = 4, 192, 4, 2e-4, (0.9, 0.99), 0.999
ROUNDS, FOREIGN, PATIENCE = 5, 0.06, 1200.0
COMMAND = "python tests/benchmarks/train_speed.py data/demo /tmp/patch_speed"
Step = Callable[[], None]


class Method(NamedTuple):
    """How a contender is started, steps before its time is taken, and steps of which it is taken."""

    arguments: tuple[str, ...]
    warm: int
    timed: int


METHODS = {
    "BasicSR, PNG": Method(("basicsr", "contest/train", "disk"), 6, 8),
    "BasicSR, sub-images, PNG": Method(("basicsr", "sub", "disk"), 6, 8),
    "BasicSR, sub-images, LMDB": Method(("basicsr", "sub", "lmdb"), 6, 8),
    "ours, float32": Method(("ours", "no", "0"), 4, 10),
    "ours, float32, 2 workers": Method(("ours", "no", "2"), 4, 10),
    "ours, bf16": Method(("ours", "bf16", "0"), 0, 1),  # a step takes many seconds where the CPU has no bf16 units
}


# ---- the contenders, each in its process -----------------------------------------------------------------------------


def gates(out: Any) -> Iterator[None]:
    """Let a step pass each time it is asked; between orders from standard input, tell how long the last steps took."""
    for line in sys.stdin:
        warm, timed = map(int, line.split())
        started = 0.0
        for step in range(warm + timed):
            if step == warm:
                started = time.perf_counter()
            yield
        out.write(f"{(time.perf_counter() - started) / timed}\n")
        out.flush()


def basicsr(root: Path, backend: str, gate: Iterator[None]) -> None:
    """BasicSR's training loop without its logging, as its training options set it up."""
    import competition.compat  # noqa: F401  isort: skip  (before basicsr)
    import torch
    from basicsr.data import build_dataloader
    from basicsr.data.data_sampler import EnlargedSampler
    from basicsr.data.paired_image_dataset import PairedImageDataset
    from basicsr.data.prefetch_dataloader import CPUPrefetcher
    from basicsr_model import sr_model

    from competition.models.rrdbnet import RRDBNetConfig

    random.seed(0)
    torch.manual_seed(0)
    suffix = ".lmdb" if backend == "lmdb" else ""
    options = {
        "dataroot_gt": str(root / f"hr{suffix}"),
        "dataroot_lq": str(root / f"lr{suffix}"),
        "io_backend": {"type": backend},
        "gt_size": HIGH,
        "scale": SCALE,
        "use_hflip": True,
        "use_rot": True,
        "phase": "train",
        "num_worker_per_gpu": 2,
        "batch_size_per_gpu": BATCH,
    }
    dataset = PairedImageDataset(options)
    sampler = EnlargedSampler(dataset, 1, 0, 1000)
    batches = CPUPrefetcher(build_dataloader(dataset, options, num_gpu=0, sampler=sampler, seed=0))
    model = sr_model(RRDBNetConfig(**NETWORK), LR, BETAS, EMA)
    for step, _ in enumerate(gate, 1):
        model.update_learning_rate(step)
        model.feed_data(batches.next())
        model.optimize_parameters(step)


def ours(contest: Path, precision: str, workers: int, gate: Iterator[None]) -> None:
    """competition.train, each step of which waits for the gate."""
    from competition import loops, train
    from competition.config import load
    from competition.experiment import Experiment
    from competition.memory import reuse_freed_memory

    opened = loops.loader

    def gated(*arguments: Any, **options: Any) -> Iterator[Any]:
        batches = opened(*arguments, **options)
        for _ in gate:
            yield next(batches)

    loops.loader = gated  # type: ignore[assignment]
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.yaml"
        settings = {
            "name": "speed",
            "runs": folder,
            "data": {"root": str(contest), "high_patch": HIGH, "workers": workers},
            "model": {"name": "rrdbnet", **NETWORK},
            "pretrained": None,
            "optimizer": {"lr": LR, "betas": BETAS},
            "ema": EMA,
            "batch": BATCH,
            "precision": precision,
        }
        path.write_text(json.dumps(settings))
        train.train(load(path, Experiment))


def contend(kind: str, *arguments: str) -> None:
    """Be a contender, until standard input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print shall not be taken for times
    if kind == "basicsr":
        root, backend = arguments
        basicsr(Path(root), backend, gates(out))
    else:
        contest, precision, workers = arguments
        ours(Path(contest), precision, int(workers), gates(out))


# ---- the race --------------------------------------------------------------------------------------------------------


class Contender:
    """A method's process."""

    def __init__(self, work: Path, method: Method) -> None:
        kind, *rest = method.arguments
        arguments = [str(work / rest[0]), rest[1]] if kind == "basicsr" else [str(work / "contest"), *rest]
        self.method = method
        command = [sys.executable, __file__, "--contender", kind, *arguments]
        with open(work / "train_speed.log", "a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def time(self) -> float:
        """Seconds a step."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{self.method.warm} {self.method.timed}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.method.arguments)}: ended. See train_speed.log")
        return float(line)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()


def undisturbed(contender: Contender, deadline: float) -> float:
    """A time that other programs left alone; the least disturbed one once the deadline is over."""
    tries: list[tuple[float, float]] = []
    while True:
        before, started, own = _busy(), time.perf_counter(), _own_cpu()
        seconds = contender.time()
        spent = (time.perf_counter() - started) * os.cpu_count()  # type: ignore[operator]
        foreign = (_busy() - before - (_own_cpu() - own)) / spent
        tries.append((foreign, seconds))
        if foreign <= FOREIGN or time.monotonic() > deadline:
            foreign, seconds = min(tries)
            print(f"{' '.join(contender.method.arguments)}: {seconds:.3f} s, others {foreign:.0%}", flush=True)
            return seconds
        time.sleep(5)


def _busy() -> float:
    """CPU seconds of all programs since the machine started."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def _own_cpu() -> float:
    """CPU seconds of this process and of all it started."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


def main(demo: Path, work: Path) -> None:
    """Make the pictures that are missing, measure and keep the table."""
    from patch_speed import make_pictures

    make_pictures(demo, work)
    contenders: dict[str, Contender] = {}
    for name, method in METHODS.items():  # one after the other: each of ours locks the store while it looks it through
        contenders[name] = Contender(work, method)
        contenders[name].time()  # fills the system's cache
    deadline = time.monotonic() + PATIENCE
    times: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            times[name].append(undisturbed(contender, deadline))
            time.sleep(3)  # until the workers have filled their queues and rest
    for contender in contenders.values():
        contender.close()
    report(times)


def report(times: dict[str, list[float]]) -> None:
    """Keep medians, and medians of the ratios within a round."""

    def ratio(theirs: str, own: str) -> str:
        return f"{statistics.median(a / b for a, b in zip(times[theirs], times[own], strict=True)):.2f}×"

    rows = [
        [
            name,
            f"{statistics.median(seconds):.3f}",
            f"{min(seconds):.3f}–{max(seconds):.3f}",
            *(ratio(name, own) if name.startswith("BasicSR") else "" for own in ("ours, float32", "ours, bf16")),
        ]
        for name, seconds in times.items()
    ]
    network = "/".join(map(str, NETWORK.values()))
    found = re.search(r"^flags.* (avx512_bf16|amx_bf16)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    units = "with" if found else "without"
    path = keep(
        "train_speed",
        f"Training steps with their data: RRDBNet {network}, {BATCH} patches of {HIGH}×{HIGH}, "
        f"CPU {units} bf16 units (median of {ROUNDS})",
        COMMAND,
        ["method", "seconds a step", "from – to", "over ours in float32", "over ours in bf16"],
        rows,
        page="docs/training.md",
    )
    print(path.read_text())


if __name__ == "__main__":
    if sys.argv[1] == "--contender":
        contend(*sys.argv[2:])
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
