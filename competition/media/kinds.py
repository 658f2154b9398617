"""What a file is by its first bytes, and whether its name says the same; the decoder follows from it, never a guess."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from competition.errors import BadInput
from competition.files import printable
from competition.png.formats import BEGINNING, recognise


class Kind(NamedTuple):
    """A family of files: names it may have, FFmpeg's demuxer for it (as film) and Pillow's decoder (as picture)."""

    name: str
    extensions: tuple[str, ...]
    demuxer: str = ""
    decoder: str = ""


PNG = Kind("PNG", (".png",), decoder="PNG")
JPEG = Kind("JPEG", (".jpg", ".jpeg"), decoder="JPEG")
BMP = Kind("BMP", (".bmp",), decoder="BMP")
WEBP = Kind("WebP", (".webp",), decoder="WEBP")
GIF = Kind("GIF", (".gif",), "gif", "GIF")
MP4 = Kind("MP4", (".mp4", ".m4v", ".mov"), "mov")
MATROSKA = Kind("Matroska", (".mkv", ".webm"), "matroska")
WMV = Kind("WMV", (".wmv", ".asf"), "asf")
AVI = Kind("AVI", (".avi",), "avi")
MPEG_TS = Kind("MPEG-TS", (".ts", ".m2ts", ".mts"), "mpegts")
MPEG = Kind("MPEG", (".mpg", ".mpeg", ".vob"), "mpeg")
FLV = Kind("FLV", (".flv",), "flv")
OGG = Kind("Ogg", (".ogv", ".ogg"), "ogg")

# What the page takes; the commands of the owner of the machine take the rest as well.
PICTURES = (PNG, JPEG, GIF, BMP, WEBP)
FILMS = (GIF, MP4, MATROSKA, WMV)
ALL_FILMS = (*FILMS, AVI, MPEG_TS, MPEG, FLV, OGG)

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # QuickTime files of old begin without `ftyp`
_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"hevx", b"crx ")
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\xff\xd8\xff": JPEG,
    b"BM": BMP,
    b"GIF87a": GIF,
    b"GIF89a": GIF,
    b"\x1aE\xdf\xa3": MATROSKA,
    b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel": WMV,
    b"\x00\x00\x01\xba": MPEG,
    b"FLV\x01": FLV,
    b"OggS": OGG,
}


def identify(path: Path, allowed: tuple[Kind, ...], name: str | None = None) -> Kind:
    """The kind of a file, by its content; `name` is what its user calls it, by default the path's own.

    Raises BadInput where the content is of no allowed kind, or not of the kind that the name's ending says, and for
    what is no regular file.
    """
    called = Path(name or path.name)
    shown = printable(called if name else path)
    start = _beginning(path)
    kind = _kind(start)
    choices = ", ".join(sorted({ending.lstrip(".") for one in allowed for ending in one.extensions}))
    if kind is None or kind not in allowed:
        known = recognise(start)
        inside = kind.name if kind else known[0] if known else "empty" if not start else "of no known kind"
        raise BadInput(f"{shown}: is {inside}. Give {choices}")
    if called.suffix.lower() not in kind.extensions:
        endings = " or ".join(kind.extensions)
        ending = f"named {called.suffix}" if called.suffix else "its name has no ending"
        raise BadInput(f"{shown}: is {kind.name} inside but {ending}. Name it {endings}")
    return kind


def require_file(path: Path) -> int:
    """The size of a regular file in bytes; raises BadInput for anything else, and never waits for a FIFO."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        cause = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise BadInput(f"{printable(path)}: {cause}. Give a picture or a video") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{printable(path)}: is no regular file. Give a picture or a video")
    return status.st_size


def _beginning(path: Path) -> bytes:
    require_file(path)
    try:
        # A FIFO that took the file's place meanwhile is opened without waiting.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(BEGINNING)
    except OSError as error:
        raise BadInput(f"{printable(path)}: {error.strerror or 'unreadable'}. Make it readable") from error


def _kind(start: bytes) -> Kind | None:
    for beginning, kind in _BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if start[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"AVI ": AVI}.get(start[8:12])
    if start[4:8] in _BOXES:
        return None if start[4:8] == b"ftyp" and start[8:12] in _STILL else MP4
    # Packets of 188 bytes, or of 192 with a time before each, every one with the same first byte.
    packets = (start[::188], start[4::192])
    return MPEG_TS if any(len(one) > 2 and set(one) == {0x47} for one in packets) else None
