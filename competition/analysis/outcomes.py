"""The trials of a study as tables: all of them as Markdown and CSV, and a grid's scores as rows and columns."""

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """How far a trial has come: `psnr` is its best validation in dB, at optimiser step `step`."""

    number: int
    settings: dict[str, Any]
    state: str
    """waiting, running, complete, pruned, or the word for its fault."""
    psnr: float | None = None
    step: int | None = None
    fault: str = ""
    seconds: float | None = None

    def score(self) -> str:
        """The PSNR for a table, or what there is instead."""
        if self.state in ("complete", "pruned") and self.psnr is not None:
            return f"{self.psnr:.3f}"
        return "" if self.state == "waiting" else self.state


def markdown(title: str, unit: str, outcomes: Sequence[Outcome]) -> str:
    """A page with the trials in the order of their numbers; where several settings vary, their grid before that."""
    done = [one for one in outcomes if one.state not in ("waiting", "running")]
    best = max((one for one in outcomes if one.state == "complete"), key=_psnr, default=None)
    parts = [
        f"# {title}",
        f"{len(done)} of {len(outcomes)} trials have ended. Scores: {unit} on the validation pictures.",
    ]
    if best:
        parts.append(f"Best: {describe(best.settings)}, {best.score()} dB (trial {best.number}).")
    keys = list(outcomes[0].settings) if outcomes else []
    if len(keys) > 1 and _is_grid(outcomes, keys):
        parts.append(table(*grid(outcomes, best)))
    heads = ["trial", *keys, unit, "at step", "state", "seconds"]
    parts.append(table(heads, [_row(one, keys, best) for one in outcomes]))
    return "\n\n".join(parts) + "\n"


def grid(outcomes: Sequence[Outcome], best: Outcome | None = None) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a column for every value of the last setting, a row for every combination of the others."""
    *rows, column = outcomes[0].settings
    columns = _distinct(one.settings[column] for one in outcomes)
    found = {(tuple(one.settings[key] for key in rows), one.settings[column]): one for one in outcomes}
    heads = [*rows, *(f"{column} {_plain(value)}" for value in columns)]
    lines = []
    for combination in _distinct(tuple(one.settings[key] for key in rows) for one in outcomes):
        cells = [found.get((combination, value)) for value in columns]
        lines.append([*map(_plain, combination), *(_score(cell, best) if cell else "" for cell in cells)])
    return heads, lines


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar within a cell does not end it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def comma_separated(outcomes: Sequence[Outcome]) -> str:
    """The same with all digits, for other programs."""
    keys = list(outcomes[0].settings) if outcomes else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *keys, "state", "psnr", "step", "seconds", "fault"])
    for one in outcomes:
        settings = [_plain(one.settings.get(key)) for key in keys]
        writer.writerow([one.number, *settings, one.state, one.psnr, one.step, one.seconds, one.fault])
    return text.getvalue()


def describe(settings: dict[str, Any], keys: bool = True) -> str:
    """Settings in a few words, with their keys or without."""
    return ", ".join(f"{key} {_plain(value)}" if keys else _plain(value) for key, value in settings.items())


def _row(one: Outcome, keys: Sequence[str], best: Outcome | None) -> list[str]:
    settings = [_plain(one.settings.get(key)) for key in keys]
    step = "" if one.step is None else f"{one.step:,}"
    state = f"{one.state}: {one.fault}" if one.fault else one.state
    psnr = "" if one.psnr is None else f"{one.psnr:.3f}"
    seconds = "" if one.seconds is None else f"{one.seconds:.0f}"
    return [f"{one.number:03d}", *settings, f"**{psnr}**" if one is best else psnr, step, state, seconds]


def _score(one: Outcome, best: Outcome | None) -> str:
    return f"**{one.score()}**" if one is best else one.score()


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _psnr(one: Outcome) -> float:
    return float("-inf") if one.psnr is None else one.psnr


def _is_grid(outcomes: Sequence[Outcome], keys: Sequence[str]) -> bool:
    """Whether the trials are all combinations of the settings' values."""
    size = 1
    for key in keys:
        size *= len(_distinct(one.settings.get(key) for one in outcomes))
    return size == len(outcomes)


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))
