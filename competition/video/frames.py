"""Pictures of a folder, a zip or an array file, one after the other, as frames of a film to be."""

import csv
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Samples
from competition.media.kinds import PICTURES, require_file
from competition.media.limits import Limits
from competition.media.pictures import on_white, read_picture
from competition.video.extract import TIMES

_ENDINGS = tuple(ending for kind in PICTURES for ending in kind.extensions)


class Pictured(NamedTuple):
    """How many pictures there are, what makes them, one at a time, and their seconds where they are told."""

    number: int
    pictures: Callable[[], Iterator[Samples]]
    times: list[Fraction] | None


@contextmanager
def pictured(path: Path, limits: Limits) -> Iterator[Pictured]:
    """The pictures of a folder, a .zip or a .npz, in the order of their names; all of one size.

    Raises BadInput for what is none of these, holds other things, or is beyond the limits; while they are made, for
    pictures that cannot be read and for the first that has another size, by name.
    """
    subject = printable(path)
    if path.is_dir():
        entries = {entry.name: entry for entry in path.iterdir() if not entry.name.startswith(".")}
        times = entries.pop(TIMES, None)
        named = _ordered(subject, list(entries), limits)
        yield Pictured(
            len(named),
            lambda: _alike((f"{subject}/{printable(name)}", _read(entries[name], limits, name)) for name in named),
            _times(subject, times.read_bytes(), named) if times else None,
        )
        return
    limits.require(subject, "bytes", require_file(path))
    with _readable(subject):
        archive = zipfile.ZipFile(path)
    with archive:
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in archive.infolist()):
            # Of other methods zipfile unpacks all at once, whatever it is asked for: a megabyte may hold gigabytes.
            raise BadInput(f"{subject}: is packed in a way that not every program unpacks. Zip it the usual way")
        yield _of_arrays(archive, subject, limits) if path.suffix == ".npz" else _of_zip(archive, subject, limits)


def pictures_of(files: Sequence[tuple[Path, str]], limits: Limits) -> Pictured:
    """The pictures of some files, in this order, each with what its user calls it; raises like `pictured`."""
    limits.require("pictures", "frames", len(files))
    return Pictured(
        len(files), lambda: _alike((printable(name), _read(path, limits, name)) for path, name in files), None
    )


@contextmanager
def _readable(subject: str) -> Iterator[None]:
    """Raises BadInput where the block, which only reads an archive, finds it damaged or locked.

    For these zipfile raises BadZipFile, but also whatever comes of its work: of a broken stream zlib.error or EOFError,
    of a wrong offset OSError, of a wrong name or array ValueError, of what needs a password RuntimeError.
    """
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{subject}: cannot be read as an archive ({error}). Give a folder, a .zip or a .npz") from error


def _of_zip(archive: zipfile.ZipFile, subject: str, limits: Limits) -> Pictured:
    members = {Path(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
    times = members.pop(TIMES, None)
    named = _ordered(subject, list(members), limits)
    most = 8 * limits.pixels  # the largest that a picture of 8 bits can be, and its titles

    def content(info: zipfile.ZipInfo) -> bytes:
        with _readable(subject), archive.open(info) as member:
            found = member.read(most + 1)
        if len(found) > most:
            raise BadInput(f"{subject}: {printable(info.filename)} is larger than any picture. Take it out")
        return found

    def pictures() -> Iterator[tuple[str, Samples]]:
        with tempfile.TemporaryDirectory() as folder:
            for name in named:
                place = Path(folder) / f"picture{Path(name).suffix}"
                place.write_bytes(content(members[name]))
                yield f"{subject}/{printable(name)}", _read(place, limits, name)

    told = _times(subject, content(times), named) if times else None
    return Pictured(len(named), lambda: _alike(pictures()), told)


def _of_arrays(archive: zipfile.ZipFile, subject: str, limits: Limits) -> Pictured:
    """The arrays of `extract_frames`, read picture by picture."""
    shape, dtype = _header(archive, "frames.npy", subject)
    if len(shape) != 4 or shape[3] != 3 or dtype not in (np.uint8, np.uint16) or not shape[0]:
        raise BadInput(f"{subject}: its frames are {dtype} {shape}. Give uint8 or uint16 of (N, H, W, 3)")
    limits.require(subject, "frames", shape[0])
    limits.require(subject, "pixels", shape[1] * shape[2])

    def pictures() -> Iterator[Samples]:
        size = shape[1] * shape[2] * 3 * dtype.itemsize
        with archive.open("frames.npy") as member:
            _read_header(member, subject)
            for _ in range(shape[0]):
                with _readable(subject):
                    content = member.read(size)
                if len(content) < size:
                    raise BadInput(f"{subject}: ends within a frame. Extract it again")
                yield np.frombuffer(content, dtype).reshape(shape[1:])

    times = None
    if "seconds.npy" in archive.namelist():
        length, kind = _header(archive, "seconds.npy", subject)
        if length == shape[:1] and kind == np.float64:
            with _readable(subject), archive.open("seconds.npy") as member:
                found = np.lib.format.read_array(io.BytesIO(member.read(10_000 + 8 * shape[0])), allow_pickle=False)
            times = _rising(subject, [Fraction(float(value)) for value in found if np.isfinite(value)], shape[0])
    return Pictured(shape[0], pictures, times)


def _header(archive: zipfile.ZipFile, name: str, subject: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if name not in archive.namelist():
        raise BadInput(f"{subject}: holds no array {name}. Give one that extract wrote")
    with _readable(subject), archive.open(name) as member:
        return _read_header(member, subject)


def _read_header(member: IO[bytes], subject: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    except ValueError as error:
        raise BadInput(f"{subject}: holds a damaged array ({error}). Extract it again") from error
    if fortran or dtype.hasobject:
        raise BadInput(f"{subject}: holds an array of another kind. Give one that extract wrote")
    return shape, dtype


def _ordered(subject: str, names: list[str], limits: Limits) -> list[str]:
    """Names of pictures in order; raises BadInput that names all others."""
    others = sorted(name for name in names if not name.lower().endswith(_ENDINGS))
    if others:
        raise BadInput(
            *[Fault("no picture", f"{subject}/{printable(name)}", "is no picture", "Take it out") for name in others]
        )
    if not names:
        raise BadInput(f"{subject}: holds no pictures. Give PNG, JPEG, BMP or WebP")
    limits.require(subject, "frames", len(names))
    return sorted(names)


def _read(path: Path, limits: Limits, name: str) -> Samples:
    return on_white(read_picture(path, limits, name))


def _alike(pictures: Iterator[tuple[str, Samples]]) -> Iterator[Samples]:
    """Pictures of one size; raises BadInput that names the first of another one."""
    first: tuple[str, tuple[int, ...]] | None = None
    for name, picture in pictures:
        first = first or (name, picture.shape)
        if picture.shape != first[1]:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (picture.shape, first[1])]
            raise BadInput(f"{name}: is {sizes[0]}, {Path(first[0]).name} is {sizes[1]}. Make all of one size")
        yield picture


def _times(subject: str, content: bytes, names: list[str]) -> list[Fraction] | None:
    """The seconds of the pictures by times.csv; raises BadInput where it does not fit them."""
    try:
        rows = {row["name"]: Fraction(row["seconds"]) for row in csv.DictReader(io.StringIO(content.decode()))}
        return _rising(subject, [rows[name] for name in names], len(names))
    except (KeyError, ValueError, TypeError, ZeroDivisionError, csv.Error) as error:
        raise BadInput(
            f"{subject}/{TIMES}: does not tell every picture's seconds. Take it out, or give --rate"
        ) from error


def _rising(subject: str, times: list[Fraction], count: int) -> list[Fraction]:
    """Times from 0 on; raises BadInput where they are not one for each picture, each later than the one before."""
    if len(times) != count or any(later <= earlier for earlier, later in pairwise(times)):
        raise BadInput(f"{subject}: the times of its pictures do not rise. Give --rate")
    return [time - times[0] for time in times]
