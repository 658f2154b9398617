"""Where the time of a step of competition.train goes, loader to log: python step_profile.py DATA.

The real loop with its real loader, its functions timed from outside, each without those it calls; medians over the
steps. `rest` is what the loop does between them. Gradients are clipped, and every step is logged, not every 100th.
"""

import contextlib
import functools
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from measure import keep

from competition import loops, processes, train
from competition.config import load
from competition.data.patches import Batch
from competition.experiment import Experiment
from competition.memory import reuse_freed_memory
from competition.runs import Log

COMMAND = "OMP_NUM_THREADS=1 python tests/benchmarks/step_profile.py data/demo"
BATCH, HIGH, WARM = 4, 192, 1
NETWORKS = {"32/4/16": 20, "64/23/32": 3}  # steps that are timed
PARTS = {
    "loader": [(loops, "loader")],
    "bytes to floats on the device": [(Batch, "floats")],
    "forward and loss": [(train, "_backward")],
    "backward": [(Accelerator, "backward")],
    "gradient norm, clipping, agreement": [
        (Accelerator, "unscale_gradients"),
        (torch.nn.utils, "get_total_norm"),
        (torch.nn.utils, "clip_grad_norm_"),
        (processes, "agree"),
    ],
    "optimiser": [(AcceleratedOptimizer, "step"), (AcceleratedOptimizer, "zero_grad")],
    "EMA": [(train, "update_ema")],
    "logging": [(Log, "write")],
}


class Clock:
    """Seconds by step and part; what runs inside another part counts only for itself."""

    def __init__(self) -> None:
        self.steps: list[defaultdict[str, float]] = [defaultdict(float)]
        self._inner = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - started
                self.steps[-1][part] += seconds - self._inner.pop()
                self._inner[-1] += seconds

        return run

    def batches(self, opened: Callable[..., Iterator[Any]], steps: int) -> Callable[..., Iterator[Any]]:
        """A loader whose `next` is timed and begins a step; it ends the run after WARM steps and so many more."""

        def loader(*arguments: Any, **options: Any) -> Iterator[Any]:
            with contextlib.closing(opened(*arguments, **options)) as batches:  # type: ignore[type-var]
                following = self.timed("loader", functools.partial(next, batches))
                for _ in range(WARM + steps):
                    started = time.perf_counter()
                    self.steps.append(defaultdict(float))
                    yield following()
                    self.steps[-1]["rest"] = time.perf_counter() - started - sum(self.steps[-1].values())
            raise Measured

        return loader


class Measured(Exception):
    """The run has served its purpose."""


def profile(data: Path, network: str, steps: int, folder: Path) -> dict[str, float]:
    """Seconds a step by part."""
    feat, block, grow = map(int, network.split("/"))
    settings = {
        "name": network.replace("/", "_"),
        "runs": str(folder),
        "data": {"root": str(data), "high_patch": HIGH},
        "model": {"name": "rrdbnet", "num_feat": feat, "num_block": block, "num_grow_ch": grow},
        "pretrained": None,
        "clip": {"name": "norm", "most": 1},
        "batch": BATCH,
        "log_every": 1,
    }
    path = folder / "profile.yaml"
    path.write_text(json.dumps(settings))
    clock = Clock()
    with contextlib.ExitStack() as patched:
        for part, functions in PARTS.items():
            for owner, name in functions:
                found = getattr(owner, name)
                stand_in = clock.batches(found, steps) if part == "loader" else clock.timed(part, found)
                patched.enter_context(mock.patch.object(owner, name, stand_in))
        patched.enter_context(contextlib.suppress(Measured))
        train.train(load(path, Experiment))
    return {part: statistics.median(step[part] for step in clock.steps[-steps:]) for part in [*PARTS, "rest"]}


def main(data: Path) -> None:
    """Profile both networks and keep the table."""
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        found = {network: profile(data, network, steps, Path(folder)) for network, steps in NETWORKS.items()}

    def cells(seconds: Callable[[dict[str, float]], float]) -> list[str]:
        parts = [(seconds(spent), sum(spent.values())) for spent in found.values()]
        return [cell for part, whole in parts for cell in (f"{part * 1e3:,.1f}", f"{part / whole:.2%}")]

    rows = [[part, *cells(lambda spent, part=part: spent[part])] for part in [*PARTS, "rest"]]
    around = ("loader", "EMA", "logging", "rest")
    rows.append(["loader, EMA, logging and rest", *cells(lambda spent: sum(spent[part] for part in around))])
    rows.append(["whole step", *cells(lambda spent: sum(spent.values()))])
    threads = f"threads: {torch.get_num_threads()}"
    path = keep(
        "step_profile",
        f"Where the time of a training step goes: {BATCH} patches of {HIGH}×{HIGH}, every step logged, {threads}",
        COMMAND,
        ["part", *(head for network in NETWORKS for head in (f"{network} [ms]", "share"))],
        rows,
        page="docs/training.md",
    )
    print(path.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
