"""What a run's metrics.jsonl holds: one series of (step, value) for every quantity, as far as it can be read."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from competition.config import parse
from competition.errors import BadCheckpoint, CompetitionError
from competition.metrics import MetricConfig
from competition.runs import read_log, read_record

Values = npt.NDArray[np.float64]
# The smoothed line is a mean over this share of the points, weighted towards the middle.
SHARE = 0.06


class Series(NamedTuple):
    """A quantity over the optimiser steps, both (n,), in the order of the steps."""

    steps: Values
    values: Values

    def smoothed(self) -> Values:
        """A weighted mean around each point, (n,); over fewer points towards the ends, so that it does not lag."""
        half = math.ceil(len(self.values) * SHARE / 2)
        window = np.hanning(2 * half + 3)[1:-1]
        total, weight = (np.convolve(part, window) for part in (self.values, np.ones_like(self.values)))
        middle = slice(half, half + len(self.values))
        smooth: Values = total[middle] / weight[middle]
        return smooth


class History(NamedTuple):
    """A run's series by their names in metrics.jsonl; `score` says what its PSNR means, where the run recorded it."""

    label: str
    series: dict[str, Series]
    score: str | None


def read_history(run: Path, label: str) -> History:
    """Read RUN/metrics.jsonl; lines and values that are no finite numbers are passed over.

    Raises BadCheckpoint when there is no such file, or nothing in it yet.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise BadCheckpoint(f"{path}: no such file. Give the folder of a run that has begun to train")
    points: dict[str, dict[float, float]] = {}
    for line in read_log(path):
        step = _number(line.get("step")) if isinstance(line, dict) else None
        if step is None:
            continue
        for name, value in line.items():
            if name != "step" and (number := _number(value)) is not None:
                points.setdefault(name, {})[step] = number
    if not points:
        raise BadCheckpoint(f"{path}: holds no whole line with values yet. Let the run train on")
    series = {name: _series(by_step) for name, by_step in points.items()}
    return History(label, series, _score(run))


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _series(by_step: dict[float, float]) -> Series:
    steps = sorted(by_step)
    return Series(np.array(steps), np.array([by_step[step] for step in steps]))


def _score(run: Path) -> str | None:
    try:
        metric = read_record(run).config.get("metric")
        return parse(json.dumps(metric), MetricConfig, str(run)).definition()
    except CompetitionError:  # a convenience: curves are drawn without it
        return None
