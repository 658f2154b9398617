"""Pictures on disk and in memory: the only file that knows PNG bytes, channel order, bit depth and rounding."""

import errno
import os
import stat
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from competition.png import MAX_PIXELS, Header, parse_header, pixel_chunks
from competition.png.formats import BEGINNING, recognise

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)  # read by OpenCV when it is imported

import cv2
import numpy as np
import numpy.typing as npt
import torch

from competition.errors import BadInput, Fault, NumericalError, StorageError
from competition.files import printable, write_atomic

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Samples = Bytes | Words
_STRIP = 2**20  # pixels that are rounded at a time: in float64 they take eight times the memory of their bytes

# ---- reading --------------------------------------------------------------------------------------------------------


def list_pictures(folder: Path, excluded: Collection[str] = ()) -> dict[str, Path]:
    """The PNG files of a folder by file name, sorted, without the `excluded` names.

    Raises BadInput that lists every entry that is no PNG, and every pair of names that some file systems or unzip
    programs would take for one (case, Unicode form). Names that begin with a dot are passed over.
    """
    pictures, faults = scan_pictures(folder, excluded)
    if faults:
        raise BadInput(*(fault for _, fault in faults))
    return pictures


def scan_pictures(
    folder: Path, excluded: Collection[str] = ()
) -> tuple[dict[str, Path], list[tuple[str | None, Fault]]]:
    """What `list_pictures` returns and, beside it instead of raised, each fault with the file name it belongs to.

    A picture with a fault in its name is listed all the same; what is not named .png is not. A fault of the folder
    itself has no name, and nothing is listed.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in excluded)
    except OSError as error:
        kind = "missing folder" if error.errno == errno.ENOENT else "unreadable"
        cause = error.strerror or "unreadable"
        return {}, [(None, Fault(kind, printable(folder), cause, "Give a folder of PNG pictures"))]
    if not names:
        return {}, [(None, Fault("empty folder", printable(folder), "holds no PNG pictures", "Put them there"))]
    pictures = {name: folder / name for name in names if Path(name).suffix.lower() == ".png"}
    faults: list[tuple[str | None, Fault]] = []
    seen: dict[str, str] = {}
    for name in names:
        faults += [(name, fault) for fault in _faults_of_name(folder / name, seen)]
    return pictures, faults


def read_header(path: Path) -> Header:
    """Size and bit depth of an RGB PNG, from its first bytes; raises BadInput for anything else."""
    return parse_header(path, read_bytes(path, BEGINNING))


def read_rgb(path: Path) -> Bytes:
    """Decode an 8-bit RGB PNG to uint8 (H, W, 3); raises BadInput that names the file, the cause and the mend."""
    return read_rgb_and_notes(path)[0]


def read_rgb_and_notes(path: Path) -> tuple[Bytes, list[Fault]]:
    """Like `read_rgb`, with what the file says of its colours that reading passes over."""
    content = read_bytes(path)
    header = parse_header(path, content)
    if header.depth != 8:
        raise BadInput(Fault("16 bit", printable(path), f"{header.depth} bits per sample", "Convert it to 8-bit RGB"))
    pixels, notes = _decode(path, header, content)
    return pixels, notes


def read_prediction(path: Path) -> Words:
    """Decode an 8- or 16-bit RGB PNG to uint16 (H, W, 3) in [0, 65535]; raises BadInput like `read_rgb`."""
    content = read_bytes(path)
    header = parse_header(path, content)
    samples: Words = _decode(path, header, content)[0]
    # By the file's depth, never by the largest value: a dark 16-bit picture stays dark. 255 * 257 = 65535.
    return samples.astype(np.uint16) * 257 if header.depth == 8 else samples


def _faults_of_name(path: Path, seen: dict[str, str]) -> Iterator[Fault]:
    """What is wrong with one name; `seen` holds the names before it by what a careless system takes them for."""
    if path.suffix.lower() != ".png":
        yield _misnamed(path)
    elif not path.name.isprintable():
        yield Fault("unprintable name", printable(path), "unprintable characters in the name", "Rename it")
    twin = seen.setdefault(unicodedata.normalize("NFC", path.name).casefold(), path.name)
    if twin != path.name:
        looks_alike = "" if twin.isascii() else f" ({twin!a})"
        cause = f"same name as {printable(twin)}{looks_alike} but for case or Unicode form"
        yield Fault("name clash", printable(path), cause, "Rename one of them")


def _misnamed(path: Path) -> Fault:
    try:
        inside = recognise(read_bytes(path, BEGINNING))
    except BadInput:
        inside = None
    if inside is None or not inside[1]:
        return Fault("not named .png", printable(path), "not named .png", "Convert it to PNG or move it elsewhere")
    cause = f"not named .png, is {inside[0]} inside"
    return Fault("not named .png", printable(path), cause, "Rename it" if inside[0] == "PNG" else "Convert it to PNG")


def read_bytes(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of a regular file, or all; raises BadInput like `read_rgb`, and never waits for a FIFO."""
    _require_regular(path)
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        cause = error.strerror or "unreadable"
        raise BadInput(Fault("unreadable", printable(path), cause, "Make it readable")) from error


def _require_regular(path: Path) -> None:
    # Looked at before it is opened: opening a FIFO would wait for ever.
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise BadInput(_unreachable(path, error)) from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: ("folder", "is a folder"), stat.S_IFIFO: ("fifo", "is a FIFO")}
        kind, cause = kinds.get(stat.S_IFMT(mode), ("not regular", "is not a regular file"))
        raise BadInput(Fault(kind, printable(path), cause, "Put a PNG there or remove it"))


def _unreachable(path: Path, error: OSError) -> Fault:
    if error.errno == errno.ELOOP:
        return Fault("link loop", printable(path), "link that leads back to itself", "Put the picture back")
    if error.errno == errno.ENOENT:
        kind, cause = ("dangling link",) * 2 if path.is_symlink() else ("missing file", "no such file or directory")
        return Fault(kind, printable(path), cause, "Put the picture back")
    return Fault("unreadable", printable(path), (error.strerror or "unreadable").lower(), "Make it readable")


def _decode(path: Path, header: Header, content: bytes) -> tuple[Any, list[Fault]]:
    essential, notes = pixel_chunks(path, content)
    pixels = cv2.imdecode(np.frombuffer(essential, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (header.height, header.width, 3) or pixels.itemsize * 8 != header.depth:
        raise BadInput(Fault("damaged data", printable(path), "damaged PNG data", "Fetch it again"))
    return np.ascontiguousarray(pixels[..., ::-1]), notes


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
    channels, height, width = picture.shape[1:]
    samples = np.empty((height, width, channels), np.uint8 if depth == 8 else np.uint16)
    for top in range(0, height, rows := max(1, _STRIP // width)):
        strip = picture[0, :, top : top + rows]
        if not torch.isfinite(strip).all():
            raise NumericalError("picture: holds values that are not finite. Check the weights that made it")
        rounded = (strip.permute(1, 2, 0).double().clamp(0, 1) * (2**depth - 1) + 0.5).floor()
        samples[top : top + rows] = rounded.cpu().numpy()
    return samples


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


def encode_jpeg(samples: Bytes, quality: int = 85) -> bytes:
    """The bytes of a JPEG of a uint8 (H, W, 3) picture, for looking at."""
    done, content = cv2.imencode(".jpg", samples[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise StorageError("JPEG: could not be encoded. Check the picture's size and type")
    return content.tobytes()


def write_png(path: Path, samples: Samples) -> None:
    """Write a uint8 or uint16 (H, W, 3) RGB picture as PNG, whole or not at all."""
    write_atomic(path, encode_png(samples))
