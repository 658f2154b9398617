"""Put films together: frames of a zip or a folder, or several clips, into one."""

import heapq
import math
from collections.abc import Generator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from competition.errors import BadInput, Fault, UsageError
from competition.files import printable
from competition.media.films import opened, stamp_of
from competition.media.kinds import ALL_FILMS
from competition.media.limits import OWN, Limits
from competition.media.probe import Probe, probe
from competition.media.sandbox import Report, silent
from competition.video.companions import time_of
from competition.video.encoding import encode
from competition.video.frames import Pictured, pictured, pictures_of
from competition.video.overlap import ahead
from competition.video.pixels import plain_look
from competition.video.shots import Part, Shot, Tally, shots
from competition.video.sound import JoinedSound
from competition.video.targets import Target, target_of, written

_RATE = Fraction(25)
_BASE = Fraction(1, 90_000)
_CLOSE = 0.01  # of a rate, by which clips may differ: some containers round times


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
    report: Report = silent,
) -> Merged:
    """A film of the pictures in a folder or a .zip, in the order of their names, or of a .npz of `extract_frames`.

    `rate` is in frames a second; without it the times that `extract_frames` wrote beside them are taken, else 25.
    At most one picture at a time is unpacked. `report` hears (frames done, frames in all).

    Raises BadInput for pictures of another size than the first (by name), archives that hold other things, and whatever
    is beyond the limits; UsageError for the options, OSError for the disk.
    """
    with pictured(path, limits) as found:
        return _film_of(found, output, rate, limits, report)


def merge_pictures(
    files: Sequence[tuple[Path, str]], output: Path, rate: Fraction, limits: Limits = OWN, report: Report = silent
) -> Merged:
    """The same of some files, in this order, each with what its user calls it."""
    return _film_of(pictures_of(files, limits), output, rate, limits, report)


def _film_of(found: Pictured, output: Path, rate: Fraction | None, limits: Limits, report: Report) -> Merged:
    target = target_of(output)
    if rate is not None and not 0 < rate <= limits.rate:
        raise UsageError(f"--rate: {rate} is no number of frames a second. Give one up to {limits.rate:g}")
    with closing(ahead(_as_shots(found, rate))) as coming:
        first, tally = next(coming), Tally()
        told = tally(chain([first], coming), lambda tally: report(tally.frames, found.number))
        with written(output, target.muxer, target.muxing(first.duration * _BASE)) as container:
            for packet in encode(container, target, told):
                container.mux(packet)
    return Merged(tally.frames, tally.seconds, ())


def _as_shots(found: Pictured, rate: Fraction | None) -> Generator[Shot, None, None]:
    """Pictures with their times; how long one is shown is known when the next is there."""
    times = found.times if rate is None else None
    step, look, before = 1 / (rate or _RATE), None, None
    for number, picture in enumerate(found.pictures()):
        look = look or plain_look(picture, _BASE)
        seconds = times[number] if times else number * step
        if before:
            yield before._replace(duration=round(seconds / _BASE) - before.stamp)
            step = (round(seconds / _BASE) - before.stamp) * _BASE
        before = Shot(round(seconds / _BASE), 0, picture, look)
    if before:
        yield before._replace(duration=round(step / _BASE))


# ---- clips ----------------------------------------------------------------------------------------------------------


def merge_clips(
    paths: tuple[Path, ...],
    output: Path,
    limits: Limits = OWN,
    names: tuple[str, ...] | None = None,
    report: Report = silent,
) -> Merged:
    """One film of several, one after the other, with their first sound, encoded anew; subtitles are left out.

    `report` hears (frames done, frames in all). Raises BadInput that names every clip whose size, rate, or sound (with
    or without) is not that of the first, UsageError for the options, OSError for the disk.
    """
    target, called = target_of(output), names or tuple(map(printable, paths))
    if len(paths) < 2 or len(called) != len(paths):
        raise UsageError("clips: fewer than two. Give several, or use cut")
    clips = [_clip(path, name, limits) for path, name in zip(paths, called, strict=True)]
    faults = [
        Fault("unequal", clip.name, f"is {clip}, {called[0]} is {clips[0]}", "Convert it, or leave it out")
        for clip in clips
        if not clip.fits(clips[0])
    ]
    if faults:
        raise BadInput(*faults)
    return _merged(clips, output, target, limits, report)


class _Clip(NamedTuple):
    path: Path
    name: str
    probe: Probe
    seconds: Fraction
    frames: int
    rate: float

    def fits(self, first: "_Clip") -> bool:
        """Whether it can stand behind another one."""
        same = [(one.width, one.height, one.bits, bool(one.sound)) for one in (self.probe, first.probe)]
        return same[0] == same[1] and math.isclose(self.rate, first.rate, rel_tol=_CLOSE)

    def __str__(self) -> str:
        size = f"{self.probe.width}x{self.probe.height} of {self.probe.bits} bits"
        sound = "with sound" if self.probe.sound else "without sound"
        return f"{size} at {self.rate:.2f} frames a second {sound}"


def _clip(path: Path, name: str, limits: Limits) -> _Clip:
    found = probe(path, limits, ALL_FILMS, name)
    with opened(path, limits, name=name) as film:
        # By the frames' own times: what headers tell of a rate depends on the container and the length.
        stamps, base = sorted(map(stamp_of, film.packets(film.stream))), film.stream.time_base
        step = Fraction(stamps[-1] - stamps[0], len(stamps) - 1) if stamps[-1] > stamps[0] else Fraction(film.step)
    return _Clip(path, name, found, (stamps[-1] - stamps[0] + step) * base, len(stamps), float(1 / (step * base)))


def _merged(clips: list[_Clip], output: Path, target: Target, limits: Limits, report: Report) -> Merged:
    total, tally = sum(clip.frames for clip in clips), Tally()
    with_sound = bool(clips[0].probe.sound)
    with closing(ahead(_joined(clips, limits))) as coming:
        first = next(coming)
        told = tally(chain([first], coming), lambda tally: report(tally.frames, max(tally.frames, total)))
        with written(output, target.muxer, target.muxing(first.duration * first.look.time_base)) as container:
            packets = [encode(container, target, told)]
            if with_sound and target.sound:
                films, lengths = [(clip.path, clip.name) for clip in clips], [clip.seconds for clip in clips]
                packets.append(JoinedSound(container, target.sound).packets(films, lengths, limits))
            for packet in heapq.merge(*packets, key=time_of):
                container.mux(packet)
    lost = with_sound and not target.sound
    notes = (f"sound left out, {target.muxer} does not take it",) if lost else ()
    return Merged(tally.frames, tally.seconds, notes)


def _joined(clips: list[_Clip], limits: Limits) -> Generator[Shot, None, None]:
    """The shots of all clips, with times that go on from one to the next, in the first one's colours."""
    offset, look = Fraction(0), None
    for clip in clips:
        origin = None
        for shot in shots(clip.path, Part(), limits, clip.name):
            look = look or shot.look
            origin = shot.stamp if origin is None else origin
            seconds = offset + (shot.stamp - origin) * shot.look.time_base
            lasting = round(shot.duration * shot.look.time_base / look.time_base)
            yield Shot(round(seconds / look.time_base), lasting, shot.picture, look)
        offset += clip.seconds
