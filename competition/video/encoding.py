"""Shots into packets: the one place where pictures are encoded."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

from competition.video.pixels import Painter, Palettes, resized
from competition.video.shots import Shot
from competition.video.targets import Target, options_of, pixel_format, stored_look

_TICK = Fraction(1, 100)  # of the times in a GIF


def square(shot: Shot) -> Shot:
    """The same picture of square pixels, by making it wider or higher."""
    aspect = shot.look.shown_aspect()
    if aspect == 1:
        return shot
    height, width = shot.picture.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    return shot._replace(picture=resized(shot.picture, even), look=shot.look._replace(aspect=Fraction(1)))


class Encoder:
    """A stream of pictures in a container, of the size and look of its first shot."""

    def __init__(self, container: Any, target: Target, first: Shot) -> None:
        self._shaped = target.shapes
        first = self._stored(first)
        height, width = first.picture.shape[:2]
        look = stored_look(target, first.look, height)
        self.stream = container.add_stream(target.codec, options=options_of(target, look))
        context = self.stream.codec_context
        context.width, context.height = width, height
        context.pix_fmt = pixel_format(target, look, width, height)
        context.time_base, context.sample_aspect_ratio = look.time_base, look.shown_aspect()
        context.color_range, context.colorspace = look.range, look.matrix
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        self._paint = Painter(look, context.pix_fmt)

    def __call__(self, shot: Shot) -> list[Any]:
        """Packets that are ready once this shot is there."""
        stored = self._stored(shot)
        packets: list[Any] = self.stream.encode(self._paint(stored.picture, stored.stamp, stored.duration))
        return packets

    def _stored(self, shot: Shot) -> Shot:
        return shot if self._shaped else square(shot)

    def flush(self) -> list[Any]:
        """The rest."""
        packets: list[Any] = self.stream.encode(None)
        return packets


class GifEncoder:
    """A stream of pictures of 256 colours each, at times in hundredths of a second, no two at the same."""

    def __init__(self, container: Any, width: int, height: int) -> None:
        self.stream = container.add_stream("gif")
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "pal8"
        self.stream.codec_context.time_base = _TICK
        self._palettes, self._before = Palettes(), -1

    def __call__(self, frame: Any, seconds: Fraction) -> list[Any]:
        """Packets that are ready once this frame is there."""
        made = self._palettes(frame)
        self._before = max(self._before + 1, round(seconds / _TICK))
        made.pts, made.time_base = self._before, _TICK
        packets: list[Any] = self.stream.encode(made)
        return packets

    def flush(self) -> list[Any]:
        """The rest."""
        packets: list[Any] = self.stream.encode(None)
        return packets


class _PaintedGif:
    """Shots into a GIF."""

    def __init__(self, container: Any, first: Shot) -> None:
        first = square(first)
        height, width = first.picture.shape[:2]
        self._paint, self._encode = Painter(first.look, "bgr0"), GifEncoder(container, width, height)
        self.stream = self._encode.stream

    def __call__(self, shot: Shot) -> list[Any]:
        painted = self._paint(square(shot).picture, shot.stamp, shot.duration)
        return self._encode(painted, shot.stamp * shot.look.time_base)

    def flush(self) -> list[Any]:
        return self._encode.flush()


def encode(container: Any, target: Target, shots: Iterator[Shot]) -> Iterator[Any]:
    """The packets of a stream of shots, at least one, that is added to a container at once."""
    first = next(shots)
    encoder = _PaintedGif(container, first) if target.muxer == "gif" else Encoder(container, target, first)
    encoder.stream.codec_context.framerate = 1 / (max(1, first.duration) * first.look.time_base)

    def packets() -> Iterator[Any]:
        for shot in chain([first], shots):
            yield from encoder(shot)
        yield from encoder.flush()

    return packets()
