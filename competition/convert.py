"""Enlarge one picture of any common kind: optional denoising and sharpening before, EXIF and ICC kept."""

from pathlib import Path
from typing import Literal, NamedTuple

from competition.ensemble import SelfEnsemble
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent

Denoise = Literal["none", "bilateral", "nlmeans"]


class Converted(NamedTuple):
    """Size of the picture written, in pixels and bytes, and the seconds it took."""

    width: int
    height: int
    bytes: int
    seconds: float


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

    Raises BadInput for the picture, UsageError for the options, BadCheckpoint for the weights, OSError for the disk.
    """
    raise NotImplementedError


class Estimate(NamedTuple):
    """Seconds that a conversion will take, bytes it will write, and its size in pixels."""

    seconds: float
    bytes: int
    width: int
    height: int


def estimate(
    path: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    format: Literal["png", "jpeg", "webp"] = "png",
    limits: Limits = OWN,
    name: str | None = None,
) -> Estimate:
    """What `convert` will take, measured by enlarging a small part of the picture."""
    raise NotImplementedError
