"""Cut a part out of a film: fast, by copying packets from a key frame on, or exactly, by encoding it anew."""

from pathlib import Path
from typing import NamedTuple

from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent


class Cut(NamedTuple):
    """Frames and seconds of the part, when it really begins in the film, and what could not be kept as it was."""

    frames: int
    seconds: float
    start: float
    notes: tuple[str, ...]


def cut_film(
    path: Path,
    output: Path,
    start: float = 0.0,
    seconds: float = 30.0,
    exact: bool = False,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Cut:
    """Write the part of a film from `start` on, `seconds` long, whole or not at all.

    Fast: packets are copied as they are, so the part begins at the key frame at or before `start`, and OUTPUT's
    container must take the film's codecs. Exact: it begins with the first frame at or after `start`, encoded anew.

    Raises BadInput for the film and for a part beyond its end, UsageError for the options, OSError for the disk.
    """
    raise NotImplementedError
