"""Enlarge a folder of pictures with a run, a weights file, pretrained weights or plain bicubic."""

import contextlib
import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import torch
from rich.table import Table
from torch import Tensor

from competition.data.pairs import read_names
from competition.engine import Backend, Precision
from competition.ensemble import SelfEnsemble, enlarge_by
from competition.errors import (
    ArgumentParser,
    BadInput,
    CompetitionError,
    Fault,
    NumericalError,
    OutOfMemory,
    UsageError,
    run_command,
)
from competition.files import sweep_dead
from competition.geometry import SYMMETRIES
from competition.images import quantize, read_bytes, read_rgb, scan_pictures, to_bytes, to_tensor, write_png
from competition.memory import is_exhausted, reuse_freed_memory
from competition.metrics import MetricConfig
from competition.networks import PLAIN
from competition.predictions import Record, read_record, write_record
from competition.progress import console, progress
from competition.provenance import commit
from competition.upscaler import Upscaler, load_upscaler

# How far values of a prediction may lie outside [0, 1]. Networks overshoot: mini_x4 makes 3.4 of a checkerboard.
_FAR = 10.0


def main(arguments: Sequence[str]) -> None:
    """The command line: SOURCE --input DIR --output DIR."""
    plain = ", ".join(PLAIN)
    parser = ArgumentParser(prog="python -m competition.infer", description=__doc__ or "")
    parser.add_argument("source", help=f"run folder, weights file, name of pretrained weights, or {plain}")
    parser.add_argument("--input", type=Path, required=True, help="folder of 8-bit RGB PNGs")
    parser.add_argument("--output", type=Path, required=True, help="folder for 16-bit PNGs of the same names")
    parser.add_argument("--self-ensemble", choices=get_args(SelfEnsemble), default="none", help="default: none")
    parser.add_argument("--names", type=Path, help="text file that lists the pictures to enlarge, one name a line")
    parser.add_argument("--scale", type=int, help="for networks of several scales; default: the source's own, or 4")
    parser.add_argument("--tile", type=int, help="side of a tile in low pixels, 0 for whole pictures; default: as fits")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="default: float32, exact")
    parser.add_argument("--backend", choices=get_args(Backend), default="torch", help="what computes, default: torch")
    parser.add_argument("--truth", type=Path, help="folder of the high pictures: scores each symmetry and their mean")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first bad picture instead of passing over it"
    )
    given = parser.parse_args(arguments)
    if given.tile is not None and given.tile < 0:
        raise UsageError(f"--tile: {given.tile} is negative. Give 0 or a number of low pixels")
    pictures, refused = _find(given.input, given.names)
    if given.strict and refused:
        raise BadInput(*refused)
    if given.output.resolve() == given.input.resolve():
        raise UsageError(f"{given.output}: is the input folder. Choose another --output")
    if given.truth and given.self_ensemble == "none":
        raise UsageError("--truth: scores the members of a self-ensemble. Add --self-ensemble mean")
    reuse_freed_memory()
    upscaler = load_upscaler(given.source, given.self_ensemble, given.tile, given.precision, given.backend, given.scale)
    infer(upscaler, pictures, given.input, given.output, given.truth, strict=given.strict, refused=refused)


def infer(
    upscaler: Upscaler,
    pictures: Mapping[str, Path],
    source: Path,
    output: Path,
    truth: Path | None = None,
    *,
    strict: bool = False,
    refused: Sequence[Fault] = (),
) -> None:
    """Write OUTPUT/NAME for every picture; those that stand from the same input and settings are kept.

    With a folder of truths, every member of the self-ensemble is scored, too. Raises BadInput (or NumericalError, or
    OutOfMemory) at the end, with a line for every picture that failed and for those already `refused`; all others are
    done. Where it is to be `strict`, the first failure is raised at once.
    """
    record = _begin_record(upscaler, source, output)
    entries, done = record["pictures"], 0
    faults: list[CompetitionError] = [BadInput(fault) for fault in refused]
    begin = time.monotonic()
    with progress() as bar:
        for name, path in bar.track(pictures.items(), description=output.name):
            try:
                with _naming(path):
                    renewed = _renew(upscaler, entries, path, output / name, truth / name if truth else None)
            except (BadInput, NumericalError, OutOfMemory) as error:
                if strict:
                    raise
                faults.append(error)
                entries.pop(name, None)
                continue
            if renewed:
                write_record(output, record)
                done += 1
    kept = f"{len(pictures) + len(refused) - done - len(faults)} kept, {len(faults)} refused"
    console.print(f"{output}: {done} enlarged in {time.monotonic() - begin:.1f} s, {kept}")
    if scores := [entries[name]["psnr"] for name in pictures if truth and name in entries]:
        _print_scores(scores)
    if faults:
        worst = next((fault for fault in faults if isinstance(fault, BadInput)), faults[0])
        raise type(worst)(*[line for fault in faults for line in fault.lines])


def _begin_record(upscaler: Upscaler, source: Path, output: Path) -> Record:
    """The record of a folder of predictions, empty where it was made with other settings; written before the first."""
    for folder in (output.parent, output):
        sweep_dead(folder)
    record = read_record(output)
    if {key: record.get(key) for key in upscaler.settings} != upscaler.settings:
        record = {**upscaler.settings, "pictures": {}}
    record |= {"input": str(source.resolve()), "commit": commit()}
    write_record(output, record)
    return record


def _renew(upscaler: Upscaler, entries: Record, path: Path, target: Path, truth: Path | None) -> bool:
    """Enlarge a picture and note it, unless it stands from the same input; whether it was enlarged."""
    entry = {"input": _digest(path), "truth": _digest(truth) if truth else None}
    if entry.items() <= entries.get(target.name, {}).items() and target.exists():
        return False
    entries[target.name] = entry | _enlarge(upscaler, path, target, truth)
    return True


def _enlarge(upscaler: Upscaler, path: Path, target: Path, truth: Path | None) -> Record:
    """Enlarge one picture; returns the seconds it took and, where the truth is given, the members' scores in dB.

    Of a mean of symmetries also their spread, which needs no truth: their variance about it in squared 8-bit levels, by
    which its squared error lies below the mean of theirs.
    """
    picture, high = read_rgb(path), read_rgb(truth) if truth else None
    psnr: dict[str, float] = {}
    squares: list[float] = []

    def look(member: str, prediction: Tensor) -> None:
        _require_usable(path, prediction)
        squares.append(float(torch.linalg.vector_norm(prediction, dtype=torch.float64)) ** 2 / prediction.numel())
        if high is not None:
            psnr[member] = MetricConfig().psnr(to_bytes(quantize(prediction, 16)), high)

    started = time.monotonic()
    low = to_tensor(picture).to(upscaler.device)
    prediction = enlarge_by(upscaler.tiled, low, upscaler.settings["self_ensemble"], look)
    seconds = time.monotonic() - started
    look("together", prediction)
    write_png(target, quantize(prediction, 16))
    entry: Record = {"seconds": round(seconds, 3), "psnr": psnr}
    if upscaler.settings["self_ensemble"] == "mean":
        *members, mean = squares
        entry["spread"] = round(255**2 * max(0.0, sum(members) / len(members) - mean), 4)
    return entry


def _require_usable(path: Path, prediction: Tensor) -> None:
    """Raise NumericalError for what rounding would hide: values that are not finite, or far from [0, 1]."""
    least, most = (float(value) for value in torch.aminmax(prediction))
    if math.isfinite(least) and math.isfinite(most):
        if least >= -_FAR and most <= 1 + _FAR:
            return
        cause = f"holds values from {least:.3g} to {most:.3g}, expected 0 to 1"
    else:
        cause = "holds values that are not finite"
    raise NumericalError(f"{path}: its prediction {cause}. Check the weights that made it")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let a lack of memory, wherever it shows, name the picture."""
    try:
        yield
    except OutOfMemory as error:
        raise OutOfMemory(f"{path}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_exhausted(error):
            raise
        raise OutOfMemory(f"{path}: memory does not suffice. Use a smaller --tile or a machine with more") from error


def _digest(path: Path) -> str:
    """The SHA-256 of a picture's file; raises BadInput like `read_rgb`, and never waits for a FIFO."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _print_scores(scores: Sequence[Mapping[str, float]]) -> None:
    """Each symmetry's mean PSNR alone, and that of all together, beside the first symmetry's: the picture as it is."""
    table = Table(title=f"{MetricConfig().definition()}, mean of {len(scores)} pictures")
    for column in ("symmetry", "dB", "over e"):
        table.add_column(column, justify="left" if column == "symmetry" else "right")
    means = {name: sum(row[name] for row in scores) / len(scores) for name in (*SYMMETRIES, "together")}
    for name, mean in means.items():
        table.add_row(name, f"{mean:.4f}", f"{mean - means['e']:+.4f}")
    console.print(table)


def _find(folder: Path, names: Path | None) -> tuple[dict[str, Path], list[Fault]]:
    """The pictures of a folder, or those of a list of names, and the faults of names that keep others from it.

    Raises BadInput for a folder without pictures, and for listed names that are not there.
    """
    pictures, found = scan_pictures(folder)
    if not pictures:
        raise BadInput(*(fault for _, fault in found))
    if names:
        chosen = read_names(names)
        absent = sorted(chosen - pictures.keys())
        if absent:
            raise BadInput(*[f"{names}: {name}: not in {folder}. Remove the line" for name in absent])
        pictures = {name: path for name, path in pictures.items() if name in chosen}
        found = [(name, fault) for name, fault in found if name in chosen]
    spoilt = {name for name, _ in found}
    return {name: path for name, path in pictures.items() if name not in spoilt}, [fault for _, fault in found]


if __name__ == "__main__":
    run_command(main)
