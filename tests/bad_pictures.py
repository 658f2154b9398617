"""Every kind of file that lies where a picture should: makers by name, for tests that put them among good ones."""

import io
import os
import socket
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from picture_files import chunk, exif, header_png, png_of, saved, with_chunk
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
PNG = bytes(cv2.imencode(".png", PIXELS)[1])


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.png", PNG)
    return buffer.getvalue()


def _flipped() -> bytes:
    content = bytearray(PNG)
    content[len(content) // 2] ^= 1
    return bytes(content)


def _rows_that_lack() -> bytes:
    header = (4).to_bytes(4, "big") + (5).to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(bytes(13 * 3))), (b"IEND", b""))


def _animated() -> bytes:
    return saved(PIXELS, "RGB", "PNG", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])])


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "one byte": PNG[:1],
    "text": b"no picture\n",
    "HTML": b"<!doctype html><title>404</title>",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid",
    "zeros": bytes(1000),
    "noise": bytes(range(1, 200)),
    "wrong magic": b"\x88" + PNG[1:],
    "sent as text": PNG.replace(b"\r\n", b"\n"),
    "cut in the header": PNG[:20],
    "cut in the data": PNG[: len(PNG) // 2],
    "last byte lacks": PNG[:-1],
    "flipped byte": _flipped(),
    "rows that lack": _rows_that_lack(),
    "60000x60000": header_png(60_000, 60_000),
    "no pixels": header_png(0, 5),
    "unknown colours": header_png(4, 5, colour=5),
    "RGBA": saved(PIXELS, "RGBA", "PNG"),
    "transparent colour": saved(PIXELS, "RGB", "PNG", transparency=(1, 2, 3)),
    "16 bit": bytes(cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1]),
    "dark 16 bit": bytes(cv2.imencode(".png", PIXELS.astype(np.uint16))[1]),
    "1 bit": saved(PIXELS, "1", "PNG"),
    "grey": saved(PIXELS, "L", "PNG"),
    "16-bit grey": saved(PIXELS, "I;16", "PNG"),
    "grey with alpha": saved(PIXELS, "LA", "PNG"),
    "palette": saved(PIXELS, "P", "PNG"),
    "animated": _animated(),
    "stored turned": with_chunk(PNG, b"eXIf", exif(6)),
    "header twice": PNG[:33] + chunk(b"IHDR", PNG[16:29]) + PNG[33:],
    "JPEG": saved(PIXELS, "RGB", "JPEG"),
    "BMP": saved(PIXELS, "RGB", "BMP"),
    "TIFF": saved(PIXELS, "RGB", "TIFF"),
    "WebP": saved(PIXELS, "RGB", "WEBP"),
    "zip": _zipped(),
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))  # the name of a socket may have a hundred characters only


def _holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


BAD: dict[str, Callable[[Path], object]] = {kind: _holding(content) for kind, content in CONTENTS.items()} | {
    "folder": lambda path: path.mkdir(),
    "FIFO": os.mkfifo,
    "socket": _socket,
    "link to nowhere": lambda path: path.symlink_to("nowhere.png"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a folder": lambda path: path.symlink_to("."),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}
