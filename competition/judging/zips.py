"""Reads zips of others: nothing is believed of sizes and names, and nothing is unpacked to disk."""

import io
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


class _Careful(io.FileIO):
    """A zip on disk, of which nothing large is read at once until it is `listed`: zipfile reads the list so."""

    listed = False

    def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]
        """As of every file; raises BadInput for a list that is too long."""
        if size is not None and size > MAX_DIRECTORY and not self.listed:
            cause = f"lists entries in {size:,} bytes, allowed are {MAX_DIRECTORY:,}"
            raise BadInput(Fault("too many entries", printable(Path(str(self.name))), cause, "Zip the pictures alone"))
        return super().read(-1 if size is None else size)


def read_zip(path: Path) -> Iterator[Entry]:
    """The files of a zip; raises BadInput where it is damaged or lists more entries than any contest has pictures."""
    try:
        with _Careful(path) as file, zipfile.ZipFile(file) as archive:
            file.listed = True
            for info in archive.infolist():
                if not info.orig_filename.endswith("/"):
                    yield _entry(path, archive, info)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadInput(Fault("bad zip", printable(path), f"damaged zip ({error})", "Zip the pictures again")) from error


def _entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    name = info.orig_filename  # `filename` ends at a NUL byte, where other programs may read on
    inside = path / name.lstrip("/")
    return Entry(name, inside, partial(_unpack, inside, archive, info))


def _unpack(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: Size) -> bytes:
    if info.flag_bits & 1:
        raise BadInput(Fault("encrypted", printable(path), "is encrypted", "Zip it without a password"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BadInput(Fault("not regular", printable(path), "is a link or device", "Zip the picture itself"))
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Of the other methods zipfile unpacks all at once, whatever it is asked for: a megabyte may hold gigabytes.
        cause = f"is packed by method {info.compress_type}, which not every program unpacks"
        raise BadInput(Fault("packed otherwise", printable(path), cause, "Zip it the usual way"))
    most = most_bytes(size)
    if info.file_size > most:
        raise too_large(path, f"{info.file_size:,}")
    try:
        with archive.open(info) as file:
            content = file.read(most + 1)  # counted while it unpacks, whatever the zip says
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError) as error:
        cause = f"cannot be unpacked ({error})"
        raise BadInput(Fault("damaged entry", printable(path), cause, "Zip the pictures again")) from error
    if len(content) > most:
        raise too_large(path, f"more than {most:,}")
    return content
