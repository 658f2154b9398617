"""Make COUNT pairs of the contest's size from the demo's high pictures: python many_pairs.py DEMO OUTPUT COUNT.

Each is a demo picture rolled by an offset of its own, mirrored every other time, with noise of one level as cameras
have it, so that no two are alike and PNG does not shrink them to less than photographs.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from competition.images import read_rgb, write_png


def make(demo: Path, output: Path, number: int) -> None:
    """Write pair NUMBER: 2048x2048 and its area mean of 512x512."""
    highs = sorted((demo / "train/hr").glob("*.png"))
    generator = np.random.default_rng(number)
    high = np.roll(read_rgb(highs[number % len(highs)]), (number * 91, number * 37), (0, 1))[:, :: (-1) ** number]
    noisy = np.clip(high + generator.normal(0, 1, high.shape).round(), 0, 255).astype(np.uint8)
    low = cv2.resize(noisy, (512, 512), interpolation=cv2.INTER_AREA)
    write_png(output / "train/hr" / f"{number:04d}.png", noisy)
    write_png(output / "train/lr" / f"{number:04d}.png", np.asarray(low, np.uint8))


if __name__ == "__main__":
    demo, output, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    missing = [number for number in range(count) if not (output / "train/lr" / f"{number:04d}.png").exists()]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make, [demo] * len(missing), [output] * len(missing), missing))
