"""Peak memory of a training step by high patch, batch and `recompute`: python train_memory.py.

Each cell is a process of its own: the growth of its resident memory over what it had when everything was imported.
The optimiser has its moments already, from a step on one tiny patch.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import torch
from measure import keep
from train_step import Choices, random_batch, step_of

from competition.memory import reuse_freed_memory
from competition.models.rrdbnet import RRDBNetConfig

COMMAND = "OMP_NUM_THREADS=1 python tests/benchmarks/train_memory.py"
PATCHES, BATCHES = (64, 128, 256, 512), (1, 4, 16)
# Largest number of low pixels in a batch: what takes minutes on a CPU is left out.
NETWORKS = {"32/4/16": 4 * 64**2, "64/23/32": 64**2}


def measure(network: str, high_patch: int, batch: int, recompute: bool) -> float:
    """GiB by which one step raises the peak of this process, which did nothing before but import."""
    idle, device = _resident("VmRSS"), torch.device("cpu")
    feat, block, grow = map(int, network.split("/"))
    model = RRDBNetConfig(num_feat=feat, num_block=block, num_grow_ch=grow)
    step = step_of(model, Choices(recompute=recompute), device)
    step(*random_batch(1, 8, device))
    step(*random_batch(batch, high_patch // 4, device))
    return _resident("VmHWM") - idle


def _resident(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith(key))


def cell(network: str, high_patch: int, batch: int) -> list[str]:
    """GiB without and with `recompute`, and what of the first is left; empty where it would take too long."""
    if batch * (high_patch // 4) ** 2 > NETWORKS[network]:
        return ["", "", ""]
    found = []
    for recompute in (False, True):
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
            found.append(process.submit(measure, network, high_patch, batch, recompute).result())
    print(network, high_patch, batch, found, flush=True)
    return [*(f"{gib:.2f}" for gib in found), f"{found[1] / found[0]:.0%}"]


def main() -> None:
    """Measure all cells and keep the table."""
    rows = [
        [str(high_patch), str(batch), *(text for network in NETWORKS for text in cell(network, high_patch, batch))]
        for high_patch, batch in product(PATCHES, BATCHES)
    ]
    path = keep(
        "train_memory",
        "Peak memory of a training step in float32, over the idle process [GiB]",
        COMMAND,
        ["high patch", "batch", *(f"{n}{what}" for n in NETWORKS for what in ("", ", `recompute`", ": share"))],
        rows,
        page="docs/training.md",
    )
    print(path.read_text())


if __name__ == "__main__":
    reuse_freed_memory()
    main()
