"""Reads zips of others: nothing is believed of sizes and names, and nothing is unpacked to disk."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.judging.reading import Entry, Size, most_bytes, too_large

# Bytes of the list of entries: room for ten thousand, where zipfile would take a million and minutes.
MAX_DIRECTORY = 2**20
_COMMENT = 2**16


def read_zip(path: Path) -> Iterator[Entry]:
    """The files of a zip; raises BadInput where it is damaged or lists more entries than any contest has pictures."""
    try:
        if (size := _directory_size(path)) > MAX_DIRECTORY:
            cause = f"lists entries in {size:,} bytes, allowed are {MAX_DIRECTORY:,}"
            raise BadInput(Fault("too many entries", printable(path), cause, "Zip the pictures alone"))
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield _entry(path, archive, info)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(Fault("bad zip", printable(path), f"damaged zip ({error})", "Zip the pictures again")) from error


def _entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    inside = path / info.filename.lstrip("/")
    return Entry(info.filename, inside, partial(_unpack, inside, archive, info))


def _unpack(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: Size) -> bytes:
    if info.flag_bits & 1:
        raise BadInput(Fault("encrypted", printable(path), "is encrypted", "Zip it without a password"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BadInput(Fault("not regular", printable(path), "is a link or device", "Zip the picture itself"))
    most = most_bytes(size)
    if info.file_size > most:
        raise too_large(path, f"{info.file_size:,}")
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)  # counted while it unpacks, whatever the zip says
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        cause = f"cannot be unpacked ({error})"
        raise BadInput(Fault("damaged entry", printable(path), cause, "Zip the pictures again")) from error
    if len(content) > most:
        raise too_large(path, f"more than {most:,}")
    return content


def _directory_size(path: Path) -> int:
    """Bytes of the list of entries, from the records at the end of a zip (APPNOTE 4.3.14 and 4.3.16)."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _COMMENT - 256))
        end = file.read()
    at = end.rfind(b"PK\5\6")
    if at < 0:
        raise zipfile.BadZipFile("its end is missing")
    if at >= 76 and end[at - 20 : at].startswith(b"PK\6\7"):
        return int.from_bytes(end[at - 36 : at - 28], "little")
    return int.from_bytes(end[at + 12 : at + 16], "little")
