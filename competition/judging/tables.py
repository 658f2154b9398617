"""Reads CSVs of pictures, as base64 of PNGs or as pixel values, whoever wrote them."""

import base64
import binascii
import csv
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Bytes
from competition.judging.reading import Entry, Size, most_bytes, too_large


def read_csv(path: Path, columns: tuple[str, str] | None, largest: Size) -> Iterator[Entry]:
    """The rows of a CSV whose second column holds a picture; raises BadInput where it is no such table.

    Without the names of the `columns` any will do. `largest` is the (width, height) of the largest picture.
    """
    longest = 2 * most_bytes(largest)  # four characters a value, or four for three bytes
    csv.field_size_limit(longest)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(_lines(path, file, longest))
            _require_header(path, next(rows, []), columns)
            for number, row in enumerate(rows, 2):
                yield _entry(path, number, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(Fault("bad table", printable(path), f"is no CSV ({error})", "Write it again")) from error


def _lines(path: Path, file: IO[str], longest: int) -> Iterator[str]:
    while line := file.readline(longest):
        if len(line) == longest:
            cause = f"has a line of {longest:,} characters or more"
            raise BadInput(Fault("bad table", printable(path), cause, "Write it again"))
        yield line


def _require_header(path: Path, header: list[str], columns: tuple[str, str] | None) -> None:
    if len(header) != 2 or (columns and tuple(header) != columns):
        expected = ",".join(columns) if columns else "two columns, name and picture"
        cause = f"begins with {','.join(header)[:80]!a}, expected {expected}"
        raise BadInput(Fault("bad table", printable(path), cause, "Write it again"))


def _entry(path: Path, number: int, row: list[str]) -> Entry:
    if len(row) != 2:
        where, cause = f"{printable(path)}:{number}", f"{len(row)} cells in this row, expected 2"
        raise BadInput(Fault("bad table", where, cause, "Write it again"))
    return Entry(row[0], path / row[0], partial(_picture, path / row[0], row[1]))


def _picture(path: Path, cell: str, size: Size) -> bytes | Bytes:
    if " " in cell[:8]:  # base64 has no spaces
        return _pixels(path, cell, size)
    try:
        content = base64.b64decode(cell, validate=True)
    except binascii.Error as error:
        cause = f"is no base64 ({error})"
        raise BadInput(Fault("damaged data", printable(path), cause, "Write it again")) from error
    if len(content) > most_bytes(size):
        raise too_large(path, f"{len(content):,}")
    return content


def _pixels(path: Path, cell: str, size: Size) -> Bytes:
    width, height = size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy only warns of what is no number
            values = np.fromstring(cell, np.int64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        cause = "holds something that is no whole number"
        raise BadInput(Fault("damaged data", printable(path), cause, "Write it again")) from error
    if len(values) != 3 * width * height:
        cause = f"{len(values):,} values, expected 3x{width}x{height}"
        raise BadInput(Fault("wrong size", printable(path), cause, "Predict it again"))
    if values.min() < 0 or values.max() > 255:
        cause = f"values from {values.min()} to {values.max()}, allowed are 0 to 255"
        raise BadInput(Fault("not 8 bit", printable(path), cause, "Convert it to 8-bit RGB"))
    return values.astype(np.uint8).reshape(height, width, 3)
