"""Take a film apart: its frames as a zip of PNGs or as one file of arrays."""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from competition.errors import BadInput, UsageError
from competition.files import appearing
from competition.images import encode_png
from competition.media.films import opened
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent
from competition.video.overlap import ahead
from competition.video.shots import Part, Shot, shots

TIMES = "times.csv"
_STAMP = (1980, 1, 1, 0, 0, 0)  # so that the same film gives the same bytes


class Extracted(NamedTuple):
    """How many frames were written, their size in pixels, and the file's bytes."""

    frames: int
    width: int
    height: int
    bytes: int


def extract_frames(
    path: Path,
    output: Path,
    every: Fraction | None = None,
    limits: Limits = OWN,
    most: int | None = None,
    name: str | None = None,
    report: Report = silent,
) -> Extracted:
    """Write the first frame at or after each multiple of `every` seconds, or all, as OUTPUT: a .zip or a .npz.

    The zip holds RGB PNGs named by number and milliseconds, 000012_000000480.png, and times.csv with their exact times;
    the .npz holds the arrays `frames`, uint8 (N, H, W, 3) RGB (uint16 for films of more than 8 bits), and `seconds`,
    float64 (N,). Both are streamed to the disk, may pass 4 GiB, and appear whole or not at all. `most` is how many
    bytes may be written. `report` hears (seconds done, seconds in all).

    Raises BadInput for the film and for more than `most` bytes, UsageError for the options, OSError for the disk.
    """
    write = {".zip": _write_zip, ".npz": _write_npz}.get(output.suffix.lower())
    if write is None:
        raise UsageError(f"{output}: its ending is neither .zip, for PNGs, nor .npz, for arrays. Choose one of them")
    if every is not None and every <= 0:
        raise UsageError(f"--every: {every} would take every frame again and again. Give a time, or leave it out")
    with opened(path, limits, name=name) as film:
        length = film.seconds
    subject = name or str(path)

    def require(size: int) -> None:
        if most is not None and size > most:
            raise BadInput(f"{subject}: its frames take more than {most:,} bytes. Take fewer, with a larger --every")

    with closing(ahead(_chosen(shots(path, Part(), limits, name), every))) as coming:
        taken = _counted(_told(coming, length, report), subject)
        with appearing(output) as temporary, open(temporary, "w+b") as file:
            size = write(taken, file, require)
    return Extracted(*size, output.stat().st_size)


def _chosen(shots: Generator[Shot, None, None], every: Fraction | None) -> Generator[Shot, None, None]:
    first: int | None = None
    due = Fraction(0)
    with closing(shots):
        for shot in shots:
            first = shot.stamp if first is None else first
            time = (shot.stamp - first) * shot.look.time_base
            if every is None or time >= due:
                due = due if every is None else (time // every + 1) * every
                yield shot._replace(stamp=shot.stamp - first)


def _told(shots: Iterator[Shot], length: float, report: Report) -> Iterator[Shot]:
    for shot in shots:
        yield shot
        done = float((shot.stamp + shot.duration) * shot.look.time_base)
        report(done, max(done, length))


def _counted(shots: Iterator[Shot], subject: str) -> Iterator[tuple[int, Fraction, Any]]:
    """Number, seconds and picture of each; raises BadInput where there is none."""
    number = -1
    for number, shot in enumerate(shots):
        yield number, shot.stamp * shot.look.time_base, shot.picture
    if number < 0:
        raise BadInput(f"{subject}: none of its frames can be decoded. Convert it, or fetch it again")


Require = Callable[[int], None]
Pictures = Iterator[tuple[int, Fraction, Any]]


def _write_zip(pictures: Pictures, file: IO[bytes], require: Require) -> tuple[int, int, int]:
    times, width, height = ["name,seconds\n"], 0, 0
    with zipfile.ZipFile(file, "w") as archive:
        for number, seconds, picture in pictures:
            name = f"{number:06d}_{round(seconds * 1000):09d}.png"
            archive.writestr(zipfile.ZipInfo(name, _STAMP), encode_png(picture))  # PNGs are compressed already
            times.append(f"{name},{seconds}\n")
            height, width = picture.shape[:2]
            require(file.tell())
        archive.writestr(zipfile.ZipInfo(TIMES, _STAMP), "".join(times), zipfile.ZIP_DEFLATED)
    return len(times) - 1, width, height


def _write_npz(pictures: Pictures, file: IO[bytes], require: Require) -> tuple[int, int, int]:
    """The arrays wait beside the file until their number is known, which their header begins with."""
    times: list[float] = []
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as body:
        for _, seconds, picture in pictures:
            body.write(picture.data)
            times.append(float(seconds))
            height, width = picture.shape[:2]
            require(2 * body.tell())
        body.seek(0)
        header = {"descr": picture.dtype.str, "fortran_order": False, "shape": (len(times), height, width, 3)}
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(zipfile.ZipInfo("frames.npy", _STAMP), "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                shutil.copyfileobj(body, member, 2**20)
            with archive.open(zipfile.ZipInfo("seconds.npy", _STAMP), "w") as member:
                np.lib.format.write_array(member, np.array(times), allow_pickle=False)
    return len(times), width, height
