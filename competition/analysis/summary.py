"""The measurements of an audit in sections of a few facts, a histogram and a table, for terminal and page alike."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from competition.analysis.clusters import STRENGTHS
from competition.analysis.report import Measured, Report
from competition.files import printable

HARDEST = 8
SCENES = 20
MEASURES = ("noise", "aliasing", "equal", "streak")  # of a test picture; see `competition.data.blind.Look`


class Histogram(NamedTuple):
    """Values to draw, with the name and unit of their axis."""

    axis: str
    values: Sequence[float]


class Table(NamedTuple):
    """Rows of text under their heads."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """One topic: facts are (name, value) lines."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    histograms: Sequence[Histogram] = ()
    table: Table | None = None


def sections(report: Report) -> list[Section]:
    """The topics on which there is something to tell; pairs with errors do not count."""
    topics = (_registration, _brightness, _degradations, _difficulty, _scenes, _test)
    return [section for topic in topics if (section := topic(report))]


def _registration(report: Report) -> Section | None:
    found = [pair.registration for pair in report.healthy() if pair.registration]
    if not found:
        return None
    verdicts = Counter(str(one["verdict"]) for one in found)
    shifts = [report.scale * float(np.hypot(one["down"], one["right"])) for one in found if one["down"] is not None]
    spreads = [report.scale * one["tile_spread"] for one in found if one["tile_spread"] is not None]
    facts = [(verdict, f"{count} pairs") for verdict, count in verdicts.most_common()]
    histograms = [
        Histogram("shift of the low picture [high pixels]", shifts),
        Histogram("departure of tiles from it [high pixels]", spreads),
    ]
    return Section("Registration", facts, histograms)


def _brightness(report: Report) -> Section | None:
    found = [pair.registration for pair in report.healthy() if pair.registration]
    if not found:
        return None
    gains = [gain for one in found for gain in one["gain"]]
    offsets = [offset for one in found for offset in one["offset"]]
    facts = [("gain, median", f"{np.median(gains):.4f}"), ("offset, median", f"{np.median(offsets):+.2f} levels")]
    histograms = [Histogram("gain per channel", gains), Histogram("offset per channel [levels of 255]", offsets)]
    return Section("Brightness of low against high", facts, histograms)


def _degradations(report: Report) -> Section | None:
    if not report.clusters:
        return None
    rows = [[str(one["count"]), one["kind"], _strengths(one), printable(one["names"][0])] for one in report.clusters]
    return Section("Degradations", table=Table(("pairs", "made by", "strength", "for example"), rows))


def _strengths(cluster: Measured) -> str:
    ranges = ((strength, cluster[strength]) for strength in STRENGTHS if cluster[strength])
    return ", ".join(f"{strength} {least:.3g}–{most:.3g}" for strength, (least, _, most) in ranges)


def _difficulty(report: Report) -> Section | None:
    known = sorted((pair.psnr_bicubic, pair.name) for pair in report.healthy() if pair.psnr_bicubic is not None)
    if not known:
        return None
    scores = [score for score, _ in known]
    facts = [("bicubic, median", f"{np.median(scores):.2f} dB"), ("bicubic, mean", f"{np.mean(scores):.2f} dB")]
    rows = [[f"{score:.2f}", printable(name)] for score, name in known[:HARDEST]]
    histogram = Histogram("PSNR of bicubic enlargement [dB]", scores)
    return Section("Difficulty", facts, [histogram], Table(("dB", "hardest pairs"), rows))


def _scenes(report: Report) -> Section | None:
    members: defaultdict[int, list[str]] = defaultdict(list)
    for pair in report.pairs:
        if pair.scene is not None:
            members[pair.scene].append(pair.name)
    for picture in report.test:
        if picture.scene is not None:
            members[picture.scene].append(f"test/{picture.name}")
    shared = sorted((names for names in members.values() if len(names) > 1), key=len, reverse=True)
    if not shared:
        return None
    facts = [("scenes with several pictures", str(len(shared))), ("pictures in them", str(sum(map(len, shared))))]
    rows = [[str(len(names)), _names(names)] for names in shared[:SCENES]]
    return Section("Scenes", facts, table=Table(("pictures", "names"), rows))


def _test(report: Report) -> Section | None:
    if not report.test:
        return None
    looks = [(picture.name, picture.look) for picture in report.test if picture.look]
    counts = Counter(trace for _, look in looks for trace in look["traces"] or ["no trace"])
    facts = [("pictures", str(len(report.test))), *((trace, str(count)) for trace, count in counts.most_common())]
    rows = [
        [printable(name), ", ".join(look["traces"]), *(_number(look[measure]) for measure in MEASURES)]
        for name, look in looks
    ]
    return Section("Test pictures", facts, table=Table(("picture", "traces", *MEASURES), rows) if rows else None)


def _names(names: Iterable[str], most: int = 5) -> str:
    listed = [printable(name) for name in names]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
