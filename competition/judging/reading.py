"""What every reader of submissions yields, the entries one by one; and the reader of folders."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Bytes, read_bytes
from competition.manifest import MANIFEST

Size = tuple[int, int]


class Entry(NamedTuple):
    """One entry: its name there, where it is for people, and how to get what it holds.

    `content(size)` gives the bytes of a PNG, or the pixels of a picture of this (width, height); it raises BadInput
    where there is neither, and for more bytes than such a picture can need.
    """

    name: str
    path: Path
    content: Callable[[Size], bytes | Bytes]


def most_bytes(size: Size) -> int:
    """More bytes than any PNG of this size needs, 16 bits and transparency included."""
    return 9 * size[0] * size[1] + 2**20


def too_large(path: Path, count: str) -> BadInput:
    """The refusal of an entry that holds more than its picture can need."""
    cause = f"holds {count} bytes, more than its picture can need"
    return BadInput(Fault("too large", printable(path), cause, "Write it again"))


def read_folder(folder: Path) -> Iterator[Entry]:
    """The files of a folder but hidden ones and its manifest."""
    for name in sorted(os.listdir(folder)):
        if name != MANIFEST and not name.startswith("."):
            yield Entry(name, folder / name, partial(_read_file, folder / name))


def _read_file(path: Path, size: Size) -> bytes:
    most = most_bytes(size)
    content = read_bytes(path, most + 1)
    if len(content) > most:
        raise too_large(path, f"more than {most:,}")
    return content
