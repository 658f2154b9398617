"""What pretrained weights, width and the loss bring at equal steps: python deck_comparison.py [--seeds 0 1 2].

Runs configs/comparison.yaml once for each way and seed, two processes at a time with a thread each, and keeps the table
of what validation found. Runs that are complete are not repeated, so it may be stopped and started again.
"""

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from measure import ROOT, keep

from competition.config import load
from competition.data.pairs import read_names
from competition.ensemble import bicubic
from competition.experiment import Experiment
from competition.images import read_rgb
from competition.runs import read_log

CONFIG = ROOT / "configs" / "comparison.yaml"
L1_FIRST = ("loss={name: l1}", "stages=[{from_step: 400, loss: {name: mse}}]")
WAYS: dict[str, tuple[str, ...]] = {
    "from scratch, MSE": (),
    "from scratch, L1, then MSE": L1_FIRST,
    "width × 1.5, from scratch, MSE": ("model.num_feat=48", "model.num_grow_ch=24"),
    "from mini_x4, MSE": ("pretrained=mini_x4",),
    "from mini_x4, L1, then MSE": ("pretrained=mini_x4", *L1_FIRST),
}


def score(way: str, seed: int) -> float:
    """Train where that has not been done, and return the validation PSNR in dB after the last step."""
    name = f"comparison_{list(WAYS).index(way)}_{seed}"
    command = [sys.executable, "-m", "competition.train", str(CONFIG), f"name={name}", f"seed={seed}", *WAYS[way]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    psnr: float = [line["psnr"] for line in read_log(ROOT / "runs" / name / "metrics.jsonl") if "psnr" in line][-1]
    print(f"{way}, seed {seed}: {psnr:.3f} dB", flush=True)
    return psnr


def reference(experiment: Experiment, root: Path) -> float:
    """Bicubic's PSNR in dB on the validation pictures."""
    pictures = sorted(read_names(root / str(experiment.data.validation)))
    return statistics.mean(
        experiment.metric.psnr(bicubic(read_rgb(root / "train/lr" / name), 4), read_rgb(root / "train/hr" / name))
        for name in pictures
    )


def main() -> None:
    """Measure and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    experiment = load(CONFIG, Experiment)
    plain = reference(experiment, ROOT / experiment.data.root)
    tasks = [(way, seed) for seed, way in product(seeds, WAYS)]
    with ThreadPoolExecutor(2) as pool:
        scores = dict(zip(tasks, pool.map(lambda task: score(*task), tasks), strict=True))
    first, *_ = WAYS
    rows = [["bicubic", f"{plain:.3f}", "", "", ""]]
    for way in WAYS:
        found = [scores[way, seed] for seed in seeds]
        gains = [scores[way, seed] - scores[first, seed] for seed in seeds]
        rows.append(
            [
                way,
                f"{statistics.mean(found):.3f}",
                f"{min(found):.3f} – {max(found):.3f}",
                f"{statistics.mean(found) - plain:+.3f}",
                "" if way == first else f"{statistics.mean(gains):+.3f} ({min(gains):+.3f} – {max(gains):+.3f})",
            ]
        )
    title = (
        f"{experiment.steps} steps on 140 photographs, low pictures made in various ways: mean of {len(seeds)} seeds "
        "on 35 photographs kept apart"
    )
    columns = ["start and loss", "PSNR [dB]", "from – to", "over bicubic [dB]", "over from scratch, same seed [dB]"]
    keep("deck_comparison", title, "python tests/benchmarks/deck_comparison.py", columns, rows, "docs/training.md")


if __name__ == "__main__":
    main()
