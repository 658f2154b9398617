"""The pictures of a submission in any form, and every fault of names and files on the way to them."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.formats import FormatConfig, PngZipConfig
from competition.images import Bytes, read_bytes
from competition.judging.decoding import decode
from competition.judging.names import RollCall
from competition.judging.reading import Entry, Size, read_folder
from competition.judging.tables import read_csv
from competition.judging.zips import read_zip
from competition.png.formats import BEGINNING, recognise


class Picture(NamedTuple):
    """One expected picture, uint8 (H, W, 3), by its file name in the contest, and where it is for people."""

    name: str
    path: Path
    pixels: Bytes


def read_pictures(
    submission: Path, sizes: Mapping[str, Size], wanted: FormatConfig | None
) -> Iterator[Picture | Fault]:
    """The pictures of a folder, zip or CSV, and its faults; each expected one is yielded at most once.

    `sizes` maps each expected file name to (width, height). `wanted` tells what a CSV's columns and rows are called;
    without it any columns will do, and names with .png or without.
    """
    try:
        entries, labels = _open(submission, sizes, wanted)
        roll = RollCall(labels, submission)
        for entry in entries:
            name = roll.answer(entry.name)
            if name is not None:
                yield from _decode(entry, name, sizes[name])
    except BadInput as error:  # the whole of it cannot be read on: what may be missing is not known
        yield from error.faults
        return
    yield from [*roll.faults, *roll.missing()]


def _open(
    submission: Path, sizes: Mapping[str, Size], wanted: FormatConfig | None
) -> tuple[Iterator[Entry], dict[str, str]]:
    """The entries, and what they may be called with the picture that each then is."""
    names = {name: name for name in sizes}
    if submission.is_dir():
        return read_folder(submission), names
    beginning = read_bytes(submission, BEGINNING)
    kind, _ = recognise(beginning) or ("of no known kind", False)
    if kind == "a zip archive":
        return read_zip(submission), names
    if kind != "text":
        cause = f"is {kind}, no folder, zip or CSV"
        raise BadInput(Fault("no submission", printable(submission), cause, "Hand in what the contest wants"))
    if wanted is None or isinstance(wanted, PngZipConfig):
        return read_csv(submission, None, _largest(sizes)), {PurePath(name).stem: name for name in sizes} | names
    return read_csv(submission, wanted.columns, _largest(sizes)), {wanted.label(name): name for name in sizes}


def _largest(sizes: Mapping[str, Size]) -> Size:
    return max(sizes.values(), key=lambda size: size[0] * size[1])


def _decode(entry: Entry, name: str, size: Size) -> Iterator[Picture | Fault]:
    try:
        pixels, faults = decode(entry.path, entry.content(size), size)
    except BadInput as error:
        yield from error.faults
        return
    yield from faults
    yield Picture(name, entry.path, pixels)
