"""The pixel store at the contest's size: python real_scale.py PAIRS WORK, with PAIRS from many_pairs.py.

1,640 pairs of 512x512 and 2048x2048 (the given ones under several names) are prepared by the real command in a process
of its own; then the time from the start of a process to its first batch is taken with the store standing, with the
system's cache as the preparation left it and with an empty one (needs root).
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import keep

COUNTS = (205, 410, 820, 1640)
CONFIG = "name: scale\ndata: {{root: {root}, workers: 0}}\n"
START = """
import time
from pathlib import Path
import torch, accelerate
from competition.config import load
from competition.experiment import Experiment
from competition import train
imported = time.time()
experiment = load(Path(sys.argv[1]), Experiment)
"""


def lay_out(pairs: Path, root: Path, count: int) -> None:
    """Link COUNT pairs to the given ones, in turn."""
    for side in ("lr", "hr"):
        folder = root / "train" / side
        folder.mkdir(parents=True, exist_ok=True)
        given = sorted((pairs / "train" / side).glob("*.png"))
        for number in range(count):
            link = folder / f"{number:05d}.png"
            if not link.exists():
                link.symlink_to(given[number % len(given)].resolve())


def drop_caches() -> None:
    """Empty the system's cache."""
    subprocess.run("sync; echo 3 > /proc/sys/vm/drop_caches", shell=True, check=True)
