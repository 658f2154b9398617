"""What a film or a picture is, told by its header and its first frame."""

from pathlib import Path
from typing import Literal, NamedTuple

from competition.errors import BadInput
from competition.media.films import Film, codec_of, opened
from competition.media.kinds import FILMS, GIF, PICTURES, Kind, identify
from competition.media.limits import OWN, Limits
from competition.media.pictures import header


class Probe(NamedTuple):
    """What is known of a file before it is decoded.

    Width and height are those that are shown, in pixels: after the turn that the file asks for. `frames` is 1 for
    pictures, else what the header says or its seconds give; `seconds` is 0 for pictures. `playable` tells that all
    common browsers play it as it is.
    """

    kind: str
    media: Literal["picture", "film"]
    bytes: int
    width: int
    height: int
    seconds: float = 0.0
    frames: int = 1
    rate: float = 0.0
    codec: str = ""
    pixel_format: str = ""
    bits: int = 8
    rotation: int = 0
    sound: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    chapters: int = 0
    playable: bool = True


def probe(
    path: Path, limits: Limits = OWN, allowed: tuple[Kind, ...] = (*PICTURES, *FILMS), name: str | None = None
) -> Probe:
    """What a file is; a GIF with several pictures is a film. `name` is what its user calls it.

    Raises BadInput for what is none, lies about itself, cannot be decoded, or is beyond the limits.
    """
    kind = identify(path, allowed, name)
    if kind in PICTURES:
        found = header(path, limits, name)
        if kind != GIF or found.pictures == 1:
            return Probe(kind.name, "picture", path.stat().st_size, found.width, found.height, codec=kind.decoder)
    with opened(path, limits, allowed, name) as film:
        return _of_film(film, kind, path.stat().st_size)


def _of_film(film: Film, kind: Kind, size: int) -> Probe:
    stream, streams = film.stream, film.container.streams
    first = next(film.frames(), None)
    if first is None:
        raise BadInput(f"{film.subject}: none of its frames can be decoded. Convert it, or fetch it again")
    turned = round(first.rotation) % 180 == 90
    width, height = (first.height, first.width) if turned else (first.width, first.height)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return Probe(
        kind.name,
        "film",
        size,
        width,
        height,
        film.seconds,
        stream.frames or max(1, round(film.seconds * rate)),
        rate,
        codec_of(stream),
        first.format.name,
        max(component.bits for component in first.format.components),
        round(first.rotation),
        tuple(map(codec_of, film.sounds)),
        tuple(map(codec_of, streams.subtitles)),
        len(film.container.chapters()),
        _playable(kind, codec_of(stream), first.format.name, list(map(codec_of, streams.audio))),
    )


def _playable(kind: Kind, codec: str, pixel_format: str, sound: list[str]) -> bool:
    """Whether Chromium, Firefox and Safari all play it."""
    if kind == GIF:
        return True
    plain = pixel_format in ("yuv420p", "yuvj420p")
    return kind.name == "MP4" and codec == "h264" and plain and set(sound) <= {"aac", "mp3"}
