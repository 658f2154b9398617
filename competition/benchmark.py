"""Score networks on sets of published benchmarks, beside bicubic and the methods that were published."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from competition.data.benchmarks import Benchmark, Range, find_benchmarks
from competition.data.pairs import Pair
from competition.ensemble import bicubic, enlarge_by
from competition.errors import ArgumentParser, UsageError, run_command
from competition.images import Bytes, quantize, read_rgb, to_bytes, to_tensor
from competition.memory import reuse_freed_memory
from competition.metrics import MetricConfig
from competition.networks import choose
from competition.progress import console, progress
from competition.scoring import gain, psnr_and_ssim, write_csv
from competition.upscaler import Upscaler, load_upscaler

HEADS = ("PSNR", "SSIM", "gain", "beats\nbicubic", "seconds\neach")


class Row(NamedTuple):
    """Scores of one picture by one method: PSNR in dB, SSIM, its PSNR over bicubic's, and seconds where it ran here."""

    benchmark: str
    method: str
    image: str
    psnr: float
    ssim: float | None
    gain: float
    seconds: float | None


def main(arguments: Sequence[str]) -> None:
    """The command line: BENCHMARKS SOURCE …"""
    parser = ArgumentParser(prog="python -m competition.benchmark", description=__doc__ or "")
    parser.add_argument("benchmarks", type=Path, help="folder of sets: SET/hr, SET/lr_bicubic_x4, SET/published_x4.csv")
    parser.add_argument("sources", nargs="+", metavar="source", help="run folder, weights file, or name as for infer")
    parser.add_argument("--scale", type=int, help="for networks of several scales; default: the first source's own")
    parser.add_argument("--only", nargs="+", default=[], metavar="SET=FIRST..LAST", help="pictures of a set, by name")
    parser.add_argument("--metric", choices=("y", "rgb"), default="y", help="luma (default), or all channels")
    parser.add_argument("--border", type=int, help="high pixels left out on every side; default: the scale")
    parser.add_argument("--csv", type=Path, help="also write the scores of every picture to this file")
    given = parser.parse_args(arguments)
    reuse_freed_memory()
    scale = given.scale or choose(given.sources[0]).description.model.scale
    if given.border is not None and given.border < 0:
        raise UsageError(f"--border: {given.border} is negative. Give 0 or a number of pixels")
    metric = MetricConfig(channel=given.metric, border=scale if given.border is None else given.border)
    networks = {source: load_upscaler(source, scale=scale) for source in given.sources}
    benchmarks = find_benchmarks(given.benchmarks, scale, _ranges(given.only))
    rows = score(networks, benchmarks, scale, metric)
    console.print(_table(rows, f"x{scale}, {metric.definition()}"))
    if given.csv:
        write_csv(given.csv, Row._fields, rows)


def score(
    networks: Mapping[str, Upscaler], benchmarks: Sequence[Benchmark], scale: int, metric: MetricConfig
) -> list[Row]:
    """All methods on all pictures, sorted by set: bicubic, the networks, then what was published.

    What was published is of luma without a border as wide as the scale: with another metric it is left out.
    """
    published = metric == MetricConfig(channel="y", border=scale)
    rows: list[Row] = []
    with progress() as bar:
        task = bar.add_task("benchmark", total=sum(len(one.pairs) for one in benchmarks))
        for one in benchmarks:
            found: list[Row] = []
            for pair in one.pairs:
                found += _measure(one.name, pair, networks, scale, metric)
                bar.advance(task)
            rows += sorted(found, key=lambda row: ["bicubic", *networks].index(row.method))
            if published:
                rows += _published(one, {row.image: row.psnr for row in found if row.method == "bicubic"})
    return rows


def _measure(
    benchmark: str, pair: Pair, networks: Mapping[str, Upscaler], scale: int, metric: MetricConfig
) -> Iterator[Row]:
    """One picture by bicubic and by every network."""
    low, truth, image = read_rgb(pair.low), read_rgb(pair.high), Path(pair.name).stem
    enlarged: dict[str, tuple[Bytes, float | None]] = {"bicubic": (bicubic(low, scale), None)}
    for name, network in networks.items():
        started = time.monotonic()
        # By way of 16 bits, as `infer` writes its predictions.
        picture = to_bytes(quantize(enlarge_by(network.tiled, to_tensor(low).to(network.device)), 16))
        enlarged[name] = picture, time.monotonic() - started
    plain = metric.psnr(enlarged["bicubic"][0], truth)
    for name, (picture, seconds) in enlarged.items():
        psnr, ssim = psnr_and_ssim(picture, truth, metric, pair.high)
        yield Row(benchmark, name, image, psnr, ssim, gain(psnr, plain), seconds)


def _published(benchmark: Benchmark, plain: Mapping[str, float]) -> list[Row]:
    """What others published of the same pictures; their bicubic is ours."""
    images = [Path(pair.name).stem for pair in benchmark.pairs]
    return [
        Row(benchmark.name, f"{method}*", image, one.psnr, one.ssim, gain(one.psnr, plain[image]), None)
        for method, scores in benchmark.published.items()
        if method != "bicubic"
        for image, one in zip(images, scores, strict=True)
    ]


def _ranges(given: Sequence[str]) -> dict[str, Range]:
    """SET=FIRST..LAST as {SET: (FIRST, LAST)}."""
    parsed = [re.fullmatch(r"(.+?)=(.+?)\.\.(.+)", one) for one in given]
    if None in parsed:
        raise UsageError(f"--only: {given[parsed.index(None)]} is not SET=FIRST..LAST. Write urban100=061..070")
    return {match[1]: (match[2], match[3]) for match in parsed if match}


def _table(rows: Sequence[Row], title: str) -> Table:
    """Means over each set, in dB; `beats bicubic` is the share of its pictures on which a method does."""
    table = Table(title=title, caption="* as published" if any(row.method.endswith("*") for row in rows) else None)
    table.add_column("set", overflow="fold")
    table.add_column("method", overflow="fold")
    for head in HEADS:
        table.add_column(head, justify="right", min_width=len("+0.000"))  # a narrow terminal cuts no figure
    for benchmark, of_set in groupby(rows, key=lambda row: row.benchmark):
        for method, group in groupby(of_set, key=lambda row: row.method):
            scores = list(group)
            first = method == "bicubic"
            table.add_row(f"{benchmark} ({len(scores)})" if first else "", method, *_means(scores, compared=not first))
        table.add_section()
    return table


def _means(rows: Sequence[Row], compared: bool) -> list[str]:
    gains = [row.gain for row in rows]
    return [
        f"{np.mean([row.psnr for row in rows]):.3f}",
        _mean([row.ssim for row in rows], ".4f"),
        f"{np.mean(gains):+.3f}" if compared else "",
        f"{100 * np.mean([gain > 0 for gain in gains]):.0f} %" if compared else "",
        _mean([row.seconds for row in rows], ".2f"),
    ]


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(np.mean(known), form) if len(known) == len(values) else ""


if __name__ == "__main__":
    run_command(main)
