"""What shows in view of the whole set: swapped folders, pictures that come twice, pairs unlike all others."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from competition.analysis.alike import alike_findings
from competition.analysis.measure import MeasuredPair, MeasuredTest
from competition.analysis.report import Finding, PairRecord
from competition.errors import Fault
from competition.files import printable

# Brightness that noise, blur or JPEG cannot explain: gain, and 8-bit levels at mid-grey.
GAIN, LEVELS = 0.03, 3.0
# Low pixels by which parts of a picture may lie otherwise than the whole; half of it in pairs made by taking every
# fourth pixel, which aliases.
TILES = 0.25
# Robust deviations below the median from which a pair is unlike the others, and the fewest pairs that show one.
UNLIKE, FEWEST = 5.0, 20
# Share of pictures from which on one size counts as that of the set.
USUAL = 0.9


def collection_findings(root: Path, healthy: Sequence[MeasuredPair], tests: Sequence[MeasuredTest]) -> list[Finding]:
    """Warnings and notes on `healthy` pairs, those without errors, in view of all others."""
    low, test = root / "train" / "lr", root / "test" / "lr"
    findings = [
        *alike_findings(root, healthy, tests),
        *_displaced(low, healthy),
        *_brightness(low, healthy),
        *_unusual_sizes(low, test, healthy, tests),
    ]
    explained = {name for finding in findings if finding.severity == "warning" for name in finding.names}
    return findings + [finding for finding in _unlike(low, healthy) if explained.isdisjoint(finding.names)]


def joined(root: Path, findings: Sequence[Finding], pairs: int) -> list[Finding]:
    """The same findings, with one instead of many where most pairs are swapped: then it is the folders that are."""
    swapped = [finding for finding in findings if finding.fault.kind == "swapped"]
    if len(swapped) < 2 or len(swapped) <= pairs / 2:
        return list(findings)
    cause = f"{len(swapped)} of {pairs} pairs have the high picture in lr and the low one in hr"
    fault = Fault("swapped folders", printable(root / "train"), cause, "Swap the folders lr and hr")
    return [Finding("error", fault), *(finding for finding in findings if finding.fault.kind != "swapped")]


def _warning(kind: str, path: Path, cause: str, mend: str, names: Sequence[str], **measured: float) -> Finding:
    return Finding("warning", Fault(kind, printable(path), cause, mend), tuple(names), measured=measured)


def _displaced(folder: Path, pairs: Sequence[MeasuredPair]) -> Iterator[Finding]:
    for record, *_ in pairs:
        found = record.registration
        if found is None:
            continue
        path = folder / record.name
        if found["verdict"] == "shifted":
            down, right = found["down"], found["right"]
            cause = f"lies ({down:+.2f}, {right:+.2f}) low pixels down and right of its high picture"
            yield _warning("shifted", path, cause, "Align or remove the pair", [record.name], down=down, right=right)
        elif found["tile_spread"] is not None and found["tile_spread"] > TILES:
            spread = found["tile_spread"]
            cause = f"has parts that lie {spread:.2f} low pixels from where the whole lies"
            yield _warning("warped", path, cause, "Look at the pair", [record.name], tile_spread=spread)


def _brightness(folder: Path, pairs: Sequence[MeasuredPair]) -> Iterator[Finding]:
    for record, *_ in pairs:
        found = record.registration
        if found is None:
            continue
        moved = [gain * 128 + offset - 128 for gain, offset in zip(found["gain"], found["offset"], strict=True)]
        gain = max(found["gain"], key=lambda value: abs(value - 1))
        levels = max(moved, key=abs)
        if abs(gain - 1) > GAIN or abs(levels) > LEVELS:
            cause = f"has {gain:.3f} times the contrast of its high picture, {levels:+.1f} levels added at mid-grey"
            path = folder / record.name
            yield _warning("brightness", path, cause, "Look at the pair", [record.name], gain=gain, levels=levels)


def _unlike(folder: Path, pairs: Sequence[MeasuredPair]) -> Iterator[Finding]:
    """Low pictures much further from their reduced high pictures than those that were made in the same way."""
    kinds: defaultdict[str, list[PairRecord]] = defaultdict(list)
    for record, *_ in pairs:
        if record.psnr_reduced is not None:
            kinds[record.degradation["kind"] if record.degradation else ""].append(record)
    for records in kinds.values():
        scores = robust_scores([record.psnr_reduced for record in records])
        for record, score in zip(records, scores, strict=True):
            if score < -UNLIKE:
                cause = f"is only {record.psnr_reduced:.1f} dB like its reduced high picture, unlike the others"
                path = folder / record.name
                yield _warning("outlier", path, cause, "Look at the pair", [record.name], deviations=float(score))


def robust_scores(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """Deviations from the median in units of 1.4826 median absolute deviations, all 0 for fewer than FEWEST values.

    Of normally distributed values the unit is the standard deviation (Rousseeuw and Croux 1993).
    """
    array = np.array(values, np.float64)
    if len(array) < FEWEST:
        return np.zeros(len(array))
    departures = array - np.median(array)
    return np.asarray(departures / max(1.4826 * float(np.median(np.abs(departures))), 1e-9))


def _unusual_sizes(
    low: Path, test: Path, pairs: Sequence[MeasuredPair], tests: Sequence[MeasuredTest]
) -> Iterator[Finding]:
    sizes = [(low / pair.record.name, pair.record.low_size) for pair in pairs]
    sizes += [(test / picture.record.name, picture.record.size) for picture in tests if picture.record.size]
    usual, count = Counter(size for _, size in sizes).most_common(1)[0] if sizes else (None, 0)
    for path, size in sizes if count >= max(FEWEST, USUAL * len(sizes)) else ():
        if size != usual and size and usual:
            cause = f"{size[0]}x{size[1]}, nearly all others have {usual[0]}x{usual[1]}"
            yield Finding("note", Fault("unusual size", printable(path), cause, "Look where it comes from"))
