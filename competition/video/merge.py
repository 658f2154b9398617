"""Put films together: frames of a zip or a folder, or several clips, into one."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent


class Merged(NamedTuple):
    """Frames and seconds of the film written, and what could not be kept as it was."""

    frames: int
    seconds: float
    notes: tuple[str, ...]


def merge_frames(
    path: Path,
    output: Path,
    rate: Fraction | None = None,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Merged:
    """A film of the pictures in a folder or a zip, in the order of their names, or of a .npz of `extract_frames`.

    `rate` is in frames a second; without it the times that `extract_frames` wrote beside them are taken, else 25.
    Nothing is unpacked to the disk. Raises BadInput for pictures of unequal sizes (each is named), archives with other
    things in them, and whatever is beyond the limits; UsageError for the options, OSError for the disk.
    """
    raise NotImplementedError


def merge_clips(
    paths: tuple[Path, ...],
    output: Path,
    limits: Limits = OWN,
    names: tuple[str, ...] | None = None,
    report: Report = silent,
) -> Merged:
    """One film of several, one after the other, with their sound, encoded anew.

    Raises BadInput that names every clip whose size, rate, or sound (with or without) is not that of the first,
    UsageError for the options, OSError for the disk.
    """
    raise NotImplementedError
