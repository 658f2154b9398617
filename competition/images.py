"""Pictures on disk and in memory: the only file that knows PNG bytes, channel order, bit depth and rounding."""

import os
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MAX_PIXELS = 2**26
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)  # read by OpenCV when it is imported

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

from competition.errors import BadInput, NumericalError, StorageError  # noqa: E402
from competition.files import write_atomic  # noqa: E402

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Samples = Bytes | Words

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KNOWN_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP or another RIFF file",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"v/1\x01": "OpenEXR",
    b"PK": "a zip archive",
    b"%PDF": "PDF",
}
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


class Header(NamedTuple):
    """What a PNG says of itself before any pixel is decoded; sizes in pixels, depth in bits per sample."""

    width: int
    height: int
    depth: int


# ---- reading --------------------------------------------------------------------------------------------------------


def list_pictures(folder: Path) -> dict[str, Path]:
    """The PNG files of a folder by file name, sorted.

    Raises BadInput that lists every entry that is no PNG, and every pair of names that some file systems or unzip
    programs would take for one (case, Unicode form). Names that begin with a dot are passed over.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise BadInput(f"{_show(folder)}: {error.strerror}. Give a folder of PNG pictures") from error
    faults = []
    seen: dict[str, str] = {}
    for name in names:
        if Path(name).suffix.lower() != ".png":
            faults.append(f"{_show(folder / name)}: not named .png. Convert it to PNG or move it elsewhere")
        elif not name.isprintable():
            faults.append(f"{_show(folder / name)}: unprintable characters in the name. Rename it")
        twin = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if twin != name:
            same = f"same name as {_show(Path(twin))} but for case or Unicode form"
            faults.append(f"{_show(folder / name)}: {same}. Rename one of them")
    if faults:
        raise BadInput(*faults)
    if not names:
        raise BadInput(f"{folder}: holds no PNG pictures. Put them there")
    return {name: folder / name for name in names}


def read_header(path: Path) -> Header:
    """Size and bit depth of an RGB PNG, from its first 33 bytes; raises BadInput for anything else."""
    _require_regular(path)
    try:
        with open(path, "rb") as file:
            return _parse_header(path, file.read(33))
    except OSError as error:
        raise BadInput(f"{_show(path)}: {error.strerror}. Make it readable") from error


def read_rgb(path: Path) -> Bytes:
    """Decode an 8-bit RGB PNG to uint8 (H, W, 3); raises BadInput that names the file, the cause and the mend."""
    header, content = _read(path)
    if header.depth != 8:
        raise BadInput(f"{_show(path)}: {header.depth} bits per sample. Convert it to 8-bit RGB")
    pixels: Bytes = _decode(path, header, content)
    return pixels


def read_prediction(path: Path) -> Words:
    """Decode an 8- or 16-bit RGB PNG to uint16 (H, W, 3) in [0, 65535]; raises BadInput like `read_rgb`."""
    header, content = _read(path)
    samples: Words = _decode(path, header, content)
    # By the file's depth, never by the largest value: a dark 16-bit picture stays dark. 255 * 257 = 65535.
    return samples.astype(np.uint16) * 257 if header.depth == 8 else samples


def _show(path: Path) -> str:
    """A path on one printable line."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def _require_regular(path: Path) -> None:
    # Looked at before it is opened: opening a FIFO would wait for ever.
    try:
        mode = path.stat().st_mode
    except OSError as error:
        cause = "dangling link" if os.path.islink(path) else (error.strerror or "unreadable").lower()
        raise BadInput(f"{_show(path)}: {cause}. Put the picture back") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise BadInput(f"{_show(path)}: is {kind}. Put a PNG there or remove it")


def _read(path: Path) -> tuple[Header, bytes]:
    _require_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{_show(path)}: {error.strerror}. Make it readable") from error
    return _parse_header(path, content), content


def _parse_header(path: Path, content: bytes) -> Header:
    if not content:
        raise BadInput(f"{_show(path)}: empty file. Fetch it again")
    if not content.startswith(_SIGNATURE[: len(content)]):
        inside = next((kind for start, kind in _KNOWN_BEGINNINGS.items() if content.startswith(start)), "no PNG")
        raise BadInput(f"{_show(path)}: is {inside} inside but named {path.suffix}. Convert it to PNG")
    if len(content) < 33 or content[12:16] != b"IHDR" or zlib.crc32(content[12:29]) != _number(content[29:33]):
        raise BadInput(f"{_show(path)}: damaged PNG header. Fetch it again")
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    if colour != 2:
        raise BadInput(f"{_show(path)}: {_COLOUR_TYPES.get(colour, 'unknown')} picture. Convert it to RGB")
    if not 0 < width * height <= MAX_PIXELS:
        raise BadInput(f"{_show(path)}: {width}x{height} pixels, allowed are 1 to {MAX_PIXELS:,}. Cut it into parts")
    return Header(width, height, depth)


def _decode(path: Path, header: Header, content: bytes) -> Any:
    essential = [_SIGNATURE]
    for kind, chunk in _chunks(path, content):
        if kind in (b"acTL", b"tRNS"):
            trait = "is animated" if kind == b"acTL" else "has transparent pixels"
            raise BadInput(f"{_show(path)}: {trait}. Convert it to plain RGB")
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            essential.append(chunk)
    # Only the chunks that make pixels reach the decoder: text chunks can unpack to gigabytes.
    pixels = cv2.imdecode(np.frombuffer(b"".join(essential), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (header.height, header.width, 3) or pixels.itemsize * 8 != header.depth:
        raise BadInput(f"{_show(path)}: damaged PNG data. Fetch it again")
    return np.ascontiguousarray(pixels[..., ::-1])


def _chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk up to IEND as (kind, whole chunk); raises BadInput where bytes are missing or changed."""
    position = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        end = position + 12 + _number(content[position : position + 4])
        if len(content) < position + 12 or len(content) < end:
            raise BadInput(f"{_show(path)}: truncated after {len(content):,} bytes. Fetch it again")
        kind = content[position + 4 : position + 8]
        if zlib.crc32(content[position + 4 : end - 4]) != _number(content[end - 4 : end]):
            raise BadInput(f"{_show(path)}: damaged, checksum of chunk {kind!r} differs. Fetch it again")
        yield kind, content[position:end]
        position = end


def _number(four_bytes: bytes) -> int:
    return int.from_bytes(four_bytes, "big")


# ---- values ---------------------------------------------------------------------------------------------------------


def to_tensor(samples: Samples) -> torch.Tensor:
    """uint8 or uint16 (H, W, 3) to float32 (1, 3, H, W) in [0, 1]."""
    peak = np.iinfo(samples.dtype).max
    pixels = torch.from_numpy(samples.astype(np.float32) / np.float32(peak))
    return pixels.permute(2, 0, 1).unsqueeze(0).contiguous()


def quantize(picture: torch.Tensor, depth: int) -> Any:
    """Float (1, 3, H, W) to uint8 or uint16 (H, W, 3): clipped to [0, 1], rounded once, half up.

    Raises NumericalError where a value is not finite.
    """
    if not torch.isfinite(picture).all():
        raise NumericalError("picture: holds values that are not finite. Check the weights that made it")
    peak = 2**depth - 1
    rounded = (picture[0].permute(1, 2, 0).double().clamp(0, 1) * peak + 0.5).floor()
    return rounded.cpu().numpy().astype(np.uint8 if depth == 8 else np.uint16)


def to_bytes(samples: Words) -> Bytes:
    """uint16 [0, 65535] to uint8 [0, 255], rounded half up."""
    # x / 257 rounded half up, in whole numbers.
    return ((samples.astype(np.uint32) * 2 + 257) // 514).astype(np.uint8)


# ---- writing --------------------------------------------------------------------------------------------------------


def encode_png(samples: Samples) -> bytes:
    """The bytes of an RGB PNG of a uint8 or uint16 (H, W, 3) picture; the same picture gives the same bytes."""
    done, content = cv2.imencode(".png", samples[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise StorageError("PNG: could not be encoded. Check the picture's size and type")
    return content.tobytes()


def write_png(path: Path, samples: Samples) -> None:
    """Write a uint8 or uint16 (H, W, 3) RGB picture as PNG, whole or not at all."""
    write_atomic(path, encode_png(samples))
