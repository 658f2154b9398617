"""What each precision costs on photographs: python precision.py WEIGHTS LOWS HIGHS, the middle of three pictures."""

import sys
from pathlib import Path

from measure import keep

from competition.images import read_rgb
from competition.networks import choose
from competition.parity import Subject, compare

NAMES = ("061.png", "065.png", "068.png")
SIDE = 64


def main(source: str, lows: Path, highs: Path) -> None:
    """Compare, and keep the table."""
    network, description, _ = choose(source)
    scale, subjects = description.model.scale, []
    for name in NAMES:
        low, high = read_rgb(lows / name), read_rgb(highs / name)
        top, left = ((length - SIDE) // 2 for length in low.shape[:2])
        inside = tuple(slice(start * scale, (start + SIDE) * scale) for start in (top, left))
        subjects.append(Subject(low[top : top + SIDE, left : left + SIDE], high[inside]))
    rows = [
        [way, f"{exactness:.1f}", f"{psnr:.4f}", "" if lost is None else f"{lost:+.4f}"]
        for way, _, exactness, psnr, lost in compare(network, subjects, scale)
    ]
    keep(
        "precision",
        f"Precisions of {Path(source).stem}, {len(NAMES)} pictures of Urban100, {SIDE}x{SIDE} low pixels each",
        f"python tests/benchmarks/precision.py {source} …",
        ["precision", "dB to float64", "dB to the truth", "dB lost"],
        rows,
        page="docs/inference.md",
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
