"""The pixel store: one safetensors file a pair, decoded once, in tiles that training maps into memory."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from competition.data.pairs import Pair
from competition.data.sources import Pictures
from competition.images import Bytes
from competition.memory import random_access, will_need

VERSION = 1
_KEY = "competition"
# A tile of 64 x 64 pixels fills three pages of memory: a patch touches little beyond itself, in long runs of bytes.
TILE = 64
TILE_BYTES = TILE * TILE * 3
PAGE = 4096

Map = npt.NDArray[np.float32]


class Entry(NamedTuple):
    """What the store says of a pair: the low picture's (height, width), the scale, and whether its pixels are there."""

    size: tuple[int, int]
    scale: int
    pixels: bool


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
        "sources": _sources(pair),
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
        with safe_open(path, framework="np") as file:
            metadata = json.loads(file.metadata()[_KEY])
            pixels = {"low", "high"} <= set(file.keys())
        expected = {"version": VERSION, "name": pair.name, "scale": scale, "sources": _sources(pair)}
        current = all(metadata[key] == value for key, value in expected.items())
        entry = Entry(tuple(metadata["size"]), scale, pixels)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return entry if current else None


def intact(path: Path) -> bool:
    """Whether the bytes of a file are those that were written, by its SHA-256."""
    with safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return bool(_digest(arrays) == json.loads(file.metadata()[_KEY])["sha256"])


def read_fact(path: Path, name: str) -> npt.NDArray[Any]:
    """One of the arrays that `encode` was given."""
    with safe_open(path, framework="np") as file:
        return np.asarray(file.get_tensor(name))


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
            # As torch tensors, which are views of the file and, unlike Python's mmap, keep no file open each.
            with safe_open(self.path, framework="pt") as file:
                self._tiles = file.get_tensor("low").numpy(), file.get_tensor("high").numpy()
            self._addresses = [tiles.ctypes.data for tiles in self._tiles]
            for tiles, address in zip(self._tiles, self._addresses, strict=True):
                random_access(address, tiles.nbytes)
        return self._tiles


def _sources(pair: Pair) -> list[Any]:
    """Size and time of change of both files, which tell a changed picture without reading it, and the recipe."""
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
