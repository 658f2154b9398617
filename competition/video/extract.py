"""Take a film apart: its frames as a zip of PNGs or as one file of arrays."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent


class Extracted(NamedTuple):
    """How many frames were written, their size in pixels, and the file's bytes."""

    frames: int
    width: int
    height: int
    bytes: int


def extract_frames(
    path: Path,
    output: Path,
    every: Fraction | None = None,
    limits: Limits = OWN,
    most: int | None = None,
    name: str | None = None,
    report: Report = silent,
) -> Extracted:
    """Write the first frame at or after each multiple of `every` seconds, or all, as OUTPUT: a .zip or a .npz.

    The zip holds RGB PNGs named by number and milliseconds, 000012_000000480.png, and times.csv; the .npz holds the
    arrays `frames`, uint8 (N, H, W, 3) RGB (uint16 for films of more than 8 bits), and `seconds`, float64 (N,). Both
    are streamed to the disk, may pass 4 GiB, and appear whole or not at all. `most` is how many bytes may be written.

    Raises BadInput for the film and for more than `most` bytes, UsageError for the options, OSError for the disk.
    """
    raise NotImplementedError
