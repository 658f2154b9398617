"""Cut a part out of a film: fast, by copying packets from a key frame on, or exactly, by encoding it anew."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from competition.errors import BadInput, UsageError
from competition.media.films import Film, opened, stamp_of
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent
from competition.video.companions import Companions, Copied, companions, time_of, titles
from competition.video.encoding import encode
from competition.video.shots import Part, Shot, Tally, shots
from competition.video.targets import Target, target_of, written


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
    """Write the part of a film from `start` on, `seconds` long, whole or not at all; sound comes along.

    Fast: packets are copied as they are, so the part begins at the key frame at or before `start`, and OUTPUT's
    container must take the film's codec. Exact: it begins with the first frame at or after `start`, encoded anew; so
    are GIFs always. `report` hears (seconds done, seconds in all).

    Raises BadInput for the film and for a part beyond its end, UsageError for the options, OSError for the disk.
    """
    target = target_of(output)
    if start < 0 or seconds <= 0:
        raise UsageError(
            f"--start {start} --seconds {seconds}: is no part of a film. Give a start of 0 or more, a length"
        )
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError(f"{output}: is the film itself. Choose another name")
    with opened(path, limits, name=name) as film:
        if exact or not film.seekable or target.muxer == "gif":
            coming = shots(path, Part(start, seconds), limits, name)
            return _encoded(film, coming, output, target, start, seconds, report)
        return _copied(film, output, target, start, seconds, report)


def _encoded(
    film: Film, shots: Iterator[Shot], output: Path, target: Target, start: float, seconds: float, report: Report
) -> Cut:
    first = next(shots, None)
    if first is None:
        raise _beyond(film, start)
    tally, begin = Tally(), first.stamp * first.look.time_base
    end = begin + Fraction(seconds)
    rebased = (shot._replace(stamp=shot.stamp - first.stamp) for shot in chain([first], shots))
    told = tally(rebased, lambda tally: report(min(seconds, tally.seconds), seconds))
    with written(output, target.muxer, target.muxing(first.duration * first.look.time_base)) as container:
        packets = encode(container, target, told)
        beside = companions(film, container, target, begin, end)
        container.metadata.update(titles(film.container.metadata))
        for packet in heapq.merge(packets, beside.packets(film, begin, end), key=time_of):
            container.mux(packet)
    return Cut(tally.frames, tally.seconds, float(begin), beside.notes)


def _copied(film: Film, output: Path, target: Target, start: float, seconds: float, report: Report) -> Cut:
    stream, part = film.stream, Part(start, seconds)
    key = _key_frame(film, part)
    with written(output, target.muxer, target.muxing(Fraction(0))) as container:
        if stream.codec_context.codec.canonical_name not in container.supported_codecs:
            cause = f"{target.muxer} does not take {stream.codec_context.name}"
            raise UsageError(f"{output}: {cause}. Cut exactly, or name it like the film")
        begin, end = Fraction(key * stream.time_base), part.stamps(film)[1] * stream.time_base
        pictures = _Pictures(stream, container)
        found = companions(film, container, target, begin, end)
        container.metadata.update(titles(film.container.metadata))
        whole = Companions({stream.index: pictures, **found.by_stream}, found.notes)
        for packet in whole.packets(film, begin, end):
            report(min(seconds, float(time_of(packet))), seconds)
            container.mux(packet)
    return Cut(pictures.frames, float(pictures.end * stream.time_base), float(begin), found.notes)


class _Pictures(Copied):
    """Pictures from their first key frame on, counted."""

    frames = end = 0

    def __call__(self, packet: Any) -> list[Any]:
        if not self.frames and not packet.is_keyframe:
            return []
        self.frames += 1
        self.end = max(self.end, stamp_of(packet) + (packet.duration or 0))
        return super().__call__(packet)


def _key_frame(film: Film, part: Part) -> int:
    """The time of the last key frame at or before a part."""
    begin, end = part.stamps(film)
    film.seek(begin)
    found, last = None, 0
    for packet in film.packets(film.stream):
        last = max(last, stamp_of(packet))
        if packet.is_keyframe and (found is None or stamp_of(packet) <= begin):
            found = stamp_of(packet)
        if stamp_of(packet) >= begin and found is not None:
            break
    if found is None or found >= end or last + film.step <= begin:
        raise _beyond(film, part.start)
    return int(found)


def _beyond(film: Film, start: float) -> BadInput:
    return BadInput(
        f"{film.subject}: holds no frame from {start:g} s on, it is {film.seconds:.1f} s long. Begin earlier"
    )
