"""Score a folder of predictions against the truth, picture by picture, with bicubic beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from competition import statistics
from competition.ensemble import bicubic
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.images import list_pictures, read_prediction, read_rgb, to_bytes
from competition.metrics import MetricConfig
from competition.predictions import read_record
from competition.progress import console, progress
from competition.scoring import gain, psnr_and_ssim, size, write_csv


class Row(NamedTuple):
    """Scores of one picture in dB (ssim without unit); the last two are None where the low picture is not at hand.

    `image` is the file name without .png, as in published tables.
    """

    image: str
    psnr: float
    ssim: float
    psnr_bicubic: float | None
    gain: float | None


def main(arguments: Sequence[str]) -> None:
    """The command line: PREDICTIONS TRUTH."""
    parser = ArgumentParser(prog="python -m competition.evaluate", description=__doc__ or "")
    parser.add_argument("predictions", type=Path, help="folder of 8- or 16-bit PNGs")
    parser.add_argument("truth", type=Path, help="folder of the high pictures, same names")
    parser.add_argument("--metric", choices=("rgb", "y"), default="rgb", help="all channels (default) or luma")
    parser.add_argument("--border", type=int, default=0, help="high pixels left out on every side, default 0")
    parser.add_argument("--low", type=Path, help="folder of the low pictures; default: the input that infer recorded")
    parser.add_argument("--against", type=Path, help="other predictions of the same pictures to compare with")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    given = parser.parse_args(arguments)
    if given.border < 0:
        raise UsageError(f"--border: {given.border} is negative. Give 0 or a number of pixels")
    metric = MetricConfig(channel=given.metric, border=given.border)
    low = given.low or _recorded_low(given.predictions)
    rows = evaluate(given.predictions, given.truth, metric, low)
    console.print(_table(rows, metric))
    if low is None:
        console.print("no bicubic: the low pictures are not known, give their folder with --low")
    else:
        _compare("bicubic", [row.psnr for row in rows], [row.psnr_bicubic for row in rows])
    if given.against:
        others = evaluate(given.against, given.truth, metric)
        if [row.image for row in others] != [row.image for row in rows]:
            raise BadInput(f"{given.against}: not the pictures of {given.predictions}. Predict the same ones")
        _compare(str(given.against), [row.psnr for row in rows], [row.psnr for row in others])
    if given.csv:
        write_csv(given.csv, Row._fields, rows)


def evaluate(predictions: Path, truth: Path, metric: MetricConfig, low: Path | None = None) -> list[Row]:
    """Score every prediction, sorted by name.

    Raises BadInput that lists the predictions without truth, of the wrong size, or unreadable.
    """
    pictures, truths = list_pictures(predictions), list_pictures(truth)
    lows = list_pictures(low) if low else {}
    faults = [f"{pictures[name]}: has no truth in {truth}. Remove it" for name in pictures if name not in truths]
    rows = []
    with progress() as bar:
        for name in bar.track([name for name in pictures if name in truths], description="evaluate"):
            try:
                rows.append(_score(name, pictures, truths, lows, metric))
            except BadInput as error:
                faults += error.lines
    if faults:
        raise BadInput(*faults)
    return rows


def _recorded_low(predictions: Path) -> Path | None:
    recorded = read_record(predictions).get("input")
    return Path(recorded) if recorded and Path(recorded).is_dir() else None


def _score(
    name: str, pictures: Mapping[str, Path], truths: Mapping[str, Path], lows: Mapping[str, Path], metric: MetricConfig
) -> Row:
    picture, truth = to_bytes(read_prediction(pictures[name])), read_rgb(truths[name])
    if picture.shape != truth.shape:
        raise BadInput(f"{pictures[name]}: {size(picture)}, its truth has {size(truth)}. Predict it again")
    psnr, ssim = psnr_and_ssim(picture, truth, metric, truths[name])
    if name not in lows:
        return Row(Path(name).stem, psnr, ssim, None, None)
    low = read_rgb(lows[name])
    scale = truth.shape[0] // low.shape[0]
    if (low.shape[0] * scale, low.shape[1] * scale) != truth.shape[:2]:
        raise BadInput(f"{lows[name]}: {size(low)} does not divide its truth ({size(truth)}). Choose another --low")
    plain = metric.psnr(bicubic(low, scale), truth)
    return Row(Path(name).stem, psnr, ssim, plain, gain(psnr, plain))


def _compare(name: str, scores: Sequence[float], others: Sequence[float | None]) -> None:
    """Say how sure the gain is, unless a picture equals its truth or a low picture is missing."""
    known = np.array(others, np.float64)
    if np.isfinite(scores).all() and np.isfinite(known).all():
        console.print(f"over {name}: {statistics.compare(scores, known)}")


def _table(rows: Sequence[Row], metric: MetricConfig) -> Table:
    table = Table(title=metric.definition(), show_footer=True)
    averages = [_mean([row[column] for row in rows]) for column in range(1, 5)]
    table.add_column("image", footer=f"mean of {len(rows)}")
    for column, average in zip(Row._fields[1:], averages, strict=True):
        table.add_column(column, justify="right", footer=_cell(average))
    for row in rows:
        table.add_row(row.image, *map(_cell, row[1:]))
    return table


def _mean(values: Sequence[Any]) -> float | None:
    return None if None in values else float(np.mean(values))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    run_command(main)
