"""A film that every browser plays: H.264 and AAC in an MP4 that begins to play before it is loaded."""

import heapq
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from competition.errors import BadInput
from competition.images import Words, to_bytes
from competition.media.films import opened
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent
from competition.video.companions import companions, time_of
from competition.video.encoding import encode, square
from competition.video.overlap import ahead
from competition.video.pixels import resized
from competition.video.shots import Part, Shot, Tally, shots
from competition.video.targets import PREVIEW, written


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
    """Write OUTPUT, an MP4 for looking at: at most `side` pixels wide and high, 8 bits, square pixels, upright, sound.

    `probe(path).playable` tells whether it is needed at all. `report` hears (seconds done, seconds in all). Raises
    BadInput for the film, OSError for the disk.
    """
    tally = Tally()
    with opened(path, limits, name=name) as film, closing(ahead(_small(path, side, limits, name))) as coming:
        first = next(coming, None)
        if first is None:
            raise BadInput(f"{film.subject}: none of its frames can be decoded. Convert it, or fetch it again")
        told = tally(chain([first], coming), lambda tally: report(tally.seconds, max(film.seconds, tally.seconds)))
        with written(output, PREVIEW.muxer, PREVIEW.muxing(Fraction(0))) as container:
            packets = encode(container, PREVIEW, told)
            beside = companions(film, container, PREVIEW, only=("aac", "mp3"))
            for packet in heapq.merge(packets, beside.packets(film), key=time_of):
                container.mux(packet)
    return Played(tally.frames, tally.seconds)


def _small(path: Path, side: int, limits: Limits, name: str | None) -> Generator[Shot, None, None]:
    for shot in shots(path, Part(), limits, name):
        shot = square(shot)
        picture = to_bytes(cast(Words, shot.picture)) if shot.picture.dtype == np.uint16 else shot.picture
        height, width = picture.shape[:2]
        shrink = min(1, side / max(height, width))
        size = (_even(width * shrink), _even(height * shrink))
        yield shot._replace(picture=resized(picture, size), look=shot.look._replace(bits=8))


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
