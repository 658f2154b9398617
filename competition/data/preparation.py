"""Fill the pixel store: decode, check and write every pair that is new or has changed."""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from competition.data.content import content_faults
from competition.data.difficulty import difficulty_map
from competition.data.likeness import signature
from competition.data.pairs import Pair
from competition.data.sources import Files, Source, low_size, read_pair
from competition.data.store import TILE, Entry, Stored, encode, intact, lookup, path_of, read_fact, stamp
from competition.errors import BadInput
from competition.files import require_space, write_atomic
from competition.locks import locked
from competition.progress import console, progress

StoreKind = Literal["disk", "memory", "none"]
# Decoding, hashing and writing leave Python's lock; each thread holds about a hundred megabytes at 2048 x 2048.
THREADS = min(6, os.cpu_count() or 1)


def prepare(pairs: Sequence[Pair], scale: int, folder: Path, pixels: bool, verify: bool = False) -> None:
    """Bring the store in `folder` up to date with the picture files; without `pixels` it holds facts only.

    What is written stays when the work is cut short, and the next call goes on. With `verify` the bytes of what stands
    are compared with their SHA-256. Where another process prepares the same folder, waits for its end. Raises BadInput
    that lists every damaged or mismatched pair, StorageError when the disk is too small.
    """
    with locked(folder, lambda holder: console.print(f"{folder}: waits for {holder}, which prepares it")):
        _remove_others(pairs, folder)
        missing = [pair for pair in pairs if not _stands(pair, scale, folder, pixels, verify)]
        if missing:
            needed = sum(_bytes_needed(pair, scale, pixels) for pair in missing)
            free = shutil.disk_usage(folder).free
            console.print(f"{folder}: {len(missing)} pairs to decode, {needed / 1e9:.2f} of {free / 1e9:.2f} GB free")
            require_space(folder, needed)
            _write_all(missing, scale, folder, pixels)


class Prepared(NamedTuple):
    """A pair and its file in the store, whose header was read once."""

    pair: Pair
    path: Path
    entry: Entry

    def fact(self, name: str) -> npt.NDArray[Any]:
        """One of the arrays kept beside the pixels: `difficulty` or `signature`."""
        return read_fact(self.path, self.entry, name)


def open_store(pairs: Sequence[Pair], scale: int, folder: Path) -> list[Prepared]:
    """The pairs as they were prepared; raises BadInput where a picture has changed since."""
    found = []
    for pair in pairs:
        path = path_of(folder, pair)
        entry = lookup(path, pair, scale)
        if entry is None:
            raise BadInput(f"{pair.low}: changed while it was being read. Run the same command again")
        found.append(Prepared(pair, path, entry))
    return found


def sources(kind: StoreKind, prepared: Sequence[Prepared]) -> list[Source]:
    """The pixels of prepared pairs, from where the kind of store says."""
    if kind == "memory":
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda one: read_pair(one.pair, one.entry.scale), prepared))
    if kind == "none":
        return [Files(one.pair, one.entry.scale) for one in prepared]
    return [Stored(one.pair.name, one.path, one.entry) for one in prepared]


def _remove_others(pairs: Sequence[Pair], folder: Path) -> None:
    """Delete what an interrupted call left half written, and pairs that are gone."""
    wanted = {path_of(folder, pair) for pair in pairs}
    for parent in {path.parent for path in wanted}:
        for path in [*parent.glob(".tmp_*"), *parent.glob("*.safetensors")]:
            if path not in wanted:
                path.unlink()


def _stands(pair: Pair, scale: int, folder: Path, pixels: bool, verify: bool) -> bool:
    path = path_of(folder, pair)
    entry = lookup(path, pair, scale)
    return entry is not None and (entry.pixels or not pixels) and (not verify or intact(path, entry))


def _bytes_needed(pair: Pair, scale: int, pixels: bool) -> int:
    """A little more than the pair's file will have; nothing for a picture that cannot be read, which `_write` names."""
    try:
        low = low_size(pair, scale)
    except BadInput:
        return 0
    sides = [(low[0] * times, low[1] * times) for times in (1, scale)] if pixels else []
    return 65_536 + sum(-(-height // TILE) * -(-width // TILE) * TILE * TILE * 3 for height, width in sides)


def _write_all(pairs: Sequence[Pair], scale: int, folder: Path, pixels: bool) -> None:
    faults: list[str] = []
    with progress() as bar, ThreadPoolExecutor(THREADS) as pool:
        try:
            work = [pool.submit(_write, pair, scale, folder, pixels) for pair in pairs]
            for done in bar.track(as_completed(work), total=len(work), description="prepare pairs"):
                try:
                    done.result()
                except BadInput as error:
                    faults.extend(error.lines)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if faults:
        raise BadInput(*sorted(faults))


def _write(pair: Pair, scale: int, folder: Path, pixels: bool) -> None:
    before = stamp(pair)
    pictures = read_pair(pair, scale)
    if faults := content_faults(pair.low, pair.high, pictures.low, pictures.high, pictures.scale):
        raise BadInput(*faults)
    facts: dict[str, npt.NDArray[Any]] = {
        "difficulty": difficulty_map(pictures),
        "signature": np.frombuffer(signature(pictures.low).pack(), np.uint8),
    }
    content = encode(pair, pictures, pixels, **facts)
    if stamp(pair) != before:
        raise BadInput(f"{pair.low}: changed while it was being read. Run the same command again")
    write_atomic(path_of(folder, pair), content)
