"""Lay flares on photographs of the shared data folder: python tests/shared_flare.py SHARED OUTPUT.

The middles, 256x256, of urban100 001-060 become training pairs, those of 061-070 validation pairs, each with four
flares: 240 pairs and 40.
"""

import sys
from functools import partial
from pathlib import Path

from competition.flare import make_pairs
from competition.images import read_rgb

SIDE, COPIES, TRAIN, HELD = 256, 4, 60, 10


def lay_flares(shared: Path, output: Path) -> None:
    """Fill OUTPUT with pairs; flares are those of seed 0."""
    paths = {f"urban100_{n:03d}": shared / "urban100" / "hr" / f"{n:03d}.png" for n in range(1, TRAIN + HELD + 1)}
    make_pairs({name: partial(read_rgb, path) for name, path in paths.items()}, output, SIDE, COPIES, HELD, seed=0)


if __name__ == "__main__":
    lay_flares(Path(sys.argv[1]), Path(sys.argv[2]))
