"""The sound of several films, one after the other, without a gap: encoded anew."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from competition.media.films import library, opened, translated
from competition.media.limits import Limits
from competition.video.clock import Clock
from competition.video.companions import SOUND_RATE

Block = npt.NDArray[np.float32]
_RATE = 48_000
_BLOCK = _RATE  # samples of silence that are made at a time


class JoinedSound:
    """A stereo stream of sound in a container, of films that last as long as their pictures do."""

    def __init__(self, container: Any, codec: str) -> None:
        self._stream = container.add_stream(codec, rate=_RATE, layout="stereo", bit_rate=SOUND_RATE)
        self._stream.codec_context.open()

    def packets(self, films: Sequence[tuple[Path, str]], lengths: Sequence[Fraction], limits: Limits) -> Iterator[Any]:
        """Packets of the first sound of every film; `lengths` are those of their pictures, in seconds."""
        av, context = library(), self._stream.codec_context
        resampler = av.AudioResampler(context.format, "stereo", _RATE, frame_size=context.frame_size or None)
        done = 0
        for (path, name), length in zip(films, lengths, strict=True):
            for block in _of_film(path, name, round(length * _RATE), limits):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = _RATE, done, Fraction(1, _RATE)
                done += block.shape[1]
                for part in resampler.resample(frame):
                    yield from self._stream.encode(part)
        for part in resampler.resample(None):
            yield from self._stream.encode(part)
        yield from self._stream.encode(None)


def _of_film(path: Path, name: str, count: int, limits: Limits) -> Iterator[Block]:
    """`count` samples of a film's sound from its first picture on, silence where there is none."""
    at = 0
    for begin, block in _decoded(path, name, limits):
        for silence in _silence(min(begin, count) - at):
            yield silence
            at += silence.shape[1]
        part = block[:, max(0, at - begin) :][:, : count - at]
        if part.shape[1]:
            yield part
            at += part.shape[1]
    yield from _silence(count - at)


def _decoded(path: Path, name: str, limits: Limits) -> Iterator[tuple[int, Block]]:
    """Blocks of (2, N) samples, each with the number of its first one."""
    resampler = library().AudioResampler("fltp", "stereo", _RATE)
    with opened(path, limits, name=name) as film, translated(film.subject):
        origin = (film.stream.start_time or 0) * film.stream.time_base
        source = film.sounds[0]
        for frame in Clock().timed(film.container.decode(source)):
            for part in resampler.resample(frame):
                yield round((part.pts * part.time_base - origin) * _RATE), part.to_ndarray()


def _silence(count: int) -> Iterator[Block]:
    for first in range(0, count, _BLOCK):
        yield np.zeros((2, min(_BLOCK, count - first)), np.float32)
