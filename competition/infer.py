"""Enlarge a folder of pictures with a run, a weights file, pretrained weights or a plain enlarger."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from torch import nn

from competition.data.pairs import read_names
from competition.ensemble import SelfEnsemble, enlarge
from competition.errors import ArgumentParser, BadInput, CompetitionError, NumericalError, UsageError, run_command
from competition.files import sha256
from competition.images import list_pictures, quantize, read_rgb, to_tensor, write_png
from competition.memory import reuse_freed_memory
from competition.networks import PLAIN, choose
from competition.predictions import Record, read_record, write_record
from competition.progress import console, progress
from competition.provenance import commit


class Upscaler(NamedTuple):
    """A network ready to enlarge; `settings` is what its predictions depend on."""

    network: nn.Module
    scale: int
    settings: Record


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
    parser.add_argument("--tile", type=int, default=0, help="side of a tile in low pixels, 0 takes pictures whole")
    given = parser.parse_args(arguments)
    if given.tile < 0:
        raise UsageError(f"--tile: {given.tile} is negative. Give 0 or a number of low pixels")
    pictures = list_pictures(given.input)
    if given.names:
        pictures = _choose(pictures, given.names, given.input)
    if given.output.resolve() == given.input.resolve():
        raise UsageError(f"{given.output}: is the input folder. Choose another --output")
    reuse_freed_memory()
    upscaler = load_upscaler(given.source, given.self_ensemble, given.tile, given.scale)
    infer(upscaler, pictures, given.input, given.output)


def load_upscaler(
    source: str, self_ensemble: SelfEnsemble = "none", tile: int = 0, scale: int | None = None
) -> Upscaler:
    """The network of a run folder, a weights file, a pretrained name or a plain enlarger, as `choose` finds it."""
    settings: Record = {"source": source, "self_ensemble": self_ensemble, "tile": tile}
    network, description, path = choose(source, scale)
    settings |= {"description": description.model_dump(mode="json")}
    if path:
        settings |= {"weights": sha256(path)}
    return Upscaler(network, description.model.scale, settings)


def infer(upscaler: Upscaler, pictures: Mapping[str, Path], source: Path, output: Path) -> None:
    """Write OUTPUT/NAME for every picture; those that stand from the same input and settings are kept.

    Raises BadInput (or NumericalError) at the end, with a line for every picture that failed; all others are done.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = upscaler.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    record = read_record(output)
    if {key: record.get(key) for key in upscaler.settings} != upscaler.settings:
        record = {**upscaler.settings, "pictures": {}}
    record |= {"input": str(source.resolve()), "commit": commit()}
    write_record(output, record)
    faults: list[CompetitionError] = []
    begin = time.monotonic()
    done = 0
    with progress() as bar:
        for name, path in bar.track(pictures.items(), description=output.name):
            try:
                picture = read_rgb(path)
                digest = sha256(path)
                if record["pictures"].get(name, {}).get("input") == digest and (output / name).exists():
                    continue
                started = time.monotonic()
                low = to_tensor(picture).to(device)
                settings = upscaler.settings
                high = enlarge(network, low, upscaler.scale, settings["self_ensemble"], settings["tile"])
                seconds = time.monotonic() - started
                write_png(output / name, quantize(high, 16))
            except (BadInput, NumericalError) as error:
                faults.append(error)
                continue
            record["pictures"][name] = {"input": digest, "seconds": round(seconds, 3)}
            write_record(output, record)
            done += 1
    kept = f"{len(pictures) - done - len(faults)} kept, {len(faults)} refused"
    console.print(f"{output}: {done} enlarged in {time.monotonic() - begin:.1f} s, {kept}")
    if faults:
        raise type(faults[0])(*[line for fault in faults for line in fault.lines])


def _choose(pictures: Mapping[str, Path], names: Path, folder: Path) -> dict[str, Path]:
    chosen = read_names(names)
    absent = sorted(chosen - pictures.keys())
    if absent:
        raise BadInput(*[f"{names}: {name}: not in {folder}. Remove the line" for name in absent])
    return {name: path for name, path in pictures.items() if name in chosen}


if __name__ == "__main__":
    run_command(main)
