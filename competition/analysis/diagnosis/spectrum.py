"""At which spatial frequencies a picture's squared error lies, by the cosine transform."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from competition.analysis.diagnosis.places import Errors, Plane
from competition.images import Bytes
from competition.parts import PARTS

Array = npt.NDArray[np.float64]

# Width of a ring, in cycles per pixel; 0.5 is the limit along an axis, half the square root of 2 that of the diagonal.
WIDTH = 1 / 64
RINGS = 46
# Of an orthogonal cosine transform the coefficients' squares sum to those of the samples (Parseval); at the borders it
# goes on as in a mirror, where a Fourier transform would see edges that are none.
_transform = PARTS["band"].forward


class Powers(NamedTuple):
    """Sums over the coefficients of each ring, all channels together, each (RINGS,); bicubic's NaN where unknown."""

    coefficients: Array
    truth: Array
    prediction: Array
    residual: Array
    plain: Array
    """Squares of bicubic's residual."""
    product: Array
    """Of prediction and truth."""
    product_plain: Array
    """Of bicubic and truth."""


def frequencies(height: int, width: int) -> Array:
    """Radial frequency of each coefficient, (height, width), in cycles per pixel."""
    down, right = (np.arange(side) / (2 * side) for side in (height, width))
    return np.asarray(np.hypot(down[:, None], right[None]))


def powers(errors: Errors, truth: Bytes) -> Powers:
    """The spectra of one picture, uint8 (H, W, 3), and of its errors."""
    rings = (frequencies(*truth.shape[:2]) / WIDTH).astype(np.uint8).ravel()
    sums = [
        _sums(rings, *(None if part is None else part[..., channel] for part in (truth, *errors)))
        for channel in range(3)
    ]
    count = np.bincount(rings, minlength=RINGS).astype(np.float64) * 3
    return Powers(count, *(sum(parts) for parts in zip(*sums, strict=True)))  # type: ignore[arg-type]


def _sums(rings: npt.NDArray[np.uint8], truth: Bytes, own: Plane, plain: Plane | None) -> list[Array]:
    """All but the first field of Powers, for one channel."""

    def total(values: Plane) -> Array:
        return np.bincount(rings, values.ravel(), RINGS)

    true, residual = _transform(truth.astype(np.float32)), _transform(own)
    predicted = true + residual
    found = [total(true**2), total(predicted**2), total(residual**2)]
    if plain is None:
        unknown = np.full(RINGS, np.nan)
        return [*found, unknown, total(predicted * true), unknown]
    other = _transform(plain)
    return [*found, total(other**2), total(predicted * true), total((true + other) * true)]
