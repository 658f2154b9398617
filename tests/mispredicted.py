"""Predictions of a contest that are fair, and what a pipeline can do to them."""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from competition.ensemble import bicubic
from competition.images import list_pictures, read_rgb, write_png

Levels = npt.NDArray[np.float64]
Fault = Callable[[Levels], Levels]


def fair(data: Path) -> dict[str, Levels]:
    """Bicubic with two fifths of the detail that it lacks, and detail of the next picture, all of one size.

    float64 (H, W, 3) in 8-bit levels. Like those of a trained network they have neither gain nor offset: beside the
    share a of the detail, wrong detail of the variance a - a² makes the regression of the truth on them the identity.
    """
    plain = {name: bicubic(read_rgb(path), 4).astype(np.float64) for name, path in _pictures(data / "train/lr")}
    lacking = {name: read_rgb(path) - plain[name] for name, path in _pictures(data / "train/hr")}
    wrong = [*list(lacking.values())[1:], next(iter(lacking.values()))]
    return {
        name: plain[name] + 0.4 * detail + 0.24**0.5 * other * detail.std() / other.std()
        for (name, detail), other in zip(lacking.items(), wrong, strict=True)
    }


def _pictures(folder: Path) -> Iterable[tuple[str, Path]]:
    return list_pictures(folder).items()


def write(folder: Path, predictions: dict[str, Levels], fault: Fault = lambda levels: levels) -> Path:
    """FOLDER/validation, as 16-bit PNGs."""
    for name, levels in predictions.items():
        write_png(folder / "validation" / name, (fault(levels) * 257 + 0.5).clip(0, 65535).astype(np.uint16))
    return folder


def swapped(levels: Levels) -> Levels:
    """BGR for RGB."""
    return levels[..., ::-1]


def shifted(levels: Levels) -> Levels:
    """One pixel to the right."""
    return np.roll(levels, 1, 1)


def toned(levels: Levels) -> Levels:
    """A gamma of 1.1."""
    return 255 * (levels.clip(0, 255) / 255) ** 1.1


def blurred_border(levels: Levels) -> Levels:
    """Six pixels at every side blurred."""
    blurred = cv2.GaussianBlur(levels, (0, 0), 2)
    blurred[6:-6, 6:-6] = levels[6:-6, 6:-6]
    return blurred


def blocked_band(levels: Levels) -> Levels:
    """Nothing between 0.08 and 0.12 cycles per pixel."""
    down, right = (np.arange(side) / (2 * side) for side in levels.shape[:2])
    frequency = np.hypot(down[:, None], right[None])[..., None]
    spectrum = fft.dctn(levels, axes=(0, 1), norm="ortho")
    spectrum[((frequency > 0.08) & (frequency < 0.12)).repeat(3, 2)] = 0
    return np.asarray(fft.idctn(spectrum, axes=(0, 1), norm="ortho"))


FAULTS: dict[str, Fault] = {
    "channel order": swapped,
    "shift": shifted,
    "gamma": toned,
    "border": blurred_border,
    "band": blocked_band,
}
