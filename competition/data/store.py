"""The pixel store: one safetensors file a pair, decoded once, in tiles that training maps into memory."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save

from competition.data.pairs import Pair
from competition.data.sources import Pictures
from competition.errors import BadInput
from competition.images import Bytes
from competition.memory import random_access, will_need

VERSION = 2
_KEY = "competition"
_TYPES = {"U8": np.uint8, "F32": np.float32}
# A tile of 64 x 64 pixels fills three pages of memory: a patch touches little beyond itself, in long runs of bytes.
TILE = 64
TILE_BYTES = TILE * TILE * 3
PAGE = 4096
MOST_HEADER = 2**20

Map = npt.NDArray[np.float32]


class Array(NamedTuple):
    """Where an array lies in its file: offset in bytes, shape, type."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Entry(NamedTuple):
    """What a file says of its pair: the low picture's (height, width), the scale, its arrays, their SHA-256."""

    size: tuple[int, int]
    scale: int
    arrays: dict[str, Array]
    sha256: str

    @property
    def pixels(self) -> bool:
        """Whether the pixels are there."""
        return {"low", "high"} <= set(self.arrays)


def path_of(folder: Path, pair: Pair) -> Path:
    """The file of a pair; by hash, as a picture's name may be as long as the disk allows."""
    # Apart, so that an experiment without synthetic pairs leaves those of another alone.
    folder = folder / "synthetic" if pair.recipe else folder
    return folder / f"{sha256(pair.name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.safetensors"


def encode(pair: Pair, pictures: Pictures, pixels: bool, **facts: npt.NDArray[Any]) -> bytes:
    """The bytes of a pair's file: arrays of facts and, with `pixels`, the tiles of both pictures.

    The metadata holds version, name, sizes, size and time of both picture files, and the SHA-256 of all arrays.
    """
    arrays = dict(sorted(facts.items()))
    if pixels:
        arrays |= {"high": _split(pictures.high), "low": _split(pictures.low)}
    metadata = {
        "version": VERSION,
        "name": pair.name,
        "size": pictures.size,
        "scale": pictures.scale,
        "sources": stamp(pair),
        "sha256": _digest(arrays),
    }
    content = save(arrays, {_KEY: json.dumps(metadata)})  # as one entry: safetensors shuffles several
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    start = json.loads(header)["high"]["data_offsets"][0] if pixels else 0
    # safetensors allows blanks after its header: with these the tiles begin at a page.
    padding = -(8 + length + start) % PAGE
    return b"".join(((length + padding).to_bytes(8, "little"), header, b" " * padding, content[8 + length :]))


def lookup(path: Path, pair: Pair, scale: int) -> Entry | None:
    """The entry of a pair, or None where it is missing, broken, of another version, or older than its pictures."""
    try:
        with _opened(path) as file:
            facts, arrays = _read_header(file)
        expected = {"version": VERSION, "name": pair.name, "scale": scale, "sources": stamp(pair)}
        entry = Entry(tuple(facts["size"]), scale, arrays, facts["sha256"])
        return entry if all(facts[key] == value for key, value in expected.items()) else None
    except (OSError, LookupError, TypeError, ValueError):
        return None


def intact(path: Path, entry: Entry) -> bool:
    """Whether the bytes of a file are those that were written, by its SHA-256."""
    return _digest({name: read_fact(path, entry, name) for name in entry.arrays}) == entry.sha256


def read_fact(path: Path, entry: Entry, name: str) -> npt.NDArray[Any]:
    """One of the arrays that `encode` was given."""
    array = entry.arrays[name]
    with _opened(path) as file:
        content = os.pread(file, array.nbytes, array.offset)
    return np.frombuffer(content, array.dtype).reshape(array.shape)


class Stored:
    """A pair in the store, as a `Source`; mapped at the first look, so that thousands cost nothing to open."""

    def __init__(self, name: str, path: Path, entry: Entry) -> None:
        self.name = name
        self.path = path
        self.entry = entry
        self.size = entry.size
        self._tiles: tuple[Bytes, Bytes] | None = None
        self._addresses: list[int] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Stored, (self.name, self.path, self.entry)  # another process maps the file for itself

    def expect(self, top: int, left: int, size: int) -> None:
        """See `Source`."""
        for tiles, address, times in zip(self._mapped(), self._addresses, (1, self.entry.scale), strict=True):
            rows, columns = _touched(top * times, size * times), _touched(left * times, size * times)
            for row in range(rows.start, rows.stop):
                first = row * tiles.shape[1] + columns.start
                will_need(address + first * TILE_BYTES, (columns.stop - columns.start) * TILE_BYTES)

    def cut(self, top: int, left: int, size: int) -> tuple[Bytes, Bytes]:
        """See `Source`."""
        low, high = self._mapped()
        scale = self.entry.scale
        return _cut(low, top, left, size, size), _cut(high, top * scale, left * scale, size * scale, size * scale)

    def whole(self) -> Pictures:
        """See `Source`."""
        low, high = self._mapped()
        height, width = self.size
        scale = self.entry.scale
        for tiles, address in zip((low, high), self._addresses, strict=True):
            will_need(address, tiles.nbytes)
        return Pictures(self.name, _cut(low, 0, 0, height, width), _cut(high, 0, 0, height * scale, width * scale))

    def _mapped(self) -> tuple[Bytes, Bytes]:
        if self._tiles is None:
            self._require_same()
            low, high = self.entry.arrays["low"], self.entry.arrays["high"]
            length = max(low.offset + low.nbytes, high.offset + high.nbytes)
            # By torch, whose mappings, unlike Python's, keep no file open each.
            mapped = torch.from_file(str(self.path), shared=False, size=length, dtype=torch.uint8).numpy()
            random_access(mapped.ctypes.data, length)
            self._tiles = _view(mapped, low), _view(mapped, high)
            self._addresses = [tiles.ctypes.data for tiles in self._tiles]
        return self._tiles

    def _require_same(self) -> None:
        """Raise BadInput where another run with other pictures or recipes has replaced the file since it was opened."""
        try:
            with _opened(self.path) as file:
                same = _read_header(file)[0]["sha256"] == self.entry.sha256
        except (OSError, LookupError, TypeError, ValueError):
            same = False
        if not same:
            cause = f"{self.path}: {self.name} was prepared anew or removed by another run"
            raise BadInput(f"{cause}. Give each of the two a data.cache of its own")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file to be read here and there: without that advice the system would fetch megabytes around each look."""
    file = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        yield file
    finally:
        os.close(file)


def _read_header(file: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Our metadata and the arrays of a safetensors file; raises ValueError or LookupError for anything not whole."""
    beginning = os.pread(file, PAGE, 0)
    length = int.from_bytes(beginning[:8], "little")
    if length > MOST_HEADER:
        raise ValueError("no header")
    header = json.loads((beginning + os.pread(file, max(0, 8 + length - PAGE), PAGE))[8 : 8 + length])
    facts = json.loads(header.pop("__metadata__")[_KEY])
    arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        arrays[name] = Array(8 + length + end, tuple(entry["shape"]), np.dtype(_TYPES[entry["dtype"]]))
        if entry["data_offsets"] != [end, end + arrays[name].nbytes]:
            raise ValueError("arrays overlap or leave holes")
        end += arrays[name].nbytes
    if os.fstat(file).st_size != 8 + length + end:
        raise ValueError("not whole")
    return facts, arrays


def _view(mapped: Bytes, array: Array) -> Bytes:
    return mapped[array.offset : array.offset + array.nbytes].reshape(array.shape)


def stamp(pair: Pair) -> list[Any]:
    """Size and time of change of both picture files, which tell a changed one without reading it, and the recipe."""
    files = [[status.st_size, status.st_mtime_ns] for status in (pair.low.stat(), pair.high.stat())]
    return files if pair.recipe is None else [*files, pair.recipe.degradation.model_dump(), pair.recipe.seed]


def _digest(arrays: dict[str, npt.NDArray[Any]]) -> str:
    digest = sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _split(picture: Bytes) -> Bytes:
    """(H, W, 3) to tiles (rows, columns, TILE, TILE, 3); the last ones are filled up with zeros."""
    rows, columns = -(-picture.shape[0] // TILE), -(-picture.shape[1] // TILE)
    padded = np.zeros((rows * TILE, columns * TILE, 3), np.uint8)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return np.ascontiguousarray(padded.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2))


def _touched(start: int, length: int) -> slice:
    """The tiles of one axis that pixels start..start+length-1 lie in."""
    return slice(start // TILE, (start + length - 1) // TILE + 1)


def _cut(tiles: Bytes, top: int, left: int, height: int, width: int) -> Bytes:
    """The pixels (height, width, 3) at a corner: a view of a copy."""
    block = tiles[_touched(top, height), _touched(left, width)].swapaxes(1, 2)
    joined: Bytes = block.reshape(block.shape[0] * TILE, block.shape[2] * TILE, 3)
    top, left = top % TILE, left % TILE
    return joined[top : top + height, left : left + width]
