"""Enlarge one picture of any common kind: optional denoising and sharpening before, EXIF and ICC kept."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np

from competition.ensemble import SelfEnsemble
from competition.errors import ArgumentParser, UsageError, run_command
from competition.files import write_atomic
from competition.images import Bytes
from competition.media.limits import OWN, Limits
from competition.media.pictures import Format, Picture, encode_picture, read_picture
from competition.media.sandbox import Report, silent
from competition.memory import reuse_freed_memory
from competition.networks import PLAIN
from competition.progress import console, watched
from competition.shares import heard
from competition.upscaler import Enlarger

Denoise = Literal["none", "bilateral", "nlmeans"]
FORMATS: dict[str, Format] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_TRIAL = 64  # low pixels of the side of what is enlarged to estimate a whole picture's time


class Converted(NamedTuple):
    """Size of the picture written, in pixels and bytes, and the seconds it took."""

    width: int
    height: int
    bytes: int
    seconds: float


class Estimate(NamedTuple):
    """Seconds that a conversion will take, bytes it will write, and its size in pixels."""

    seconds: float
    bytes: int
    width: int
    height: int


def main(arguments: Sequence[str]) -> None:
    """The command line: PICTURE OUTPUT --run SOURCE."""
    parser = ArgumentParser(prog="python -m competition.convert", description=__doc__ or "")
    parser.add_argument("picture", type=Path, help="PNG, JPEG, GIF, BMP or WebP")
    parser.add_argument("output", type=Path, help=f"picture to write: {' '.join(FORMATS)}")
    known = f"run folder, weights file, name of pretrained weights, or {', '.join(PLAIN)}"
    parser.add_argument("--run", required=True, metavar="SOURCE", dest="source", help=known)
    parser.add_argument(
        "--scale", type=int, choices=(1, 2, 3, 4), help="default: the network's own; smaller ones reduce"
    )
    parser.add_argument("--denoise", choices=get_args(Denoise), default="none", help="filter of OpenCV; default: none")
    parser.add_argument("--strength", type=float, default=5.0, help="of --denoise, 0 to 30; default 5")
    parser.add_argument("--sharpen", type=float, default=0.0, help="0 to 3, default 0: not at all")
    parser.add_argument("--self-ensemble", choices=get_args(SelfEnsemble), default="none", help="default: none")
    parser.add_argument("--tile", type=int, help="side of a tile in low pixels, 0 for the whole; default: as fits")
    parser.add_argument("--quality", type=int, default=92, help="of JPEG and WebP, 1 to 100; default 92")
    given = parser.parse_args(arguments)
    reuse_freed_memory()
    how = (given.source, given.scale, given.denoise, given.strength, given.sharpen, given.self_ensemble)
    options = {"tile": given.tile, "quality": given.quality}
    done = watched(
        given.output.name, lambda report: convert(given.picture, given.output, *how, **options, report=report)
    )
    size = f"{done.width}x{done.height}, {done.bytes / 1e6:.2f} MB"
    console.print(f"{given.output}: {size}, enlarged in {done.seconds:.1f} s")


def convert(
    path: Path,
    output: Path,
    source: str,
    scale: int | None = None,
    denoise: Denoise = "none",
    strength: float = 5.0,
    sharpen: float = 0.0,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    quality: int = 92,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Converted:
    """Enlarge a PNG, JPEG, GIF (of one picture), BMP or WebP into OUTPUT, a .png, .jpg or .webp, whole or not at all.

    `source` is a run folder, weights file, name of shipped weights or plain enlarger; `scale` 2, 3 or 4, by default the
    network's own. `denoise` and `sharpen` are applied to the low picture first: `strength` (0 to 30) is OpenCV's
    sigmaColor in grey levels of the bilateral filter, or h of non-local means; `sharpen` (0 to 3) is how much of what
    a Gaussian blur of sigma 1 takes away is added. Alpha is enlarged bicubically, and laid on white in a JPEG.
    `quality` (1 to 100) is for JPEG and WebP, 100 makes WebP lossless. `name` is what the user calls the file.
    `report` hears (percent that the network has done, 100).

    Raises BadInput for the picture, UsageError for the options, BadCheckpoint for the weights, OSError for the disk.
    """
    begun, format = time.monotonic(), _format(output)
    _require_sane(strength, sharpen, quality)
    picture = read_picture(path, limits, name)
    enlarger = Enlarger(source, scale, self_ensemble, tile)
    report(0, 100)
    low = _sharpened(_denoised(picture.pixels, denoise, strength), sharpen)
    with heard(lambda share: report(100 * share, 100)):
        high = _enlarged(picture._replace(pixels=low), enlarger)
    content = encode_picture(high, format, quality)
    write_atomic(output, content)
    height, width = high.pixels.shape[:2]
    return Converted(width, height, len(content), time.monotonic() - begun)


def estimate(
    path: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    format: Format = "png",
    limits: Limits = OWN,
    name: str | None = None,
) -> Estimate:
    """What `convert` will take, measured by enlarging the middle of the picture; raises what it raises."""
    picture = read_picture(path, limits, name)
    enlarger = Enlarger(source, scale, self_ensemble)
    height, width = picture.pixels.shape[:2]
    top, left = (max(0, (length - _TRIAL) // 2) for length in (height, width))
    middle = Picture(picture.pixels[top : top + _TRIAL, left : left + _TRIAL], None, b"", b"")
    high = _enlarged(middle, enlarger)  # the first of a size takes longer
    begun = time.monotonic()
    size = len(encode_picture(_enlarged(middle, enlarger), format))
    share = high.pixels.size / enlarger.scale**2 / picture.pixels.size
    seconds, bytes = (time.monotonic() - begun) / share, round(size / share)
    return Estimate(seconds, bytes, width * enlarger.scale, height * enlarger.scale)


def _enlarged(picture: Picture, enlarger: Enlarger) -> Picture:
    pixels = enlarger(np.ascontiguousarray(picture.pixels))
    assert pixels.dtype == np.uint8
    size = pixels.shape[1::-1]
    alpha = None if picture.alpha is None else cv2.resize(picture.alpha, size, interpolation=cv2.INTER_CUBIC)
    return picture._replace(pixels=pixels.astype(np.uint8), alpha=None if alpha is None else alpha.astype(np.uint8))


def _denoised(pixels: Bytes, denoise: Denoise, strength: float) -> Bytes:
    """By Tomasi and Manduchi's bilateral filter (ICCV 1998), or non-local means (Buades et al., CVPR 2005)."""
    if denoise == "bilateral":
        return np.asarray(cv2.bilateralFilter(pixels, 7, strength, 3), np.uint8)
    if denoise == "nlmeans":
        return np.asarray(cv2.fastNlMeansDenoisingColored(pixels, None, strength, strength, 7, 21), np.uint8)
    return pixels


def _sharpened(pixels: Bytes, amount: float) -> Bytes:
    """By an unsharp mask."""
    if not amount:
        return pixels
    return np.asarray(cv2.addWeighted(pixels, 1 + amount, cv2.GaussianBlur(pixels, (0, 0), 1), -amount, 0), np.uint8)


def _format(output: Path) -> Format:
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output}: its ending names no format. Choose {' '.join(FORMATS)}")
    return FORMATS[output.suffix.lower()]


def _require_sane(strength: float, sharpen: float, quality: int) -> None:
    for option, value, most in (("--strength", strength, 30), ("--sharpen", sharpen, 3), ("--quality", quality, 100)):
        least = 1 if option == "--quality" else 0
        if not least <= value <= most:
            raise UsageError(f"{option}: {value:g} is out of range. Give {least} to {most}")


if __name__ == "__main__":
    run_command(main)
