"""Enlarge a film: frames stream through the network, chunks survive a kill, everything else is copied."""

import json
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from competition.ensemble import SelfEnsemble
from competition.errors import BadInput, UsageError
from competition.files import remove_folder, sha256
from competition.locks import locked
from competition.media.films import opened
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent
from competition.upscaler import Enlarger
from competition.video.chunks import Chunk, join_chunks, place_of, read_chunks, write_chunks
from competition.video.overlap import ahead
from competition.video.shots import Part, Shot, light_of_film, shots
from competition.video.targets import lasting, target_of

CHUNK = 64


class Enlarged(NamedTuple):
    """How many frames were written, the film's length and the time it took, in seconds.

    `kept` is the number of frames that a run before this one had finished; `notes` tell what could not be copied as it
    was, such as sound that the container does not take and that was encoded anew.
    """

    frames: int
    seconds: float
    took: float
    kept: int
    notes: tuple[str, ...]


def enlarge_film(
    path: Path,
    output: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    chunk: int = CHUNK,
    start: float = 0.0,
    seconds: float | None = None,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Enlarged:
    """Enlarge every frame of a film; OUTPUT's ending chooses the container: .mp4 .mov .mkv .webm .wmv .gif.

    Frame times, pixel aspect, colour (range, matrix, primaries, transfer; 10 bits stay 10 bits), HDR10 metadata where
    H.264 is written, sound, subtitles, chapters and titles are kept; frames are turned and mirrored upright. Finished
    chunks of `chunk` frames lie in the folder `.work_OUTPUT` beside OUTPUT until it is whole, so that the same call
    after a kill goes on at the last of them: with the same settings and file, else it begins anew. `report` hears
    (frames done, frames in all).

    `start` and `seconds` choose a part of the film, without sound; a preview is `seconds=1`.

    Raises BadInput for the film, UsageError for the options, BadCheckpoint for the weights, StorageError or OSError for
    the disk, KeyboardInterrupt as it comes.
    """
    begun, target, part = time.monotonic(), target_of(output), Part(start, seconds)
    if chunk < 1:
        raise UsageError(f"--chunk: {chunk} is no number of frames. Give 1 or more")
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError(f"{output}: is the film itself. Choose another name")
    with opened(path, limits, name=name) as film:
        expected = part.frames(film)
    lost = light_of_film(path, limits, name).lost(target.codec, target.muxer)
    enlarger = Enlarger(source, scale, self_ensemble, tile)
    folder = work_folder(output)
    with locked(folder):
        job = {"film": sha256(path), "muxer": target.muxer, "chunk": chunk, "part": part, "by": enlarger.settings}
        chunks = read_chunks(folder, json.dumps(job, sort_keys=True, default=str))
        kept = _frames(chunks)
        coming = ahead(_enlarged(shots(path, part, limits, name, place_of(chunks)), enlarger))
        with closing(_told(coming, kept, expected, report)) as told:
            chunks += write_chunks(told, folder, len(chunks), chunk, lasting(target))
        if not chunks:
            raise BadInput(f"{name or path}: none of its frames can be decoded. Convert it, or fetch it again")
        with opened(path, limits, name=name) as film:
            notes = join_chunks(film, chunks, output, target, part)
            length = (chunks[-1].last + chunks[-1].duration - chunks[0].first) * film.stream.time_base
        remove_folder(folder)
    return Enlarged(_frames(chunks), float(length), time.monotonic() - begun, kept, (*notes, *lost))


def forget(output: Path) -> None:
    """Delete what an unfinished `enlarge_film` left beside OUTPUT."""
    if work_folder(output).exists():
        remove_folder(work_folder(output))


def work_folder(output: Path) -> Path:
    """Where the chunks of an output lie until it is whole."""
    return output.with_name(f".work_{output.name}")


def _frames(chunks: list[Chunk]) -> int:
    return sum(chunk.frames for chunk in chunks)


def _enlarged(low: Generator[Shot, None, None], enlarger: Enlarger) -> Generator[Shot, None, None]:
    """The shots enlarged, while those behind them are decoded."""
    with closing(ahead(low)) as coming:
        for shot in coming:
            yield shot._replace(picture=enlarger(shot.picture))


def _told(shots: Generator[Shot, None, None], done: int, expected: int, report: Report) -> Generator[Shot, None, None]:
    """The same shots, of which `report` hears once each is taken care of."""
    with closing(shots):
        for number, shot in enumerate(shots, done + 1):
            yield shot
            report(number, max(number, expected))
