"""What the numbers say in at most ten plain sentences: first what is wrong, then where there is something to win."""

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from competition.analysis.diagnosis.case import FEWEST, Case, Sentence
from competition.analysis.diagnosis.frames import frame
from competition.analysis.diagnosis.places import ORIENTATIONS
from competition.analysis.diagnosis.symptoms import symptoms

MOST = 10
_SURE = "the 95 % interval of the mean difference, picture by picture, excludes 0"
_EDGES = dict(
    zip(ORIENTATIONS, ("horizontal edges", *(f"edges at {one:g}°" for one in ORIENTATIONS[1:])), strict=True)
) | {90.0: "vertical edges"}


def verdict(case: Case) -> pd.DataFrame:
    """The table of that name."""
    every = itertools.chain(_failures(case), symptoms(case), *(fact(case) for fact in _FACTS))
    return frame("verdict", [sentence._asdict() for sentence in itertools.islice(every, MOST)])


def _failures(case: Case) -> Iterator[Sentence]:
    failed = case.tables["pictures"].query("not success")
    if len(failed):
        first = failed["fault"].iloc[0].splitlines()[0]
        count = f"{len(failed)} of {len(case.tables['pictures'])} pictures have no prediction that can be scored"
        yield Sentence("failures", f"{count}: {first}", "a prediction is missing, unreadable or of another size")


def _previous(case: Case) -> Iterator[Sentence]:
    row = _row(case, "comparison", against="previous")
    if row is None or row["pictures"] < FEWEST:
        return
    told = f"{_dB(row)}, better on {row['wins']:.0f} and worse on {row['losses']:.0f} pictures"
    told += f" (sign test p = {row['p_sign']:.2g})"
    if row["low"] * row["high"] > 0:
        yield Sentence("previous", f"Against the previous run the score changed by {told}.", _SURE)
    else:
        yield Sentence("previous", f"No sure change against the previous run: {told}.", "that interval holds 0")


def _bicubic(case: Case) -> Iterator[Sentence]:
    row = _row(case, "comparison", against="bicubic")
    if row is None or row["pictures"] < FEWEST:
        return
    if row["low"] > 0:
        count = f"higher on {row['wins']:.0f} of {row['pictures']:.0f} pictures"
        yield Sentence("bicubic", f"The score lies {_dB(row)} above bicubic's, {count}.", _SURE)
    else:
        yield Sentence(
            "bicubic",
            f"The predictions are not surely better than bicubic: {_dB(row)}.",
            "that interval is not above 0",
        )


def _concentration(case: Case) -> Iterator[Sentence]:
    curve = case.tables["concentration"]
    tiles = sum(one.tiles.samples.size for one in case.looks)
    carried = curve.loc[(curve["tiles"] - 0.01).abs() < 1e-9, "error"]
    if len(carried) and tiles >= 100 and carried.iloc[0] >= 0.05:
        worst = case.tables["tiles"].iloc[0]
        yield Sentence(
            "tiles",
            f"The worst 1 % of the tiles carry {carried.iloc[0]:.0%} of the squared error; the worst of all is in "
            f"{worst['name']} at row {worst['y']}, column {worst['x']}.",
            "1 % of at least 100 tiles carries at least 5 % of the squared error",
        )


def _texture(case: Case) -> Iterator[Sentence]:
    table = case.tables["textures"]
    heavy = table[(table["share"] >= 0.15) & (table["share"] >= 1.5 * table["area"])]
    if len(heavy):
        worst = heavy.loc[heavy["share"].idxmax()]
        where = _EDGES[worst["orientation"]] if worst["texture"] == "edge" else f"{worst['texture']} places"
        yield Sentence(
            "textures",
            f"{where.capitalize()} carry {worst['share']:.0%} of the squared error on {worst['area']:.0%} of the area.",
            "a kind of place carries at least 15 % of the squared error, 1.5 times its area's share",
        )


def _frequencies(case: Case) -> Iterator[Sentence]:
    if not case.looks or not case.whole.sum():
        return
    high, within = case.share("high"), case.share("low", "middle")
    if high >= 0.5:
        yield Sentence(
            "frequencies",
            f"{high:.0%} of the squared error lies at frequencies above what the low pictures hold: only better "
            f"guesses win it. Below, {case.gain('middle')} could be won between half that limit and the limit.",
            "high frequencies carry at least half of the squared error",
        )
    elif within >= 0.5:
        yield Sentence(
            "frequencies",
            f"{within:.0%} of the squared error lies at frequencies that the low pictures hold: it is within reach.",
            "low and middle frequencies carry at least half of the squared error",
        )


def _colour(case: Case) -> Iterator[Sentence]:
    row = _row(case, "budget", fix="colour")
    if row is not None and row["share"] >= 0.01 and row["low"] > 0.05 and case.share("gamma") < row["share"]:
        yield Sentence(
            "colour",
            f"A gain and an offset for each channel of each picture would win {_named(row, 'gain')}.",
            "they take off at least 1 % of the squared error, and the interval of the gain lies above 0.05 dB",
        )


def _variance(case: Case) -> Iterator[Sentence]:
    row = _row(case, "spread", quantity="variance")
    if row is not None and row["share"] >= 0.05:
        yield Sentence(
            "variance",
            f"{row['share']:.0%} of a member's squared error is variance between the members, which a mean of many "
            f"takes off; the other {1 - row['share']:.0%} they share.",
            "the variance makes at least 5 % of the mean member's squared error",
        )


def _symmetries(case: Case) -> Iterator[Sentence]:
    row = _row(case, "symmetries", symmetry="e")
    if row is not None and row["low"] > 0:
        yield Sentence(
            "symmetries",
            f"The mean of the eight symmetries gains {_named(row, 'gain')} over the picture as it stands.",
            _SURE,
        )


def _cluster(case: Case) -> Iterator[Sentence]:
    pictures = case.tables["pictures"].dropna(subset=["cluster", "gain"])
    clusters = case.tables["clusters"]
    if len(clusters) < 2 or clusters["pictures"].min() < FEWEST:
        return
    hard = clusters.loc[clusters["gain"].idxmin()]
    others = pictures.loc[pictures["cluster"] != hard["cluster"], "gain"].mean()
    if hard["high"] < others:
        yield Sentence(
            "clusters",
            f"Pictures degraded by {hard['kind']} gain least over bicubic: {_named(hard, 'gain')}, the others "
            f"{others:.2f} dB.",
            "the interval of a cluster's gain lies below the mean gain of all other pictures",
        )


_FACTS = (_previous, _bicubic, _colour, _concentration, _texture, _frequencies, _cluster, _variance, _symmetries)


def _row(case: Case, table: str, **where: str) -> Any | None:
    """The first row of a table with that value, None where there is none."""
    ((column, value),) = where.items()
    rows = case.tables[table]
    rows = rows[rows[column] == value]
    return rows.iloc[0] if len(rows) else None


def _dB(row: Any) -> str:
    return _named(row, "mean")


def _named(row: Any, column: str) -> str:
    """A mean and its interval."""
    return f"{row[column]:.2f} dB [{row['low']:.2f}, {row['high']:.2f}]"
