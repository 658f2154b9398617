"""The containers that films are written to: by which encoders, in which pixel formats, whole or not at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from competition.errors import UsageError
from competition.files import appearing
from competition.media.films import library
from competition.video.pixels import LIMITED, UNKNOWN, Look, usual_matrix


class Target(NamedTuple):
    """A container: FFmpeg's muxer, its encoders of pictures and of sound.

    `deep` tells whether it keeps more than 8 bits, `shapes` whether it keeps pixels that are not square.
    """

    muxer: str
    codec: str
    options: Mapping[str, str]
    sound: str
    deep: bool = True
    shapes: bool = True

    def muxing(self, last: Fraction) -> dict[str, str]:
        """Options of the muxer, for a film whose last frame is shown for so many seconds."""
        if self.muxer == "gif":
            return {"final_delay": str(round(last * 100))}
        return {"movflags": "+faststart"} if self.muxer in ("mp4", "mov") else {}


# Without frames that refer to later ones, so that chunks can be put one behind the other as they are.
_X264 = {"preset": "veryfast", "crf": "16", "bf": "0"}
_VP9 = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1", "lag-in-frames": "0"}
_WMV = {"flags": "+qscale", "global_quality": str(2 * 118)}  # a fixed quantiser of 2, in FFmpeg's unit
_LOSSLESS = {"level": "3", "slices": "4"}
_ASF = Target("asf", "wmv2", _WMV, "wmav2", deep=False, shapes=False)
TARGETS = {
    ".mp4": Target("mp4", "libx264", _X264, "aac"),
    ".m4v": Target("mp4", "libx264", _X264, "aac"),
    ".mov": Target("mov", "libx264", _X264, "aac"),
    ".mkv": Target("matroska", "libx264", _X264, "aac"),
    ".webm": Target("webm", "libvpx-vp9", _VP9, "libopus", shapes=False),
    ".wmv": _ASF,
    ".asf": _ASF,
    ".gif": Target("gif", "gif", {}, "", deep=False, shapes=False),
}
PREVIEW = Target("mp4", "libx264", {"preset": "veryfast", "crf": "23"}, "aac", deep=False, shapes=False)


def target_of(output: Path) -> Target:
    """The container that a file's ending means; raises UsageError for others."""
    target = TARGETS.get(output.suffix.lower())
    if target is None:
        raise UsageError(f"{output}: its ending names no container. Choose {' '.join(TARGETS)}")
    return target


# Primaries and transfer that go with a matrix: BT.709, and both kinds of BT.601.
_USUAL = {1: (1, 1), 5: (5, 6), 6: (6, 6)}


def lasting(target: Target) -> Target:
    """How chunks for a container are kept until all are there: as they are, or lossless where that is a GIF."""
    return target._replace(codec="ffv1", options=_LOSSLESS) if target.muxer == "gif" else target


def stored_look(target: Target, look: Look, height: int) -> Look:
    """The colours that a container can tell of: WMV tells nothing, so what players take for granted at that size.

    The others tell all three: browsers pass over a matrix that stands alone, and would take another one by the height.
    """
    if target.muxer == "asf":
        return look._replace(matrix=usual_matrix(height), range=LIMITED, primaries=UNKNOWN, transfer=UNKNOWN)
    primaries, transfer = _USUAL.get(look.matrix, (UNKNOWN, UNKNOWN))
    return look._replace(
        primaries=primaries if look.primaries == UNKNOWN else look.primaries,
        transfer=transfer if look.transfer == UNKNOWN else look.transfer,
    )


def options_of(target: Target, look: Look) -> dict[str, str]:
    """The encoder's options, with what is said of HDR where it can write that."""
    light = look.light.parameters() if target.codec == "libx264" else ""
    return {**target.options, **({"x264-params": light} if light else {})}


def pixel_format(target: Target, look: Look, width: int, height: int) -> str:
    """4:2:0, which at twice the size and more still has all the colour that was there; whole where a side is odd."""
    if target.muxer == "gif":
        return "bgr0"
    if not target.deep:
        return "yuv420p"
    sampling = "444" if width % 2 or height % 2 else "420"
    deep = f"yuv{sampling}p10le"
    return deep if look.bits == 16 and deep in _formats(target.codec) else f"yuv{sampling}p"


@lru_cache
def _formats(codec: str) -> frozenset[str]:
    """Pixel formats that an encoder was built for: VP9's, as PyAV brings it, has 8 bits only."""
    return frozenset(format.name for format in library().Codec(codec, "w").video_formats or ())


@contextmanager
def written(output: Path, muxer: str, options: Mapping[str, str] | None = None) -> Iterator[Any]:
    """An open container whose file appears under its name once the block is through, whole.

    Raises OSError that names `output` when the disk refuses.
    """
    with appearing(output) as temporary:
        container = library().open(str(temporary), "w", format=muxer, container_options=dict(options or {}))
        try:
            yield container
            container.close()
        except BaseException:
            with suppress(Exception):
                container.close()
            raise
