"""What each --precision of infer costs: enlarge the middle of real pictures with it and in float64, and compare."""

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from rich.table import Table
from torch import nn

from competition.engine import Precision, build_engine
from competition.ensemble import enlarge
from competition.errors import ArgumentParser, BadInput, run_command
from competition.images import Bytes, list_pictures, quantize, read_rgb, to_bytes, to_tensor
from competition.metrics import MetricConfig
from competition.networks import choose
from competition.progress import console
from competition.tiling import Forward


class Parity(NamedTuple):
    """Of all pictures together: seconds; dB of the difference to float64, for a range of 1; mean PSNR on 8 bits, and
    how much float64 has more, where the truth is known."""

    way: str
    seconds: float
    exactness: float
    psnr: float | None
    lost: float | None


class Subject(NamedTuple):
    """The middle of a low picture and of its truth, if that is known."""

    low: Bytes
    high: Bytes | None


def main(arguments: Sequence[str]) -> None:
    """The command line: SOURCE --input DIR [--truth DIR]."""
    parser = ArgumentParser(prog="python -m competition.parity", description=__doc__ or "")
    parser.add_argument("source", help="run folder, weights file, name of pretrained weights, or bicubic")
    parser.add_argument("--input", type=Path, required=True, help="folder of low pictures")
    parser.add_argument("--truth", type=Path, help="folder of the high pictures, same names")
    parser.add_argument("--side", type=int, default=128, help="low pixels taken of each picture, default 128")
    given = parser.parse_args(arguments)
    network, description, _ = choose(given.source)
    scale = description.model.scale
    subjects = list(_subjects(given.input, given.truth, given.side, scale))
    console.print(_table(compare(network, subjects, scale), len(subjects)))


def compare(network: nn.Module, subjects: Sequence[Subject], scale: int) -> list[Parity]:
    """All precisions, float64 first, and bf16 in every layer as networks are often run."""
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    rows, exact = list[Parity](), list[torch.Tensor]()
    for way, forward in _ways(network).items():
        started = time.monotonic()
        device = next(iter(network.parameters()), torch.empty(0)).device
        highs = [enlarge(forward, to_tensor(subject.low).to(device), scale).double() for subject in subjects]
        seconds, exact = time.monotonic() - started, exact or highs
        error = sum(float((high - true).square().sum()) for high, true in zip(highs, exact, strict=True))
        mean = error / sum(high.numel() for high in highs)
        psnr = _psnr(highs, subjects)
        lost = rows[0].psnr - psnr if rows and rows[0].psnr is not None and psnr is not None else None
        rows.append(Parity(way, seconds, -10 * math.log10(mean) if mean else math.inf, psnr, lost))
    return rows


def _ways(network: nn.Module) -> Mapping[str, Forward]:
    engines = {precision: build_engine(copy.deepcopy(network), precision) for precision in get_args(Precision)}
    rounded = copy.deepcopy(network).bfloat16()
    exact = {"float64": engines.pop("float64")}
    return exact | engines | {"bf16 in every layer": lambda low: rounded(low.bfloat16()).float()}


def _psnr(highs: Sequence[torch.Tensor], subjects: Sequence[Subject]) -> float | None:
    scores = [
        MetricConfig().psnr(to_bytes(quantize(high, 16)), subject.high)
        for high, subject in zip(highs, subjects, strict=True)
        if subject.high is not None
    ]
    return float(np.mean(scores)) if scores else None


def _subjects(lows: Path, truths: Path | None, side: int, scale: int) -> Iterator[Subject]:
    for name, path in list_pictures(lows).items():
        low, high = read_rgb(path), read_rgb(truths / name) if truths else None
        if high is not None and high.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
            raise BadInput(f"{truths}/{name}: is not {scale} times as large as {path}. Choose another --truth")
        top, left = (max(0, (length - side) // 2) for length in low.shape[:2])
        low = low[top : top + side, left : left + side]
        inside = [slice(start * scale, (start + side) * scale) for start in (top, left)]
        yield Subject(low, high[inside[0], inside[1]] if high is not None else None)


def _table(rows: Sequence[Parity], pictures: int) -> Table:
    table = Table(title=f"{pictures} pictures; {MetricConfig().definition()}")
    for column in ("precision", "seconds", "dB to float64", "dB to the truth", "dB lost"):
        table.add_column(column, justify="left" if column == "precision" else "right")
    for way, seconds, exactness, psnr, lost in rows:
        truth = ["" if value is None else f"{value:.4f}" for value in (psnr, lost)]
        table.add_row(way, f"{seconds:.1f}", f"{exactness:.1f}", *truth)
    return table


if __name__ == "__main__":
    run_command(main)
