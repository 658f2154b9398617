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
    total = np.zeros((len(Powers._fields) - 1, RINGS))
    for channel in range(3):
        plain = None if errors.plain is None else errors.plain[..., channel]
        total += _sums(rings, truth[..., channel], errors.own[..., channel], plain)
    coefficients = 3 * np.bincount(rings, minlength=RINGS).astype(np.float64)
    return Powers(coefficients, *total)


def _sums(rings: npt.NDArray[np.uint8], truth: Bytes, own: Plane, plain: Plane | None) -> Array:
    """All but the first field of Powers, for one channel."""

    def total(values: npt.NDArray[np.floating]) -> Array:
        return np.bincount(rings, values.ravel(), RINGS).astype(np.float64)

    true, residual = _transform(truth.astype(np.float32)), _transform(own)
    predicted = true + residual
    unknown = np.full(RINGS, np.nan)
    squares_plain, product_plain = unknown, unknown
    if plain is not None:
        other = _transform(plain)
        squares_plain, product_plain = total(other**2), total((true + other) * true)
    own_sums = (total(true**2), total(predicted**2), total(residual**2))
    return np.array([*own_sums, squares_plain, total(predicted * true), product_plain])
