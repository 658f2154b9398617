"""The pixel store at the contest's size: python real_scale.py DEMO WORK.

200 pairs are made by many_pairs.py; contests of up to 1,640 pairs link to them under several names. Each is prepared
by the real command in a process of its own. Then, with the store standing, a new process does what training does
before its first step: once with the system's cache as it is, once with an empty one (needs root).
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from measure import keep

COUNTS = (205, 1640)
CONFIG = "name: scale\ndata: {{root: {root}, validation: 0.05, workers: 0}}\n"
START = """
import sys, time
from pathlib import Path
from accelerate import Accelerator
from competition.config import load
from competition import feed, train
from competition.data.patches import Share, loader
from competition.experiment import Experiment
experiment, accelerator = load(Path(sys.argv[1]), Experiment), Accelerator(cpu=True)
imported = time.monotonic()
feed.prepare_pairs(experiment)
contest = feed.open_contest(experiment)
next(iter(loader(feed.open_patches(experiment, contest.training, Share()), 0, 1, 0)))
print(imported, time.monotonic())
"""


def lay_out(pairs: Path, root: Path, count: int) -> None:
    """Link COUNT pairs to the given ones, in turn."""
    for side in ("lr", "hr"):
        (root / "train" / side).mkdir(parents=True, exist_ok=True)
        given = sorted((pairs / "train" / side).glob("*.png"))
        for number in range(count):
            link = root / "train" / side / f"{number:05d}.png"
            if not link.exists():
                link.symlink_to(given[number % len(given)].resolve())


def drop_caches() -> None:
    """Empty the system's cache."""
    subprocess.run("sync; echo 3 > /proc/sys/vm/drop_caches", shell=True, check=True)


def prepare(config: Path) -> tuple[float, float]:
    """Seconds and peak GiB of the real command, from an empty store and an empty cache."""
    shutil.rmtree(config.parent / "store", ignore_errors=True)
    drop_caches()
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "competition.prepare", str(config)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("prepare failed")
    return time.monotonic() - started, usage.ru_maxrss / 2**20


def start(config: Path) -> tuple[float, float]:
    """Seconds to the end of the imports, and from there to the first batch."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", START, str(config)], stdout=subprocess.PIPE, text=True, check=True)
    imported, first = map(float, done.stdout.split()[-2:])
    return imported - started, first - imported


def main(demo: Path, work: Path) -> None:
    """Measure every size and keep the table."""
    pairs = work / "contest"
    subprocess.run([sys.executable, Path(__file__).with_name("many_pairs.py"), demo, pairs, "200"], check=True)
    rows = []
    for count in COUNTS:
        root = work / f"pairs_{count}"
        lay_out(pairs, root, count)
        config = root / "scale.yaml"
        config.write_text(CONFIG.format(root=root))
        seconds, peak = prepare(config)
        size = sum(path.stat().st_size for path in (root / "store").rglob("*.safetensors"))
        start(config)
        (_, warm), (imports, _) = start(config), start(config)
        drop_caches()
        _, cold = start(config)
        figures = [f"{seconds:.0f}", f"{seconds / count:.3f}", f"{size / 1e9:.2f}", f"{peak:.2f}"]
        rows.append([f"{count:,}", *figures, f"{imports:.1f}", f"{warm:.2f}", f"{cold:.2f}"])
        print(rows[-1], flush=True)
        shutil.rmtree(root / "store")
    keep(
        "real_scale",
        "Pixel store of pairs of 512×512 and 2048×2048, from an empty cache",
        "python tests/benchmarks/real_scale.py data/demo /tmp/patch_speed",
        [
            "pairs",
            "prepare [s]",
            "a pair [s]",
            "store [GB]",
            "peak memory [GiB]",
            "start of Python and imports [s]",
            "then to the first batch [s]",
            "the same, empty cache [s]",
        ],
        rows,
        page="docs/data.md",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
