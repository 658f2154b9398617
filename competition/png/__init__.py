"""The structure of PNG files: header, chunks, and what beside the pixels decides whether they can be used."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.png.formats import PNG, recognise
from competition.png.tags import COLOUR_CHUNKS, colour_notes, orientation

MAX_PIXELS = 2**26
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class Header(NamedTuple):
    """What a PNG says of itself before any pixel is decoded; sizes in pixels, depth in bits per sample."""

    width: int
    height: int
    depth: int


def parse_header(path: Path, content: bytes) -> Header:
    """Size and depth from the first bytes of an RGB PNG; raises BadInput with what is there instead."""
    if not content:
        _refuse(path, "empty", "empty file", "Fetch it again")
    if not content.startswith(PNG):
        _refuse_foreign(path, content)
    if len(content) < 33:
        _refuse(path, "truncated", f"truncated after {len(content):,} bytes", "Fetch it again")
    if content[8:16] != b"\0\0\0\x0dIHDR" or zlib.crc32(content[12:29]) != _number(content[29:33]):
        _refuse(path, "damaged header", "damaged PNG header", "Fetch it again")
    width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", content[16:29])
    if colour != 2:
        _refuse_colour(path, depth, _COLOUR_TYPES.get(colour, "unknown"))
    if depth not in (8, 16) or methods not in ([0, 0, 0], [0, 0, 1]):
        _refuse(path, "damaged header", "damaged PNG header", "Fetch it again")
    if not 0 < width * height <= MAX_PIXELS:
        kind = "too large" if width * height else "no pixels"
        cause = f"{width}x{height} pixels, allowed are 1 to {MAX_PIXELS:,}"
        _refuse(path, kind, cause, "Cut it into parts" if width * height else "Fetch it again")
    return Header(width, height, depth)


def pixel_chunks(path: Path, content: bytes) -> tuple[bytes, list[Fault]]:
    """A PNG with only the chunks that make its pixels, and notes on colours that are not plain sRGB.

    Text chunks can unpack to gigabytes, so decoders shall not see them. Raises BadInput for missing or changed bytes
    and for pictures whose pixels are not all there is: animated, partly transparent, stored turned.
    """
    essential: list[bytes | memoryview] = [PNG]
    colours: dict[bytes, bytes] = {}
    for kind, chunk in chunks(path, content):
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            essential.append(chunk)
            continue
        data = bytes(chunk[8:-4])
        if kind == b"acTL":
            _refuse(path, "animated", "is animated", "Convert it to plain RGB")
        if kind == b"tRNS":
            _refuse(path, "transparent", "has transparent pixels", "Convert it to plain RGB")
        if (turn := orientation(kind, data)) != 1:
            cause = f"is stored turned (orientation {turn})"
            _refuse(path, "stored turned", cause, "Turn its pixels and remove the tag")
        if kind in COLOUR_CHUNKS:
            colours[kind] = data
    return b"".join(essential), [_note(path, *said) for said in colour_notes(colours)]


# ---- refusals -------------------------------------------------------------------------------------------------------


def _refuse(path: Path, kind: str, cause: str, mend: str) -> NoReturn:
    raise BadInput(Fault(kind, printable(path), cause, mend))


def _note(path: Path, chunk: str, text: str) -> Fault:
    cause = f"chunk {chunk} says {text}, pixels are read as they are"
    return Fault(f"{chunk} chunk", printable(path), cause, "Convert it to sRGB if it looks wrong")


def _refuse_foreign(path: Path, content: bytes) -> NoReturn:
    if PNG.startswith(content):
        _refuse(path, "truncated", f"truncated after {len(content):,} bytes", "Fetch it again")
    if b"PNG" in content[:8] or b"IHDR" in content[:20]:
        _refuse(path, "damaged header", "damaged PNG header", "Fetch it again")
    name, picture = recognise(content) or ("no PNG", False)
    mend = "Convert it to PNG" if picture else "Fetch it again"
    _refuse(path, "not png", f"is {name} inside but named {path.suffix}", mend)


def _refuse_colour(path: Path, depth: int, colour: str) -> NoReturn:
    kind = "1 bit" if depth == 1 and colour == "grey" else colour.lower()
    bits = "" if depth == 8 else f"{depth}-bit "
    _refuse(path, kind, f"{bits}{colour} picture", "Convert it to RGB")


# ---- chunks ---------------------------------------------------------------------------------------------------------


def chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Every chunk up to IEND as (kind, whole chunk); raises BadInput where bytes are missing or changed."""
    position = len(PNG)
    kind = b""
    whole = memoryview(content)
    while kind != b"IEND":
        end = position + 12 + _number(content[position : position + 4])
        if len(content) < position + 12 or len(content) < end:
            _refuse(path, "truncated", f"truncated after {len(content):,} bytes", "Fetch it again")
        kind = content[position + 4 : position + 8]
        if zlib.crc32(whole[position + 4 : end - 4]) != _number(content[end - 4 : end]):
            _refuse(path, "checksum", f"damaged, checksum of chunk {kind!r} differs", "Fetch it again")
        yield kind, whole[position:end]
        position = end


def _number(four_bytes: bytes) -> int:
    return int.from_bytes(four_bytes, "big")
