"""How networks trained at some scales enlarge by each: python scales_table.py [STUDY] [CONTEST].

Takes the best weights of every trial of configs/studies/scales.yaml and keeps a row of PSNR for each: luma, a border as
wide as the scale, low pictures made by MATLAB's bicubic from the validation pictures of CONTEST.
"""

import csv
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measure import keep

from competition.data.degrade import Degradation, degrade
from competition.data.pairs import read_names
from competition.ensemble import enlarge
from competition.images import Bytes, quantize, read_rgb, to_tensor
from competition.metrics import MetricConfig
from competition.networks import choose

SCALES = (2, 3, 4)
MULTIPLE = 12


def pictures(contest: Path) -> Iterator[Bytes]:
    """The validation pictures, cut to sides that every scale divides."""
    for name in sorted(read_names(contest / "validation.txt")):
        high = read_rgb(contest / "train/hr" / name)
        height, width = (side - side % MULTIPLE for side in high.shape[:2])
        yield high[:height, :width]


def score(source: str, scale: int, highs: list[Bytes]) -> float:
    """Mean PSNR in dB of a run's best weights, or of bicubic."""
    network, metric = choose(source, scale).network, MetricConfig(channel="y", border=scale)
    rng = np.random.default_rng(0)
    found = []
    for high in highs:
        low = to_tensor(degrade(high, Degradation(), rng, scale))
        found.append(metric.psnr(quantize(enlarge(network, low, scale), 8), high))
    return statistics.mean(found)


def main(study: Path, contest: Path) -> None:
    """Measure and keep the table."""
    highs = list(pictures(contest))
    trained = {name: study / f"{number:03d}" for number, name in enumerate(_names(study))}
    rows = [["bicubic", *(f"{score('bicubic', scale, highs):.3f}" for scale in SCALES)]]
    for name, run in trained.items():
        rows.append([f"×{name.replace(', ', ', ×')}", *(f"{score(str(run), scale, highs):.3f}" for scale in SCALES)])
    title = f"VDSR trained at some scales, enlarging by each: PSNR on luma, {len(highs)} pictures"
    columns = ["trained at", *(f"×{scale}" for scale in SCALES)]
    keep("study_scales", title, "python tests/benchmarks/scales_table.py", columns, rows, "docs/studies.md")


def _names(study: Path) -> list[str]:
    return [row["trained_at"] for row in csv.DictReader((study / "table.csv").open())]


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:]]
    main(*given, *[Path("runs/studies/scales"), Path("data/urban_quick")][len(given) :])
