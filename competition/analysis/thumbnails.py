"""Small pictures beside the findings: low, high, and where they differ."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from competition.analysis.page import Thumbnails
from competition.analysis.report import Finding, Report
from competition.errors import BadInput
from competition.files import printable
from competition.images import Bytes, encode_jpeg, read_rgb

SIDE = 160
# Differences are shown this many times as strong.
STRONGER = 4
FINDINGS = 300
PAIRS = 2


def thumbnails(report: Report, root: Path) -> Thumbnails:
    """Pictures of the first findings, whose order is that of severity; those that cannot be decoded have none."""
    return {number: list(_of(finding, root)) for number, finding in enumerate(report.findings[:FINDINGS])}


def _of(finding: Finding, root: Path) -> Iterator[tuple[str, str]]:
    for name in finding.names[:PAIRS]:
        sides = [(side, _read(root / "train" / side / name)) for side in ("lr", "hr")]
        shown = [(side, picture) for side, picture in sides if picture is not None]
        for side, picture in shown:
            yield f"{side}/{printable(name)}", _uri(picture)
        if len(shown) == 2:
            yield f"difference × {STRONGER}", _uri(_difference(*(picture for _, picture in shown)))
    for name in finding.test[:PAIRS]:
        if (seen := _read(root / "test" / "lr" / name)) is not None:
            yield f"test/lr/{printable(name)}", _uri(seen)


def _read(path: Path) -> Bytes | None:
    try:
        return read_rgb(path)
    except BadInput:
        return None


def _difference(low: Bytes, high: Bytes) -> Bytes:
    """|low - high| at the size of the smaller one, brightened."""
    height, width = (min(sizes) for sizes in zip(low.shape[:2], high.shape[:2], strict=True))
    first, second = (cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in (low, high))
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(first, second), alpha=STRONGER), np.uint8)


def _uri(picture: Bytes) -> str:
    height, width = picture.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size: Sequence[int] = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(small)).decode()
