"""Lay out the photographs of the shared data folder as a contest: python tests/shared_contest.py SHARED OUTPUT [KIND].

Training pairs are urban100 001-060, validation pairs 061-070; with KIND `quick` only 061-064; with KIND `all`,
bsd100 001-080 and 081-100 too; with KIND `various` also set5 as validation, and low pictures that are made anew in
various ways, a picture each; with KIND `x2` or `x3` as `quick`, with low pictures made by MATLAB's bicubic at that
scale. The test pictures are the 18 of the real contest. Pictures are linked where they are as they were.
"""

import sys
from pathlib import Path

import numpy as np

from competition.data.degrade import Degradation, degrade
from competition.images import read_rgb, write_png

QUICK = {"urban100": (64, 4)}
SETS = {"": {"urban100": (70, 10)}, "all": {"urban100": (70, 10), "bsd100": (100, 20)}}
SETS |= {"various": SETS["all"] | {"set5": (5, 5)}, "quick": QUICK, "x2": QUICK, "x3": QUICK}
# Sides of high pictures of several scales are multiples of this.
MULTIPLE = 12


def lay_out(shared: Path, output: Path, kind: str) -> None:
    """Link or make pairs 1..count of each set, the last `held` of which are validation: SETS[kind][name]."""
    low, high, test = (output / part for part in ("train/lr", "train/hr", "test/lr"))
    for folder in (low, high, test):
        folder.mkdir(parents=True, exist_ok=True)
    validation = []
    for name, (count, held) in SETS[kind].items():
        for number in range(1, count + 1):
            picture = f"{name}_{number:03d}.png"
            original = shared / name / "hr" / f"{number:03d}.png"
            if kind in ("x2", "x3"):
                _make(original, high / picture, low / picture, int(kind[1]))
            else:
                _link(high / picture, original)
                if kind == "various":
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


def _make(original: Path, high: Path, low: Path, scale: int) -> None:
    """The picture without what is over at its right and lower edge, and its low picture."""
    picture = read_rgb(original)
    height, width = (side - side % MULTIPLE for side in picture.shape[:2])
    write_png(high, picture[:height, :width])
    write_png(low, degrade(picture[:height, :width], Degradation(), np.random.default_rng(0), scale))


def _reduce(high: Path, low: Path, rng: np.random.Generator) -> None:
    """Make a low picture as the contest's test pictures seem made: 8 of 18 median, 5 blurred, 5 neither."""
    resize = rng.choice(["area", "matlab_bicubic", "opencv_linear"])
    step = rng.choice(["median", "blur", "neither"], p=[8 / 18, 5 / 18, 5 / 18])
    settings = {"median": {"low_median": 3}, "blur": {"low_blur": rng.uniform(0.7, 1.2)}, "neither": {}}[step]
    write_png(low, degrade(read_rgb(high), Degradation(resize=resize, **settings), rng))


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "")
