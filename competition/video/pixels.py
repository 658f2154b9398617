"""Frames of films as RGB pictures and back, by the range and the matrix that they are in."""

from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple, cast

import cv2
import numpy as np

from competition.images import Samples
from competition.media.films import library, orientation
from competition.video.light import Light

# FFmpeg's numbers for matrices, and its scaler's names; RGB itself, 0, is stored by BT.709.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
UNKNOWN, _RGB, _BT709, _BT601 = 2, 0, 1, 6
LIMITED, _FULL = 1, 2
_HD = 720  # lines from which players take BT.709 where a film does not say
_EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


class Look(NamedTuple):
    """How a film's frames are stored and shown: FFmpeg's numbers for colour, the shape of a pixel, the way to upright.

    `matrix` and `range` are those the frames are read by; films that say neither are taken as players take them.
    `turns` counts quarter turns to the left, behind which `mirrored` frames are mirrored sideways; `bits` is 8 or 16
    per sample in memory.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int
    aspect: Fraction
    turns: int
    bits: int
    time_base: Fraction
    mirrored: bool = False
    light: Light = Light()

    def shown_aspect(self) -> Fraction:
        """The shape of a pixel after the turn."""
        return 1 / self.aspect if self.turns % 2 else self.aspect


def look_of(frame: Any, stream: Any) -> Look:
    """What the first frame and its stream say."""
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    rgb = frame.format.is_rgb or frame.colorspace == _RGB
    guessed = usual_matrix(frame.height)
    matrix = _BT709 if rgb else frame.colorspace if frame.colorspace in _MATRICES else guessed
    deep = max(component.bits for component in frame.format.components) > 8
    turns, mirrored = orientation(frame)
    return Look(
        matrix,
        LIMITED if rgb or not full else _FULL,
        frame.color_primaries,
        frame.color_trc,
        stream.sample_aspect_ratio or Fraction(1),
        turns,
        16 if deep else 8,
        Fraction(stream.time_base),
        mirrored,
    )


def plain_look(picture: Samples, time_base: Fraction) -> Look:
    """How pictures are stored that come from no film."""
    return Look(_BT709, LIMITED, UNKNOWN, UNKNOWN, Fraction(1), 0, picture.dtype.itemsize * 8, time_base)


def usual_matrix(height: int) -> int:
    """The matrix that players take for a film of so many lines that does not say."""
    return _BT709 if height >= _HD else _BT601


class Reader:
    """Makes upright RGB pictures (H, W, 3), uint8 or uint16, of frames; what is transparent is laid on white."""

    def __init__(self, look: Look) -> None:
        self._look, self._graph = look, None

    def __call__(self, frame: Any) -> Samples:
        if self._graph is None:
            self._alpha = any(component.is_alpha for component in frame.format.components) or frame.format.has_palette
            plain = {(8, False): "rgb24", (16, False): "rgb48le", (8, True): "rgba", (16, True): "rgba64le"}
            self._graph = _graph(frame, self._source(frame), plain[self._look.bits, self._alpha])
        pixels = _through(self._graph, frame).to_ndarray()
        if self._alpha:
            peak = np.iinfo(pixels.dtype).max
            share = pixels[..., 3:].astype(np.float32) / peak
            pixels = (pixels[..., :3] * share + peak * (1 - share) + 0.5).astype(pixels.dtype)
        turned = np.rot90(pixels, self._look.turns)
        upright: Samples = np.ascontiguousarray(turned[:, ::-1] if self._look.mirrored else turned)
        return upright

    def _source(self, frame: Any) -> str:
        if frame.format.is_rgb:
            return _EXACT
        side = "pc" if self._look.range == _FULL else "tv"
        return f"in_range={side}:in_color_matrix={_MATRICES[self._look.matrix]}:{_EXACT}"


class Painter:
    """Makes frames for an encoder of RGB pictures (H, W, 3), in its pixel format and a film's colours."""

    def __init__(self, look: Look, pixel_format: str) -> None:
        self._look, self._format, self._graph = look, pixel_format, None

    def __call__(self, picture: Samples, stamp: int, duration: int) -> Any:
        plain = "rgb48le" if picture.dtype.itemsize == 2 else "rgb24"
        frame = library().VideoFrame.from_ndarray(picture, format=plain)
        frame.pts, frame.time_base = stamp, self._look.time_base
        if self._graph is None:
            self._graph = _graph(frame, self._target(), self._format)
        painted = _through(self._graph, frame)
        painted.pts, painted.time_base, painted.duration = stamp, self._look.time_base, duration
        return painted

    def _target(self) -> str:
        if self._format == "bgr0":
            return _EXACT
        side = "pc" if self._look.range == _FULL else "tv"
        return f"out_range={side}:out_color_matrix={_MATRICES[self._look.matrix]}:{_EXACT}"


def _graph(frame: Any, scaling: str, pixel_format: str) -> Any:
    """A chain of FFmpeg's filters from frames like this one to a pixel format."""
    return _chain(frame, ("scale", scaling), ("format", pixel_format))


def _chain(frame: Any, *filters: tuple[str, str]) -> Any:
    """FFmpeg's filters with their options, one behind the other, for frames like this one."""
    graph = library().filter.Graph()
    links = [graph.add("buffer", _described(frame)), *(graph.add(*one) for one in filters), graph.add("buffersink")]
    for one, next in pairwise(links):
        one.link_to(next)
    graph.configure()
    return graph


def _through(graph: Any, frame: Any) -> Any:
    graph.push(frame)
    return graph.pull()


def resized(picture: Samples, size: tuple[int, int]) -> Samples:
    """A picture of another width and height: by areas where it becomes smaller, else bicubic."""
    if size == picture.shape[1::-1]:
        return picture
    smaller = size[0] < picture.shape[1] or size[1] < picture.shape[0]
    made: Any = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return cast(Samples, made)


class Palettes:
    """Reduces frames to 256 colours, chosen for each of them."""

    def __init__(self) -> None:
        self._graph: Any = None

    def __call__(self, frame: Any) -> Any:
        if self._graph is None:
            self._graph = library().filter.Graph()
            source, sink = self._graph.add("buffer", _described(frame)), self._graph.add("buffersink")
            split, use = self._graph.add("split"), self._graph.add("paletteuse", "new=1:dither=sierra2_4a")
            palette = self._graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
            source.link_to(split)
            split.link_to(use, 0, 0)
            split.link_to(palette, 1, 0)
            palette.link_to(use, 0, 1)
            use.link_to(sink)
            self._graph.configure()
        return _through(self._graph, frame)


class Cuts:
    """Tells of each frame of a film whether a take begins with it, by FFmpeg's `scdet` on a small version."""

    def __init__(self) -> None:
        self._graph: Any = None

    def __call__(self, frame: Any) -> bool:
        if self._graph is None:
            # Its score is how much more this frame differs from the last than that one did: steady motion is no cut.
            # From 5 on it tells 79 of 79 cuts between photographs, blended for a frame or not; from 10 on, its own
            # threshold, two thirds of the blended ones. A jerk of the camera by a tenth of the frame may pass for one.
            filters = ("scale", "128:72:flags=area"), ("format", "yuv420p"), ("scdet", "threshold=5")
            self._graph = _chain(frame, *filters)
        return "lavfi.scd.time" in _through(self._graph, frame).metadata


def _described(frame: Any) -> str:
    """A frame as the filter that others follow wants it described."""
    base = Fraction(frame.time_base or Fraction(1, 1000))
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
    return f"{size}:time_base={base.numerator}/{base.denominator}"
