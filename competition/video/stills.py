"""A few frames of a film that are worth keeping as pictures: sharp, of different scenes, spread over it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2

from competition.data.likeness import SAME_SCENE, Signature, likeness, signature
from competition.errors import BadInput
from competition.images import Bytes, Words, to_bytes
from competition.media.films import Film, opened, seconds_of
from competition.media.limits import Limits
from competition.video.pixels import Cuts, Reader, look_of
from competition.video.shots import Part, within

MOST = 8
_LOOKED_AT = 4.0  # seconds in the middle of each part of a long film, so that hours cost no more than minutes
_LEAST_SHARP = 2.0  # of `_sharpness`; black, blurred and plain frames have less
_HDR = (16, 18)  # transfers PQ and HLG, whose samples mean other light than those of pictures


class Still(NamedTuple):
    """A frame's time in seconds since the film's beginning, and its picture, upright RGB uint8 (H, W, 3)."""

    seconds: Fraction
    picture: Bytes


def stills(path: Path, limits: Limits, name: str | None = None, most: int = MOST) -> Iterator[Still]:
    """At most one frame of each of `most` equal parts of a film and of each take between two cuts, no two alike.

    Of a take it is the sharpest: that is none in which two takes are blended, as around cuts, for a blend halves what
    is sharp in both; nor one that is blurred by motion, or half faded. Takes of one scene (`likeness`) count once.
    Takes that pass into each other by blends count as one. Of films longer than 32 s, four seconds of each part are
    looked at, so two stills may be of one long take if they show different things. Interlaced and damaged frames are
    passed over.

    One frame of the part and one of the take wait in memory. Raises BadInput for the film, and for HDR.
    """
    known: list[Signature] = []
    waiting: _Found | None = None
    with opened(path, limits, name=name) as film:
        for found in _takes(film, most):
            if waiting and found.part > waiting.part:
                known.append(waiting.signature)
                yield waiting.still
                waiting = None
            sharper = waiting is None or found.sharpness > waiting.sharpness
            if sharper and all(likeness(found.signature, other) < SAME_SCENE for other in known):
                waiting = found
        if waiting:
            yield waiting.still


class _Found(NamedTuple):
    part: int
    sharpness: float
    still: Still
    signature: Signature


def _takes(film: Film, most: int) -> Iterator[_Found]:
    """The sharpest frame of each take, where that is sharp enough."""
    # A film whose header tells no length is looked at as if it were short.
    part = Fraction(film.seconds or most * _LOOKED_AT) / most
    origin = (film.stream.start_time or 0) * Fraction(film.stream.time_base)
    reader: Reader | None = None
    for sharpness, frame in _sharpest(_frames(film, float(part), most)):
        look = look_of(frame, film.stream)
        if look.transfer in _HDR:
            raise BadInput(f"{film.subject}: is HDR, which pictures are not. Give it in BT.709")
        reader = reader or Reader(look)
        samples, seconds = reader(frame), max(Fraction(0), seconds_of(frame) - origin)
        picture = cast(Bytes, samples) if look.bits == 8 else to_bytes(cast(Words, samples))
        number = min(int(seconds / part), most - 1)
        yield _Found(number, sharpness, Still(seconds, picture), signature(picture))


def _frames(film: Film, part: float, most: int) -> Iterator[Any]:
    """The frames that are looked at: all of a short film, else those in the middle of each part."""
    if part <= _LOOKED_AT or not film.seekable:
        yield from within(film, Part(0.0, part * most))
        return
    for number in range(most):
        yield from within(film, Part((number + 0.5) * part - _LOOKED_AT / 2, _LOOKED_AT))


def _sharpest(frames: Iterator[Any]) -> Iterator[tuple[float, Any]]:
    """The sharpest frame of each take, and how sharp it is."""
    cuts, best = Cuts(), None
    for frame in frames:
        if cuts(frame) and best:
            yield best
            best = None
        if frame.is_corrupt or frame.interlaced_frame:
            continue
        sharpness = _sharpness(frame)
        if sharpness >= _LEAST_SHARP and (best is None or sharpness > best[0]):
            best = sharpness, frame
    if best:
        yield best


def _sharpness(frame: Any) -> float:
    """Standard deviation of the Laplacian of the luma, in 8-bit levels (Pech-Pacheco et al., ICPR 2000)."""
    return float(cv2.Laplacian(frame.to_ndarray(format="gray"), cv2.CV_16S).std())
