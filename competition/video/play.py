"""A film that every browser plays: H.264 and AAC in an MP4 that begins to play before it is loaded."""

import heapq
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2

from competition.errors import BadInput
from competition.images import to_bytes
from competition.media.films import opened
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent
from competition.video.companions import companions, time_of
from competition.video.encoding import encode
from competition.video.overlap import ahead
from competition.video.shots import Part, Shot, shots
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
    frames, end = 0, Fraction(0)
    with opened(path, limits, name=name) as film, closing(ahead(_small(path, side, limits, name))) as coming:
        first = next(coming, None)
        if first is None:
            raise BadInput(f"{film.subject}: none of its frames can be decoded. Convert it, or fetch it again")

        def told(first: Shot) -> Iterator[Shot]:
            nonlocal frames, end
            for frames, shot in enumerate(coming, 2):
                end = (shot.stamp + shot.duration - first.stamp) * shot.look.time_base
                yield shot
                report(float(end), max(film.seconds, float(end)))

        with written(output, PREVIEW.muxer, PREVIEW.muxing(Fraction(0))) as container:
            packets = encode(container, PREVIEW, first, told(first))
            beside = companions(film, container, PREVIEW, only=("aac", "mp3"))
            for packet in heapq.merge(packets, beside.packets(film), key=time_of):
                container.mux(packet)
    return Played(max(frames, 1), float(end))


def _small(path: Path, side: int, limits: Limits, name: str | None) -> Generator[Shot, None, None]:
    for shot in shots(path, Part(), limits, name):
        height, width = shot.picture.shape[:2]
        aspect = shot.look.shown_aspect()
        shown = (width * aspect, Fraction(height)) if aspect > 1 else (Fraction(width), height / aspect)
        shrink = min(Fraction(1), Fraction(side) / max(shown))
        size = tuple(max(2, round(length * shrink / 2) * 2) for length in shown)
        picture = to_bytes(shot.picture) if shot.look.bits == 16 else shot.picture
        if size != (width, height):
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield shot._replace(picture=picture, look=shot.look._replace(bits=8, aspect=Fraction(1)))
