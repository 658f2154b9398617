"""A film that every browser plays: H.264 and AAC in an MP4 that begins to play before it is loaded."""

from pathlib import Path
from typing import NamedTuple

from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent


class Played(NamedTuple):
    """Frames and seconds of the film written."""

    frames: int
    seconds: float


def make_playable(
    path: Path,
    output: Path,
    side: int = 1280,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Played:
    """Write OUTPUT.mp4 for looking at: at most `side` pixels wide and high, 8 bits, square pixels, upright, with sound.

    `probe(path).playable` tells whether it is needed at all. Raises BadInput for the film, OSError for the disk.
    """
    raise NotImplementedError
