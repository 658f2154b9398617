"""How often a low picture's making is told without the high one, on other photographs than the limits were set on."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from measure import keep

from competition.analysis.summary import MEASURES
from competition.data.blind import Look, Picture, look
from competition.data.degrade import Degradation, degrade
from competition.images import read_rgb

SETS = {"urban100": range(61, 71), "bsd100": range(81, 101), "set5": range(1, 6)}
KINDS = {
    "plain": Degradation(),
    "area": Degradation(resize="area"),
    "nearest": Degradation(resize="nearest"),
    "OpenCV linear": Degradation(resize="opencv_linear"),
    "OpenCV cubic": Degradation(resize="opencv_cubic"),
    "high blurred by 2": Degradation(blur=2),
    "high median 5": Degradation(median=5),
    "noise 2": Degradation(noise=2),
    "noise 8": Degradation(noise=8),
    "low blurred by 0.5": Degradation(low_blur=0.5),
    "low blurred by 0.8": Degradation(low_blur=0.8),
    "low blurred by 1.5": Degradation(low_blur=1.5),
    "nearest, low blurred by 1": Degradation(resize="nearest", low_blur=1),
    "low median 3": Degradation(low_median=3),
    "nearest, low median 3": Degradation(resize="nearest", low_median=3),
    "low median 5": Degradation(low_median=5),
    "JPEG 90": Degradation(jpeg=90),
    "JPEG 70": Degradation(jpeg=70),
    "JPEG 40": Degradation(jpeg=40),
    "low median 3, JPEG 90": Degradation(low_median=3, jpeg=90),
}
HEADS = ("made by", "pictures", "median filter", "blur", "JPEG", "its quality", "repeated pixels", "noise, median")


def row(name: str, truth: int | None, looks: list[Look]) -> list[str]:
    """How many of the pictures were said to be what."""
    right = str(sum(one.jpeg == truth for one in looks)) if truth else ""
    medians, blurs = sum(one.median for one in looks), sum(one.blurred for one in looks)
    coded, repeated = sum(one.jpeg is not None for one in looks), sum(one.repeat > 1 for one in looks)
    noise = f"{np.median([one.noise for one in looks]):.1f}"
    return [name, *map(str, (len(looks), medians, blurs, coded)), right, str(repeated), noise]


def rows(highs: Iterable[Picture]) -> list[list[str]]:
    """All kinds, each of all pictures; last the plain ones enlarged by nearest neighbour."""
    rng = np.random.default_rng(0)
    highs = [high[: high.shape[0] // 4 * 4, : high.shape[1] // 4 * 4] for high in highs]
    lows = {name: [degrade(high, way, rng) for high in highs] for name, way in KINDS.items()}
    found = [row(name, way.jpeg, list(map(look, lows[name]))) for name, way in KINDS.items()]
    doubled = [low.repeat(2, 0).repeat(2, 1) for low in lows["plain"]]
    return [*found, row("enlarged twice by nearest neighbour", None, list(map(look, doubled)))]


def main() -> None:
    """Make the pictures, look at them and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    given = os.environ.get("COMPETITION_SHARED_DATA", "../shared/data")
    parser.add_argument("photographs", type=Path, nargs="?", default=Path(given), help="folder with urban100, …")
    root = parser.parse_args().photographs
    cv2.setNumThreads(1)
    highs = [read_rgb(root / name / "hr" / f"{one:03d}.png") for name, numbers in SETS.items() for one in numbers]
    keep(
        "blind_look",
        "What is said of low pictures without their high ones, in pictures",
        "python tests/benchmarks/blind_look.py",
        HEADS,
        rows(highs),
        page="docs/data.md",
    )
    tests = {path.name: look(read_rgb(path)) for path in sorted((root / "competition/test/lr").glob("*.png"))}
    keep(
        "test_pictures",
        "What the contest's 18 test pictures show of their making",
        "python tests/benchmarks/blind_look.py",
        ["picture", "traces", *MEASURES],
        [[name, ", ".join(one.traces), *(f"{getattr(one, it):.3g}" for it in MEASURES)] for name, one in tests.items()],
        page="docs/test_pictures.md",
    )


if __name__ == "__main__":
    main()
