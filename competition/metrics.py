"""PSNR and SSIM as contests score them: one definition, used for validation, weights and reports alike."""

from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from competition.colour import OFFSET, SHARES
from competition.config import Config

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint16]
Plane = npt.NDArray[np.float64]


class MetricConfig(Config):
    """What a score means; scores of different definitions must not be compared."""

    channel: Literal["rgb", "y"] = "rgb"
    """All three channels (the contest), or MATLAB's 8-bit luma (published benchmarks)."""
    border: int = Field(0, ge=0)
    """High pixels left out on every side: 0 in the contest, 4 in published x4 tables."""

    def definition(self) -> str:
        """One line that names the score, stored beside every figure."""
        return f"PSNR on 8-bit {self.channel}, border {self.border}"

    def psnr(self, picture: Bytes, truth: Bytes) -> float:
        """Peak signal-to-noise ratio in dB of two (H, W, 3) uint8 RGB pictures; infinite when equal."""
        return float(to_psnr(np.mean((self._planes(picture) - self._planes(truth)) ** 2)))

    def ssim(self, picture: Bytes, truth: Bytes) -> float:
        """Structural similarity, the mean over the channels, of two (H, W, 3) uint8 RGB pictures.

        Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004:
        Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, averaged where the window fits.
        Raises ValueError for pictures smaller than the window.
        """
        first, second = self._planes(picture), self._planes(truth)
        return float(np.mean([_ssim(first[..., c], second[..., c]) for c in range(first.shape[-1])]))

    def linear_planes(self, picture: Bytes | Words) -> Iterator[npt.NDArray[np.float32]]:
        """What is scored, before any rounding: R, G and B, or luma, one (h, w) plane in 8-bit levels after another.

        Linear but for luma's offset of 16, which is left out: the mean square of the planes' differences is the error
        whose PSNR `psnr` takes after rounding.
        """
        inside = self.inside(picture)
        unit = 257 if picture.dtype == np.uint16 else 1
        if self.channel == "y":
            yield (inside @ (LUMA / 255 / unit)).astype(np.float32)
        else:
            yield from (inside[..., channel].astype(np.float32) / np.float32(unit) for channel in range(3))

    def inside(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An array of the picture's height and width without its border."""
        return picture[self.border : -self.border, self.border : -self.border] if self.border else picture

    def _planes(self, picture: Bytes) -> Plane:
        """(H, W, C) float64 in [0, 255] inside the border."""
        picture = self.inside(picture)
        return picture.astype(np.float64) if self.channel == "rgb" else luma(picture)[..., None]


def to_psnr(mse: npt.ArrayLike) -> Plane:
    """Mean squared errors, in squared 8-bit levels, as PSNR in dB: infinite for 0, NaN for NaN."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / np.asarray(mse, np.float64)))


LUMA = np.array(SHARES)


def luma(picture: Bytes) -> Plane:
    """Y of BT.601 in [16, 235], (H, W), rounded to whole numbers as MATLAB's rgb2ycbcr does for uint8 pictures.

    Without that rounding bicubic lies up to 0.04 dB off the published tables.
    """
    y: Plane = np.floor(OFFSET + 0.5 + picture @ LUMA / 255)
    return y


def _ssim(x: Plane, y: Plane) -> float:
    if min(x.shape) < 11:
        raise ValueError(f"SSIM needs at least 11x11 pixels, got {x.shape[1]}x{x.shape[0]}")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _window(x), _window(y)
    variance_x = _window(x * x) - mean_x**2
    variance_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean((2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * structure))


def _window(plane: Plane) -> Plane:
    """Gaussian mean over 11x11 windows, (H - 10, W - 10)."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    filtered: Plane = cv2.sepFilter2D(plane, cv2.CV_64F, weights, weights)  # type: ignore[assignment]
    return filtered[5:-5, 5:-5]
