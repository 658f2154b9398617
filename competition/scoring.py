"""Scores of pictures as tables show them, and the CSV files of such tables."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.errors import BadInput
from competition.files import write_atomic
from competition.images import Bytes, Samples
from competition.metrics import MetricConfig


def psnr_and_ssim(picture: Bytes, truth: Bytes, metric: MetricConfig, path: Path) -> tuple[float, float]:
    """Both scores of one picture; raises BadInput that names the truth's path where it is too small for SSIM."""
    if min(truth.shape[:2]) - 2 * metric.border < 11:
        raise BadInput(f"{path}: {size(truth)} leaves less than 11x11 pixels. Use a smaller --border")
    return metric.psnr(picture, truth), metric.ssim(picture, truth)


def gain(psnr: float, plain: float) -> float:
    """What a score is above bicubic's in dB; nothing where both are infinite, as on a flat picture."""
    return psnr - plain if psnr != plain else 0.0


def size(picture: Samples) -> str:
    """Width and height, as faults tell them."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def write_csv(path: Path, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, numbers to four digits and nothing for None, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])
    write_atomic(path, text.getvalue().encode())
