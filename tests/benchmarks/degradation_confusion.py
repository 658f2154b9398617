"""How often the degradation of a pair is named right: 200 pairs of photographs, others than the limits were set on."""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from measure import ROOT, keep

from competition.data.degrade import Degradation, degrade
from competition.data.estimate import Estimate, estimate
from competition.images import read_rgb

PAIRS = 200
SIDE = 512  # of the high crops, or the picture's own side where it is smaller
SETS = {"urban100": range(61, 71), "bsd100": range(81, 101), "set5": range(1, 6)}

Draw = Callable[[np.random.Generator], Degradation]


def quality(rng: np.random.Generator) -> int:
    return int(rng.integers(30, 96))


KINDS: tuple[Draw, ...] = (
    lambda rng: Degradation(),
    lambda rng: Degradation(resize="opencv_cubic"),
    lambda rng: Degradation(resize="opencv_linear"),
    lambda rng: Degradation(resize="opencv_lanczos4"),
    lambda rng: Degradation(resize="area"),
    lambda rng: Degradation(resize="nearest"),
    lambda rng: Degradation(resize="nearest_exact"),
    lambda rng: Degradation(resize="pil_bilinear"),
    lambda rng: Degradation(resize="pil_lanczos"),
    lambda rng: Degradation(blur=rng.uniform(0.6, 3.0)),
    lambda rng: Degradation(resize="area", median=(3, 5, 7)[rng.integers(3)]),
    lambda rng: Degradation(noise=rng.uniform(1.5, 15.0)),
    lambda rng: Degradation(jpeg=quality(rng)),
    lambda rng: Degradation(resize="area", jpeg=quality(rng)),
    lambda rng: Degradation(resize="nearest_exact", jpeg=quality(rng)),
    lambda rng: Degradation(resize="opencv_cubic", noise=rng.uniform(1.5, 10.0)),
    lambda rng: Degradation(blur=rng.uniform(0.8, 2.5), noise=rng.uniform(1.5, 10.0)),
    lambda rng: Degradation(blur=rng.uniform(0.8, 2.5), jpeg=quality(rng)),
    lambda rng: Degradation(resize="area", median=3, noise=rng.uniform(1.5, 8.0)),
    lambda rng: Degradation(noise=rng.uniform(3.0, 10.0), jpeg=quality(rng)),
)


def main() -> None:
    """Make the pairs, estimate them and keep the confusion table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("COMPETITION_SHARED_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("photographs", type=Path, nargs="?", default=default, help="folder with urban100, bsd100, set5")
    photographs = parser.parse_args().photographs
    cv2.setNumThreads(1)
    rng = np.random.default_rng(2026)
    paths = [photographs / label / "hr" / f"{number:03d}.png" for label, numbers in SETS.items() for number in numbers]
    outcomes: list[tuple[Degradation, Estimate]] = []
    seconds = 0.0
    for make in KINDS:
        for path in rng.choice(np.array(paths), PAIRS // len(KINDS), replace=False):
            truth, high = make(rng), crop(read_rgb(path), rng)
            low = degrade(high, truth, rng)
            begin = time.process_time()
            outcomes.append((truth, estimate(low, high)))
            seconds += time.process_time() - begin
    print(f"{seconds / PAIRS:.2f} s of processor time a pair")
    report(outcomes)


def crop(high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random part of a picture, its sides multiples of 4."""
    sides = [min(SIDE, side // 4 * 4) for side in high.shape[:2]]
    y, x = (rng.integers(whole - side + 1) for whole, side in zip(high.shape[:2], sides, strict=True))
    return np.ascontiguousarray(high[y : y + sides[0], x : x + sides[1]])


def report(outcomes: list[tuple[Degradation, Estimate]]) -> None:
    """Keep a row for each true kind: what it was named, and how far off the strengths are where it was named right."""
    rows = []
    for kind in dict.fromkeys(truth.kind for truth, _ in outcomes):
        of_kind = [(truth, found) for truth, found in outcomes if truth.kind == kind]
        named = Counter(found.kind for _, found in of_kind)
        wrong = ", ".join(f"{name} {count}" for name, count in named.items() if name != kind)
        right = [(truth, found.degradation) for truth, found in of_kind if found.kind == kind]
        rows.append([kind, str(len(of_kind)), str(named[kind]), wrong, *(error(right, step) for step in STRENGTHS)])
    total = sum(truth.kind == found.kind for truth, found in outcomes)
    everything = [(truth, found.degradation) for truth, found in outcomes if truth.kind == found.kind]
    errors = [error(everything, step) for step in STRENGTHS]
    rows.append(["all", str(len(outcomes)), str(total), "", *errors])
    path = keep(
        "degradation_confusion",
        "Degradation named from a pair: crops of Urban100 061–070, BSD100 081–100 and Set5",
        "python tests/benchmarks/degradation_confusion.py",
        ["made as", "pairs", "named right", "named otherwise", *(f"largest error of {step}" for step in STRENGTHS)],
        rows,
    )
    print(path.read_text())


STRENGTHS = ("median", "blur", "noise", "jpeg")


def error(pairs: list[tuple[Degradation, Degradation]], step: str) -> str:
    """The largest error of a strength, or nothing where no pair has it."""
    errors = [abs(getattr(truth, step) - getattr(found, step)) for truth, found in pairs if getattr(truth, step)]
    return f"{max(errors):.2g}" if errors else ""


if __name__ == "__main__":
    main()
