"""Folders of published benchmarks: the pairs of each set, and the scores that were published of them."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from competition.config import suggest
from competition.data.pairs import Pair, match_pairs
from competition.errors import BadInput, UsageError


class Score(NamedTuple):
    """PSNR in dB, and SSIM, None where it was not published."""

    psnr: float
    ssim: float | None


class Benchmark(NamedTuple):
    """One set; `published` holds the scores of its pairs, in their order, of every method that has all of them."""

    name: str
    pairs: list[Pair]
    published: dict[str, list[Score]]


Range = tuple[str, str]


def find_benchmarks(root: Path, scale: int, only: Mapping[str, Range] | None = None) -> list[Benchmark]:
    """The sets of a folder, sorted: each ROOT/SET that holds hr and lr_bicubic_xSCALE, of the same names.

    `only` gives the first and last name (without .png) of the pictures of a set; other sets are taken whole. Raises
    BadInput that lists all pictures without partner or of the wrong size, UsageError for sets that are not there.
    """
    low = f"lr_bicubic_x{scale}"
    folders = sorted(path.parent for path in root.glob("*/hr") if (path.parent / low).is_dir())
    if not folders:
        raise BadInput(f"{root}: no folder in it holds hr and {low}. Give the folder that holds the sets")
    ranges, known = only or {}, [folder.name for folder in folders]
    if unknown := sorted(ranges.keys() - set(known)):
        raise UsageError(*[f"--only: {name}: no such set in {root}.{suggest(name, known)}" for name in unknown])
    found: list[Benchmark] = []
    faults: list[str] = []
    for folder in folders:
        try:
            pairs = _within(match_pairs(folder / low, folder / "hr", scale), ranges.get(folder.name), folder)
            found.append(Benchmark(folder.name, pairs, _published(folder / f"published_x{scale}.csv", pairs)))
        except BadInput as error:
            faults += error.lines
    if faults:
        raise BadInput(*faults)
    return found


def _within(pairs: Sequence[Pair], names: Range | None, folder: Path) -> list[Pair]:
    first, last = names or ("", "\U0010ffff")
    chosen = [pair for pair in pairs if first <= Path(pair.name).stem <= last]
    if not chosen:
        raise BadInput(f"{folder}: no picture from {first} to {last}. Choose others with --only")
    return chosen


def _published(path: Path, pairs: Sequence[Pair]) -> dict[str, list[Score]]:
    """Of columns `image`, `psnr_METHOD` and `ssim_METHOD`; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = {row["image"]: row for row in csv.DictReader(file)}
        methods = [key.removeprefix("psnr_") for key in next(iter(rows.values()), {}) if key.startswith("psnr_")]
        images = [Path(pair.name).stem for pair in pairs]
        scores = {method: [_score(rows.get(image, {}), method) for image in images] for method in methods}
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise BadInput(f"{path}: no table of published scores ({error!r}). Mend or remove it") from error
    return {method: [one for one in row if one] for method, row in scores.items() if all(row)}


def _score(row: Mapping[str, str], method: str) -> Score | None:
    """None where a picture was not published."""
    psnr, ssim = row.get(f"psnr_{method}"), row.get(f"ssim_{method}")
    if not psnr:
        return None
    score = Score(float(psnr), float(ssim) if ssim else None)
    if not all(math.isfinite(value) for value in score if value is not None):
        raise ValueError(f"{method}: {psnr}, {ssim}")
    return score
