"""The frames of a film, or of a part of it, as pictures with their times."""

import math
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from competition.images import Samples
from competition.media.films import Film, opened
from competition.media.limits import Limits
from competition.video.light import Light, light_of
from competition.video.pixels import Look, Reader, look_of


class Shot(NamedTuple):
    """A frame: its time and how long it is shown, in the time base of its look, and its picture, upright RGB."""

    stamp: int
    duration: int
    picture: Samples
    look: Look


class Part(NamedTuple):
    """Which seconds of a film are wanted; all of them by default."""

    start: float = 0.0
    seconds: float | None = None

    def whole(self) -> bool:
        """Whether nothing is left out."""
        return self.start == 0 and self.seconds is None

    def stamps(self, film: Film) -> tuple[int, Fraction | float]:
        """The first time of the part, and the first one behind it, in the film's time base."""
        base, origin = Fraction(film.stream.time_base), int(film.stream.start_time or 0)
        end = math.inf if self.seconds is None else origin + _exact(self.start + self.seconds) / base
        return origin + math.ceil(_exact(self.start) / base), end

    def frames(self, film: Film) -> int:
        """How many frames it has, by the film's header."""
        rate = float(film.stream.average_rate or film.stream.guessed_rate or 25)
        if self.whole():
            return film.stream.frames or max(1, round(film.seconds * rate))
        rest = max(0.0, film.seconds - self.start)
        return max(1, round(rate * (rest if self.seconds is None else min(rest, self.seconds))))


def _exact(seconds: float) -> Fraction:
    """The fraction that was meant: 0.2 is none that floats can be."""
    return Fraction(seconds).limit_denominator(1_000_000)


class Tally:
    """Counts shots as they pass, and how long they last together, in seconds."""

    def __init__(self) -> None:
        self.frames, self.seconds = 0, 0.0

    def __call__(self, shots: Iterator[Shot], heard: Callable[["Tally"], object]) -> Iterator[Shot]:
        """The same shots; `heard` is told after each of them is taken care of."""
        first: int | None = None
        for shot in shots:
            first = shot.stamp if first is None else first
            yield shot
            self.frames += 1
            self.seconds = float((shot.stamp + shot.duration - first) * shot.look.time_base)
            heard(self)


class Place(NamedTuple):
    """Where to go on: how many frames are done, and the time of the last of them."""

    frames: int = 0
    stamp: int = 0


def shots(
    path: Path, part: Part, limits: Limits, name: str | None = None, place: Place | None = None
) -> Generator[Shot, None, None]:
    """The shots of a part of a film, those after `place` only where it is given; raises BadInput for the film."""
    reader = look = None
    light = light_of_film(path, limits, name)
    for film, frame in _frames(path, part, limits, name, place):
        if look is None or reader is None:
            look = look_of(frame, film.stream)._replace(light=light)
            reader = Reader(look)
        yield Shot(frame.pts, frame.duration or film.step, reader(frame), look)


def light_of_film(path: Path, limits: Limits, name: str | None = None) -> Light:
    """What a film says of its light: by its first frame, as later ones may not repeat it."""
    with opened(path, limits, name=name) as film:
        first = next(film.frames(), None)
        return light_of(first) if first else Light()


def _frames(
    path: Path, part: Part, limits: Limits, name: str | None, place: Place | None
) -> Iterator[tuple[Film, Any]]:
    if place:
        with opened(path, limits, name=name) as film:
            found = False
            for frame in _behind(film, part, place.stamp):
                found = True
                yield film, frame
        if found:
            return
    with opened(path, limits, name=name) as film:
        for frame in islice(within(film, part), place.frames if place else 0, None):
            yield film, frame


def within(film: Film, part: Part) -> Iterator[Any]:
    """The frames of a part of a film."""
    begin, end = part.stamps(film)
    if part.start and film.seekable:
        film.seek(begin)
    for frame in film.frames():
        if frame.pts >= end:
            return
        if frame.pts >= begin or part.whole():
            yield frame


def _behind(film: Film, part: Part, stamp: int) -> Iterator[Any]:
    """The frames behind the one of this time; none where it is not found, for then the file's index is not right."""
    if not film.seekable:
        return
    film.seek(stamp)
    whole = found = False
    _, end = part.stamps(film)
    for frame in film.frames():
        if frame.pts >= end or (frame.pts > stamp and not found):
            return
        if found:
            yield frame
        whole = whole or bool(frame.key_frame)  # those before a key frame may lack what they refer to
        found = found or (whole and frame.pts == stamp)
