"""What lies beside a film's pictures: sound, subtitles, chapters, titles; copied where the container takes it."""

import math
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from competition.media.films import UNKNOWN, Film, codec_of, library, stamp_of, translated
from competition.video.clock import Clock
from competition.video.targets import Target

SOUND_RATE = 192_000  # bits a second of sound that is encoded anew
_APART = 10  # seconds that streams of a file may be apart
# What muxers write themselves, or what no longer holds.
_NOT_TITLES = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "number_of_frames", "bps"}


class Companion(Protocol):
    """Turns packets of one stream of a film into packets for the output."""

    def __call__(self, packet: Any) -> list[Any]: ...

    def flush(self) -> list[Any]: ...


class Companions(NamedTuple):
    """Those of a film by the number of their stream, and what could not be kept as it was."""

    by_stream: dict[int, Companion]
    notes: tuple[str, ...]

    def packets(self, film: Film, begin: Fraction | None = None, end: Fraction | float = math.inf) -> Iterator[Any]:
        """Packets for the output, in the order of the film's file: from `begin` seconds on, which become 0, to `end`.

        Without `begin` they keep their times, and the film is read from where it is.
        """
        chosen = [stream for stream in film.container.streams if stream.index in self.by_stream]
        first = begin or Fraction(0)
        if begin is not None and chosen:
            film.seek(math.floor((begin - 1) / film.stream.time_base))  # sound may lie before its pictures
        for packet in film.packets(*chosen) if chosen else ():
            if begin is not None and stamp_of(packet) * packet.time_base < begin:
                continue
            shift = round(first / packet.time_base)
            packet.pts = stamp_of(packet) - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            if time_of(packet) < end - first:
                yield from self.by_stream[packet.stream.index](packet)
            elif time_of(packet) > end - first + _APART:
                break
        for companion in self.by_stream.values():
            yield from companion.flush()


class Copied:
    """A stream whose packets are kept bit for bit."""

    def __init__(self, stream: Any, container: Any) -> None:
        self._stream = container.add_stream_from_template(stream)
        _describe(self._stream, stream)

    def __call__(self, packet: Any) -> list[Any]:
        packet.stream = self._stream
        return [packet]

    def flush(self) -> list[Any]:
        return []


class Encoded:
    """Sound that the container does not take as it is."""

    def __init__(self, stream: Any, container: Any, codec: str) -> None:
        rate = 48000 if codec == "libopus" else stream.codec_context.sample_rate
        layout = "stereo" if stream.codec_context.channels >= 2 else "mono"
        self._stream = container.add_stream(codec, rate=rate, layout=layout, bit_rate=SOUND_RATE)
        _describe(self._stream, stream)
        self._clock = Clock()
        context = self._stream.codec_context
        context.open()
        self._resampler = library().AudioResampler(context.format, layout, rate, frame_size=context.frame_size or None)

    def __call__(self, packet: Any) -> list[Any]:
        with translated("sound"):
            return [made for frame in self._clock.timed(packet.decode()) for made in self._encode(frame)]

    def flush(self) -> list[Any]:
        return [*self._encode(None), *self._stream.encode(None)]

    def _encode(self, frame: Any) -> list[Any]:
        return [packet for part in self._resampler.resample(frame) for packet in self._stream.encode(part)]


def companions(
    film: Film,
    container: Any,
    target: Target,
    begin: Fraction = Fraction(0),
    end: Fraction | float = math.inf,
    only: Collection[str] | None = None,
) -> Companions:
    """Add a stream to the container for each of a film's that it can hold, its attachments, and chapters of a part.

    `only` names the codecs that are copied, instead of all that the container takes.
    """
    found: dict[int, Companion] = {}
    notes: list[str] = []
    taken = container.supported_codecs if only is None else set(only)
    for stream in film.container.streams:
        if stream.index == film.stream.index:
            continue
        codec = codec_of(stream)
        canonical = None if codec == UNKNOWN else stream.codec_context.codec.canonical_name
        if stream.type == "attachment" and target.muxer == "matroska":
            container.add_attachment(stream.metadata.get("filename", "file"), stream.mimetype or "", stream.data)
        elif stream.type in ("audio", "subtitle") and canonical in taken:
            found[stream.index] = Copied(stream, container)
        elif stream.type == "audio" and target.sound and codec != UNKNOWN:
            found[stream.index] = Encoded(stream, container, target.sound)
            notes.append(f"sound {codec} encoded anew, {target.muxer} does not take it")
        else:
            notes.append(f"{stream.type} stream {codec} left out, {target.muxer} does not take it")
    if chapters := list(_chapters(film, begin, end)):
        container.set_chapters(chapters)
    return Companions(found, tuple(notes))


def time_of(packet: Any) -> Fraction:
    """When a packet is decoded, in seconds."""
    return Fraction((packet.pts if packet.dts is None else packet.dts) * packet.time_base)


def _chapters(film: Film, begin: Fraction, end: Fraction | float) -> Iterator[dict[str, Any]]:
    for chapter in film.container.chapters():
        base = chapter["time_base"]
        first, last = (min(max(chapter[side] * base, begin), end) - begin for side in ("start", "end"))
        if last > first or (not begin and end == math.inf):
            yield {**chapter, "start": round(first / base), "end": round(last / base)}


def titles(metadata: dict[str, str]) -> dict[str, str]:
    """What a container or a stream says of itself, without what a muxer writes itself."""
    return {key: value for key, value in metadata.items() if key.lower().split("-")[0] not in _NOT_TITLES}


def _describe(made: Any, stream: Any) -> None:
    made.metadata.update(titles(stream.metadata))
    made.disposition = stream.disposition
