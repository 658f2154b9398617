"""From the bytes of one entry to pixels, with Pillow, where what is handed in was written with OpenCV."""

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Bytes
from competition.judging.reading import Size
from competition.png import chunks, parse_header

# Chunks that change what a viewer or another decoder shows of the same pixels.
_TELLING = {
    b"iCCP": "a colour profile",
    b"gAMA": "a gamma",
    b"cHRM": "primaries",
    b"cICP": "colour code points",
    b"sBIT": "a number of significant bits",
    b"eXIf": "EXIF data",
    b"tRNS": "a transparent colour",
    b"acTL": "an animation",
}


def decode(path: Path, content: bytes | Bytes, size: Size) -> tuple[Bytes, list[Fault]]:
    """uint8 (H, W, 3) of an entry, and what else is wrong with it; `size` is the expected (width, height).

    Raises BadInput where there are no such pixels.
    """
    if isinstance(content, np.ndarray):
        return content, []
    header = parse_header(path, content)
    found = list(chunks(path, content))
    told = [_telling(path, kind) for kind in dict.fromkeys(kind for kind, _ in found) if kind in _TELLING]
    faults = told + _form(path, (header.width, header.height), header.depth, size)
    if len(faults) > len(told):
        raise BadInput(*faults)
    _require_all_rows(path, content, b"".join(chunk[8:-4] for kind, chunk in found if kind == b"IDAT"), size)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            picture.load()
            mode, pixels = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        cause = f"cannot be decoded ({error})"
        raise BadInput(Fault("damaged data", printable(path), cause, "Write it again"), *told) from error
    if mode != "RGB" or pixels.shape != (size[1], size[0], 3):
        raise BadInput(Fault("not rgb", printable(path), f"is {mode} to Pillow", "Convert it to 8-bit RGB"), *told)
    return pixels, told


def _require_all_rows(path: Path, content: bytes, packed: bytes, size: Size) -> None:
    """Pillow leaves the rows black that the data lacks; an interlaced picture's data is of another size."""
    rows = (1 + 3 * size[0]) * size[1]
    stream = zlib.decompressobj()
    try:
        unpacked = len(stream.decompress(packed, rows + 1))
    except zlib.error as error:
        raise BadInput(Fault("damaged data", printable(path), f"damaged data ({error})", "Write it again")) from error
    if content[28] == 0 and (unpacked != rows or not stream.eof):
        cause = f"holds {unpacked:,} bytes of rows, expected {rows:,}"
        raise BadInput(Fault("damaged data", printable(path), cause, "Write it again"))


def _form(path: Path, found: Size, depth: int, size: Size) -> list[Fault]:
    faults = []
    if found != size:
        cause = f"{found[0]}x{found[1]}, expected {size[0]}x{size[1]}"
        faults.append(Fault("wrong size", printable(path), cause, "Predict it again"))
    if depth != 8:
        cause = f"{depth} bits per sample, expected 8"
        faults.append(Fault("not 8 bit", printable(path), cause, "Convert it to 8-bit RGB"))
    return faults


def _telling(path: Path, kind: bytes) -> Fault:
    cause = f"chunk {kind.decode()} carries {_TELLING[kind]}, which changes what others see"
    return Fault(f"{kind.decode()} chunk", printable(path), cause, "Write the pixels alone")
