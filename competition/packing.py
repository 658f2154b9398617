"""A submission on disk: a folder and a zip of PNGs, written whole, read back and checked."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from competition.errors import BadInput
from competition.files import remove_folder, sync_folder, write_synced
from competition.images import list_pictures, read_header, read_prediction

Sizes = Mapping[str, tuple[int, int]]


def pack(output: Path, pictures: Mapping[str, bytes]) -> None:
    """Put the pictures into OUTPUT/ and OUTPUT.zip.

    Both are whole on disk before the old ones make room. A crash between the two renames can leave a new folder beside
    an old zip: `verify` tells, and packing again mends it.
    """
    archive = output.with_name(f"{output.name}.zip")
    temporary = output.with_name(f".tmp_{output.name}")
    if temporary.exists():  # left by a crash
        remove_folder(temporary)
    temporary.mkdir(parents=True)
    for name, content in pictures.items():
        write_synced(temporary / name, content)
    sync_folder(temporary)
    zipped = archive.with_name(f".tmp_{archive.name}")
    write_synced(zipped, _zip(pictures))
    if output.exists():
        remove_folder(output)
    os.rename(temporary, output)
    os.replace(zipped, archive)
    sync_folder(output.parent)


def verify(output: Path, sizes: Sizes) -> None:
    """Read OUTPUT/ and OUTPUT.zip back; raises BadInput that lists every difference from the expected pictures.

    `sizes` maps each expected file name to (width, height); pictures must be 8-bit RGB, and equal in folder and zip.
    """
    faults = faults_of(output, sizes, depths=(8,))
    archive = output.with_name(f"{output.name}.zip")
    try:
        with zipfile.ZipFile(archive) as content:
            zipped = sorted(content.namelist())
            if zipped != sorted(sizes):
                faults.append(f"{archive}: holds {len(zipped)} entries, not the {len(sizes)} expected. Submit again")
            faults += [
                f"{archive}: {name}: differs from {output / name}. Submit again"
                for name in set(zipped) & set(sizes)
                if not (output / name).exists() or content.read(name) != (output / name).read_bytes()
            ]
    except (OSError, zipfile.BadZipFile) as error:
        faults.append(f"{archive}: {error}. Submit again")
    if faults:
        raise BadInput(*faults)


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


def _zip(pictures: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on the pictures alone: sorted, without times, stored (PNG does not shrink again)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(pictures):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, pictures[name])
    return buffer.getvalue()
