"""Finished parts of a film on the disk, whole or not at all, and one film made of them."""

import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

from competition.files import delete, require_space, sweep, write_atomic
from competition.media.films import Film, library
from competition.video.companions import Companions, companions, time_of, titles
from competition.video.encoding import Encoder, GifEncoder
from competition.video.shots import Part, Place, Shot
from competition.video.targets import Target, written

_JOB = "job.json"


class Chunk(NamedTuple):
    """A finished part: its file, how many frames it has, times of its first and last, and how long the last is shown.

    Times are in the film's time base; its file holds them from 0 on, and its name tells all of this.
    """

    path: Path
    frames: int
    first: int
    last: int
    duration: int

    @property
    def number(self) -> int:
        """Its place in the film."""
        return int(self.path.name.split("_")[0])


def write_chunks(shots: Iterator[Shot], folder: Path, number: int, size: int, target: Target) -> Iterator[Chunk]:
    """Encode shots into files of `size` frames each, numbered from `number` on; yields each once the disk has it."""
    for at in count(number):
        first = next(shots, None)
        if first is None:
            return
        yield _write_chunk(folder, at, first, islice(shots, size - 1), target)


def _write_chunk(folder: Path, number: int, first: Shot, rest: Iterator[Shot], target: Target) -> Chunk:
    buffer, frames, last = io.BytesIO(), 0, first
    # NUT keeps any codec and any time base.
    with library().open(buffer, "w", format="nut") as container:
        encode = Encoder(container, target, first)
        for last in chain([first], rest):
            frames += 1
            container.mux(encode(last._replace(stamp=last.stamp - first.stamp)))
        container.mux(encode.flush())
    path = folder / f"{number:06d}_{frames}_{first.stamp}_{last.stamp}_{last.duration}.nut"
    write_atomic(path, buffer.getvalue())
    return _chunk(path)


def read_chunks(folder: Path, job: str) -> list[Chunk]:
    """The chunks that stand from the same job, in order; those of another one are deleted."""
    note = folder / _JOB
    if not note.exists() or note.read_text(encoding="utf-8") != job:
        for entry in folder.iterdir():
            if entry.name != ".lock":
                delete(entry)
        write_atomic(note, job.encode())
    sweep(folder)
    chunks = sorted(map(_chunk, folder.glob("*.nut")))
    return [chunk for place, chunk in enumerate(chunks) if chunk.number == place]


def place_of(chunks: list[Chunk]) -> Place | None:
    """Where to go on behind these chunks."""
    return Place(sum(chunk.frames for chunk in chunks), chunks[-1].last) if chunks else None


def _chunk(path: Path) -> Chunk:
    _, *numbers = path.stem.split("_")
    return Chunk(path, *map(int, numbers))


# ---- one film -------------------------------------------------------------------------------------------------------


def join_chunks(film: Film, chunks: list[Chunk], output: Path, target: Target, part: Part) -> tuple[str, ...]:
    """Write a film of all chunks, with what lies beside a whole one; returns what could not be kept as it was.

    Raises OSError that names `output`, StorageError before anything is written where the disk lacks the room.
    """
    require_space(output.parent, sum(chunk.path.stat().st_size for chunk in chunks))
    shift = 0 if part.whole() else part.stamps(film)[0]
    with written(output, target.muxer, target.muxing(chunks[-1].duration * film.stream.time_base)) as container:
        pictures = _as_gif if target.muxer == "gif" else _as_they_are
        packets = pictures(container, film, chunks, shift)
        beside = Companions({}, ())
        if part.whole():
            beside = companions(film, container, target)
        container.metadata.update(titles(film.container.metadata))
        for packet in heapq.merge(packets, beside.packets(film), key=time_of):
            container.mux(packet)
    return beside.notes


Packets = Iterator[Any]


def _as_they_are(container: Any, film: Film, chunks: list[Chunk], shift: int) -> Packets:
    """A stream of the chunks' own packets."""
    with library().open(str(chunks[0].path), format="nut") as model:
        stream = container.add_stream_from_template(model.streams.video[0])
    stream.time_base = film.stream.time_base
    # Without it Matroska tells no rate, and readers take the H.264's: a frame each tick of the clock.
    stream.codec_context.framerate = 1 / (film.step * Fraction(film.stream.time_base))
    stream.metadata.update(titles(film.stream.metadata))

    def packets() -> Packets:
        for stamp, duration, packet in _lasting(_stored(chunks, film, shift), chunks[-1].duration):
            packet.stream, packet.time_base = stream, film.stream.time_base
            packet.pts = packet.dts = stamp
            packet.duration = duration
            yield packet

    return packets()


def _as_gif(container: Any, film: Film, chunks: list[Chunk], shift: int) -> Packets:
    with library().open(str(chunks[0].path), format="nut") as model:
        first = model.streams.video[0]
        encode = GifEncoder(container, first.width, first.height)

    def packets() -> Packets:
        for stamp, packet in _stored(chunks, film, shift):
            for frame in packet.decode():
                yield from encode(frame, stamp * film.stream.time_base)
        yield from encode.flush()

    return packets()


def _stored(chunks: list[Chunk], film: Film, shift: int) -> Iterator[tuple[int, Any]]:
    """Packets of all chunks with their times in the film's time base."""
    base = film.stream.time_base
    for chunk in chunks:
        with library().open(str(chunk.path), format="nut") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    yield chunk.first - shift + round(packet.pts * packet.time_base / base), packet


def _lasting(packets: Iterator[tuple[int, Any]], last: int) -> Iterator[tuple[int, int, Any]]:
    """The same with how long each is shown: until the next one, and the last for `last`."""
    before: tuple[int, Any] | None = None
    for stamp, packet in packets:
        if before:
            yield before[0], stamp - before[0], before[1]
        before = stamp, packet
    if before:
        yield before[0], last, before[1]
