"""What one pair, or one test picture, shows when it is decoded: faults, sizes, alignment, brightness, difficulty."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from competition.analysis.report import Finding, Measured, PairRecord, TestRecord
from competition.data.blind import Look, look
from competition.data.content import content_faults
from competition.data.estimate import Estimate, estimate
from competition.data.likeness import Signature, signature
from competition.data.pairs import Pair
from competition.data.registration import Registration, register, verdict
from competition.data.traces import SMALLEST
from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Bytes, read_rgb_and_notes


class MeasuredPair(NamedTuple):
    """A pair without its pixels; `signature` is that of the low picture, None where the pair is unusable."""

    record: PairRecord
    findings: list[Finding]
    signature: Signature | None = None


class MeasuredTest(NamedTuple):
    """A test picture without its pixels."""

    record: TestRecord
    findings: list[Finding]
    signature: Signature | None = None


def measure_pair(pair: Pair, scale: int, quick: bool = False) -> MeasuredPair:
    """Decode both pictures of a pair and measure what can be measured on them, `quick` all but the degradation."""
    findings: list[Finding] = []
    low, high = (_read(path, findings, names=(pair.name,)) for path in (pair.low, pair.high))
    record = PairRecord(pair.name, _size(low), _size(high), _hash(low), _hash(high))
    if low is None or high is None:
        return MeasuredPair(record, findings)
    if fault := _wrong_size(pair, low, high, scale):
        return MeasuredPair(record, [*findings, Finding("error", fault, (pair.name,))])
    registered = register(low, high, scale)
    record = replace(
        record,
        psnr_reduced=_finite(registered.psnr),
        psnr_bicubic=_finite(_psnr_bicubic(low, high)),
        registration=_registration(registered, scale),
    )
    faults = content_faults(printable(pair.low), printable(pair.high), low, high, scale)
    measured = {"psnr_reduced": record.psnr_reduced}
    findings += [Finding("error", fault, (pair.name,), measured=measured) for fault in faults]
    # Of a pair that does not fit together, or of a few pixels, there is nothing to estimate.
    if not faults and not quick and min(low.shape[:2]) >= SMALLEST:
        record = replace(record, degradation=_degradation(estimate(low, high, scale)))
    return MeasuredPair(record, findings, signature(low))


def measure_alone(path: Path) -> list[Finding]:
    """What is wrong inside a training picture that has no partner."""
    findings: list[Finding] = []
    _read(path, findings, names=(path.name,))
    return findings


def measure_test(path: Path) -> MeasuredTest:
    """Decode a test picture and measure what can be measured without its truth."""
    findings: list[Finding] = []
    pixels = _read(path, findings, test=(path.name,))
    record = TestRecord(path.name, _size(pixels), _hash(pixels))
    if pixels is None:
        return MeasuredTest(record, findings)
    if min(pixels.shape[:2]) >= SMALLEST:
        record = replace(record, look=_look(look(pixels)))
    return MeasuredTest(record, findings, signature(pixels))


def _read(path: Path, findings: list[Finding], names: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> Bytes | None:
    """The pixels, or None and an error; what the file says of its colours makes warnings."""
    try:
        pixels, notes = read_rgb_and_notes(path)
    except BadInput as error:
        findings += [Finding("error", fault, names, test) for fault in error.faults]
        return None
    findings += [Finding("warning", note, names, test) for note in notes]
    return pixels


def _size(pixels: Bytes | None) -> tuple[int, int] | None:
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])


def _hash(pixels: Bytes | None) -> str | None:
    """Of the pixels and not of the file, which other compression changes; with the size, which pixels alone lack."""
    if pixels is None:
        return None
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


def _wrong_size(pair: Pair, low: Bytes, high: Bytes, scale: int) -> Fault | None:
    (lower, left), (upper, right) = low.shape[:2], high.shape[:2]
    if (upper, right) == (lower * scale, left * scale):
        return None
    low_name = printable(f"{pair.low.parent.name}/{pair.name}")
    if (lower, left) == (upper * scale, right * scale) and scale > 1:
        cause = f"{right}x{upper} is the low picture of {low_name} ({left}x{lower})"
        return Fault("swapped", printable(pair.high), cause, "Swap the two files")
    cause = f"{right}x{upper} is not {scale} times {low_name} ({left}x{lower})"
    return Fault("wrong size", printable(pair.high), cause, "Cut or replace one of the two")


def _psnr_bicubic(low: Bytes, high: Bytes) -> float:
    enlarged = cv2.resize(low, high.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return float(cv2.PSNR(enlarged, high))


def _registration(found: Registration, scale: int) -> Measured:
    """Plain values in low pixels and 8-bit levels; None where nothing can be told.

    tile_spread: what three tiles or more lie away from where the whole lies; a single one may be mistaken.
    """
    tiles = np.array(found.tiles)
    departures = np.hypot(*np.moveaxis(tiles - found.shift, -1, 0))
    known = departures[np.isfinite(departures)]
    return {
        "verdict": verdict(found.shift, found.error, scale),
        "down": _finite(found.shift[0]),
        "right": _finite(found.shift[1]),
        "error": _finite(found.error),
        "tile_spread": float(np.sort(known)[-3]) if known.size >= 3 else None,
        "gain": list(found.gain),
        "offset": list(found.offset),
    }


def _degradation(found: Estimate) -> Measured:
    """An estimate on one level: its kind, the settings that make it, and how sure it is."""
    return {
        "kind": found.kind,
        **found.degradation.model_dump(mode="json"),
        "explained": found.explained,
        "rms": found.rms,
        "margin": found.margin,
    }


def _look(seen: Look) -> Measured:
    """What a test picture shows, in words and then in numbers."""
    return {"traces": seen.traces, **seen._asdict()}


def _finite(value: float) -> float | None:
    """JSON knows neither infinity, the PSNR of equal pictures, nor NaN."""
    return value if math.isfinite(value) else None
