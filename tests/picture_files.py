"""Picture files made byte by byte: PNGs with any chunks, other kinds of file; reading without the rights of root."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from competition.images import Bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks_of(png: bytes) -> dict[bytes, bytes]:
    """The data of each chunk of a PNG whose kinds are all different."""
    found, position = {}, len(SIGNATURE)
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        found[png[position + 4 : position + 8]] = png[position + 8 : position + 8 + length]
        position += 12 + length
    return found


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one chunk more, right after its header."""
    return png[:33] + chunk(kind, data) + png[33:]


def header_png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A small PNG that claims any size."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))


def saved(pixels: Bytes, mode: str, kind: str, **options: object) -> bytes:
    """A picture in Pillow's `mode` as a file of this `kind`."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block whose second entry is the orientation."""
    beginning = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    entries = [(0x010F, 2, 4, 0), (0x0112, 3, 1, orientation if order == "<" else orientation << 16)]
    return beginning + struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *entry) for entry in entries)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: go without its rights for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
