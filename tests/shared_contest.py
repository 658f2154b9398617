"""Lay out the photographs of the shared data folder as a contest: python tests/shared_contest.py SHARED OUTPUT [KIND].

Training pairs are urban100 001-060, validation pairs 061-070; with KIND `quick` only 061-064; with KIND `all`,
bsd100 001-080 and 081-100 too; with KIND `various` also set5 as validation, and low pictures that are made anew in
various ways, a picture each.
The test pictures are the 18 of the real contest. Pictures are linked, not copied.
"""

import sys
from pathlib import Path

import numpy as np

from competition.data.degrade import Degradation, degrade
from competition.images import read_rgb, write_png

SETS = {"": {"urban100": (70, 10)}, "quick": {"urban100": (64, 4)}, "all": {"urban100": (70, 10), "bsd100": (100, 20)}}
SETS["various"] = SETS["all"] | {"set5": (5, 5)}


def lay_out(shared: Path, output: Path, sets: dict[str, tuple[int, int]], various: bool = False) -> None:
    """Link pairs 1..count of each set, the last `held` of which are validation: sets[name] = (count, held)."""
    low, high, test = (output / part for part in ("train/lr", "train/hr", "test/lr"))
    for folder in (low, high, test):
        folder.mkdir(parents=True, exist_ok=True)
    validation = []
    for name, (count, held) in sets.items():
        for number in range(1, count + 1):
            picture = f"{name}_{number:03d}.png"
            _link(high / picture, shared / name / "hr" / f"{number:03d}.png")
            if various:
                _reduce(high / picture, low / picture, np.random.default_rng([len(name), number]))
            else:
                _link(low / picture, shared / name / "lr_bicubic_x4" / f"{number:03d}.png")
            validation += [picture] * (number > count - held)
    for path in sorted((shared / "competition/test/lr").glob("*.png")):
        _link(test / path.name, path)
    (output / "validation.txt").write_text("".join(f"{name}\n" for name in validation))


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve())


def _reduce(high: Path, low: Path, rng: np.random.Generator) -> None:
    """Make a low picture as the contest's test pictures seem made: 8 of 18 median, 5 blurred, 5 neither."""
    resize = rng.choice(["area", "matlab_bicubic", "opencv_linear"])
    step = rng.choice(["median", "blur", "neither"], p=[8 / 18, 5 / 18, 5 / 18])
    settings = {"median": {"low_median": 3}, "blur": {"low_blur": rng.uniform(0.7, 1.2)}, "neither": {}}[step]
    write_png(low, degrade(read_rgb(high), Degradation(resize=resize, **settings), rng))


if __name__ == "__main__":
    kind = sys.argv[3] if len(sys.argv) > 3 else ""
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), SETS[kind], various=kind == "various")
