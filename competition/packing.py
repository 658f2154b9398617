"""A submission on disk: a folder of PNGs with its manifest, and beside it the file that is handed in."""

import base64
import contextlib
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from competition import files
from competition.errors import BadInput
from competition.files import (
    delete,
    named,
    remove_folder,
    rename,
    sweep,
    sync_folder,
    undone,
    write_parts,
    write_synced,
)
from competition.formats import Base64CsvConfig, CsvConfig, FormatConfig, PixelsCsvConfig, PngZipConfig
from competition.images import Bytes, encode_png, list_pictures, read_header, read_prediction, read_rgb
from competition.locks import locked
from competition.manifest import MANIFEST, FileNote, Manifest, encode, note
from competition.progress import console

Sizes = Mapping[str, tuple[int, int]]
_SUFFIXES = (".zip", ".csv")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process packs into a folder, delete what killed ones left there, and keep others waiting."""
    with locked(folder, lambda holder: console.print(f"{folder}: waits for {holder}, which packs")):
        sweep(folder)
        yield


def pack(output: Path, pictures: Iterable[tuple[str, Bytes]], manifest: Manifest) -> Path:
    """Put uint8 (H, W, 3) pictures, by file name, and the manifest into OUTPUT/, and all pictures into one file beside.

    Returns the file: OUTPUT.zip or OUTPUT.csv, by the manifest's format. Everything is whole on disk before the old
    submission makes room, and the file comes last: when there is one, it is whole and that of the folder. To be called
    `alone` in the folder that holds OUTPUT/.
    """
    parent = output.parent
    target = parent / f"{output.name}{manifest.format.suffix}"
    staged, staged_file = parent / f".tmp_{output.name}", parent / f".tmp_{target.name}"
    with undone(staged), undone(staged_file):
        _stage(output, staged, staged_file, pictures, manifest)
        with named(output):
            for suffix in _SUFFIXES:  # one of another format would be stale
                delete(parent / f"{output.name}{suffix}")
            sync_folder(parent)
        if output.exists():
            remove_folder(output)
        with named(output):
            rename(staged, output)
            sync_folder(parent)
            rename(staged_file, target)
            sync_folder(parent)
    return target


def faults_of(folder: Path, sizes: Sizes, depths: tuple[int, ...]) -> list[str]:
    """A line for every picture of `folder` that is missing, one too many, or not RGB of its size and `depths`."""
    pictures = list_pictures(folder)
    faults = [f"{folder / name}: missing. Predict it with infer" for name in sizes if name not in pictures]
    for name, path in pictures.items():
        if name not in sizes:
            faults.append(f"{path}: is no picture of this contest. Remove it")
            continue
        try:
            header = read_header(path)
            read_prediction(path)
        except BadInput as error:
            faults += error.lines
            continue
        width, height = sizes[name]
        if (header.width, header.height) != (width, height):
            faults.append(f"{path}: {header.width}x{header.height}, expected {width}x{height}. Predict it again")
        if header.depth not in depths:
            faults.append(f"{path}: {header.depth} bits per sample, expected {depths[0]}. Convert it")
    return faults


def _stage(output: Path, folder: Path, file: Path, pictures: Iterable[tuple[str, Bytes]], manifest: Manifest) -> None:
    """Write the whole submission under temporary names."""

    def write(path: Path, content: bytes) -> None:
        with named(output, len(content)):
            write_synced(path, content)

    with named(output):
        files.on_disk("mkdir", folder, os.mkdir, folder)
    notes = {}
    for name, pixels in pictures:
        write(folder / name, encode_png(pixels))
        notes[name] = note(pixels)
    written, digest = {name: folder / name for name in sorted(notes)}, hashlib.sha256()
    with named(output, sum(path.stat().st_size for path in written.values())):
        write_parts(file, _hashed(_encode(manifest.format, written), digest.update))
    noted = FileNote(name=f"{output.name}{manifest.format.suffix}", sha256=digest.hexdigest())
    write(folder / MANIFEST, encode(manifest.model_copy(update={"pictures": notes, "file": noted})))
    with named(output):
        sync_folder(folder)


def _hashed(parts: Iterable[bytes], update: Callable[[bytes], object]) -> Iterator[bytes]:
    for part in parts:
        update(part)
        yield part


# ---- formats --------------------------------------------------------------------------------------------------------

_NUMERALS = [str(value).encode() for value in range(256)]


def _encode(wanted: FormatConfig, pictures: Mapping[str, Path]) -> Iterator[bytes]:
    """The parts of the file; of a CSV, which may be much larger than its pictures, one row at a time."""
    match wanted:
        case PngZipConfig():
            return iter([_zip(pictures)])
        case Base64CsvConfig():
            return _csv(wanted, pictures, lambda path: base64.b64encode(path.read_bytes()))
        case PixelsCsvConfig():
            return _csv(wanted, pictures, _values)


def _zip(pictures: Mapping[str, Path]) -> bytes:
    """A zip whose bytes depend on the pictures alone: sorted, without times, stored (PNG does not shrink again)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in pictures.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, also where this runs on another system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _csv(wanted: CsvConfig, pictures: Mapping[str, Path], cell: Callable[[Path], bytes]) -> Iterator[bytes]:
    yield ",".join(wanted.columns).encode() + b"\n"
    for name, path in pictures.items():
        yield wanted.label(name).encode() + b"," + cell(path) + b"\n"


def _values(path: Path) -> bytes:
    """The values of a picture as text, row by row, pixel by pixel, red green blue."""
    return b" ".join(map(_NUMERALS.__getitem__, read_rgb(path).tobytes()))
