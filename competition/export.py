"""Write a network as ONNX and torch.export files, each kept only if it agrees with the network on pictures."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from rich.table import Table
from torch import Tensor

from competition import exchange, weights
from competition.data.scenes import draw_scene
from competition.ensemble import enlarge
from competition.errors import ArgumentParser, NumericalError, UsageError, run_command
from competition.exchange import Format
from competition.files import write_atomic
from competition.images import Bytes, list_pictures, read_rgb, to_tensor
from competition.networks import choose
from competition.progress import console

# Largest difference allowed, in grey levels of 8 bits: float32 sums in another order stay a hundred times below it.
AGREE = 0.1
# What of real pictures is compared: their middle, of a few of them.
PICTURES, HEIGHT, WIDTH = 4, 151, 189
# Neither is square, and both sides are once even and once odd.
NOISE = ((17, 30), (64, 41))


class Comparison(NamedTuple):
    """A picture enlarged by the network and by the file: largest difference in grey levels, and PSNR in dB."""

    picture: str
    size: str
    levels: float
    psnr: float


def main(arguments: Sequence[str]) -> None:
    """The command line: SOURCE --output DIR."""
    parser = ArgumentParser(prog="python -m competition.export", description=__doc__ or "")
    parser.add_argument("source", help="run folder, weights file, name of pretrained weights, or bicubic and the like")
    parser.add_argument("--output", type=Path, required=True, help="folder for NAME.onnx and NAME.pt2")
    formats = get_args(Format)
    parser.add_argument("--formats", nargs="+", choices=formats, default=formats, help="default: onnx pt2")
    parser.add_argument("--pictures", type=Path, help="folder of low pictures to compare on; default: a drawn one")
    given = parser.parse_args(arguments)
    for kind in given.formats:
        exchange.require_packages(kind)
    export(given.source, given.output, given.formats, dict(_lows(given.pictures)))


def export(source: str, output: Path, formats: Sequence[Format], lows: Mapping[str, Tensor]) -> None:
    """Write OUTPUT/NAME.FORMAT for each format, NAME being the run's or the file's, and print how well it agrees.

    Raises UsageError for a network that a format cannot hold, NumericalError for a file that disagrees: neither is
    written, and a file that stood there stays.
    """
    network, description, _ = choose(source)
    highs = {picture: enlarge(network, low, description.model.scale) for picture, low in lows.items()}
    name = Path(source).resolve().name if Path(source).is_dir() else Path(source).stem
    with _refusing(f"{source}: the network {description.model.name}"):
        program = exchange.trace(network)
    for kind in formats:
        path, started = output / f"{name}.{kind}", time.monotonic()
        with _refusing(f"{path}: the network {description.model.name}"):
            exported = exchange.WRITERS[kind](program, _note(description))
            compared = [_compare(picture, highs[picture], exported.run(low)) for picture, low in lows.items()]
        worst = _require_agreement(path, compared)
        write_atomic(path, exported.content)
        console.print(_table(compared, path.name))
        size, seconds = len(exported.content), time.monotonic() - started
        console.print(f"{path}: {size:,} bytes in {seconds:.0f} s, at most {worst:.2g} grey levels off")


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn whatever torch's exporters raise, which is whatever their parts raise, into one line."""
    try:
        yield
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"{what} cannot be exported for pictures of every size ({cause}). Choose other --formats, or use infer"
        ) from error


def _require_agreement(path: Path, compared: Sequence[Comparison]) -> float:
    """The largest difference; raises NumericalError where it is too large or not finite."""
    for one in compared:
        if not one.levels <= AGREE:
            raise NumericalError(
                f"{path}: enlarges {one.picture} {one.levels:.3g} grey levels off its network, {AGREE} are allowed. "
                "It was not written: choose other --formats, or use infer"
            )
    return max(one.levels for one in compared)


def _note(description: weights.Description) -> str:
    """What a file says of itself, for the program that runs it."""
    scale = description.model.scale
    pixels = {
        "low": "float32 (1, 3, height, width), RGB in [0, 1]",
        "high": f"float32 (1, 3, {scale} * height, {scale} * width): clip to [0, 1], times 255, round half up",
    }
    return json.dumps({**pixels, "made_from": description.model_dump(mode="json")})


def _compare(name: str, network: Tensor, file: Tensor) -> Comparison:
    if network.shape != file.shape:
        raise ValueError(f"{name}: {tuple(file.shape)} instead of {tuple(network.shape)}")
    error = (network.double() - file.double()).abs()
    mean = float(error.square().mean())
    size = f"{network.shape[-1]}x{network.shape[-2]}"
    return Comparison(name, size, 255 * float(error.max()), -10 * math.log10(mean) if mean else math.inf)


def _lows(folder: Path | None) -> Iterator[tuple[str, Tensor]]:
    """What is compared on: noise, and the middle of a few pictures of the folder or of a drawn one."""
    generator = torch.Generator().manual_seed(0)
    for height, width in NOISE:
        yield f"noise {width}x{height}", torch.rand(1, 3, height, width, generator=generator)
    if folder is None:
        yield "drawn scene", _middle(draw_scene(0, 0))
        return
    for name, path in list(list_pictures(folder).items())[:PICTURES]:
        yield name, _middle(read_rgb(path))


def _middle(picture: Bytes) -> Tensor:
    top, left = (max(0, (side - most) // 2) for side, most in zip(picture.shape, (HEIGHT, WIDTH), strict=False))
    return to_tensor(picture[top : top + HEIGHT, left : left + WIDTH])


def _table(compared: Sequence[Comparison], title: str) -> Table:
    table = Table(title=title)
    table.add_column("picture", overflow="fold")
    for column in ("enlarged to", "largest difference, grey levels", "PSNR, dB"):
        table.add_column(column, justify="right")
    for one in compared:
        psnr = "equal" if math.isinf(one.psnr) else f"{one.psnr:.1f}"
        table.add_row(one.picture, one.size, f"{one.levels:.6f}", psnr)
    return table


if __name__ == "__main__":
    run_command(main)
