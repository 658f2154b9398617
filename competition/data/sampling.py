"""Where patches are cut: places as a function of uniform random numbers."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from competition.config import Config

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Sizes = Sequence[tuple[int, int]]
Maps = Sequence[npt.NDArray[np.float32]]


class Places(NamedTuple):
    """For each patch the number of its picture and its corner in low pixels; three arrays of one length."""

    picture: Indices
    top: Indices
    left: Indices


class Sampling(Protocol):
    """A way to choose places."""

    def places(self, numbers: Numbers, low_size: int) -> Places:
        """One place for each row of `numbers`, (n, 3) in [0, 1)."""


class Uniform:
    """Every crop position of every picture is equally likely."""

    def __init__(self, sizes: Sizes) -> None:
        """`sizes`: height and width of each low picture."""
        self._sizes = np.array(sizes, np.int64)

    def places(self, numbers: Numbers, low_size: int) -> Places:
        """See `Sampling`; uses the first column."""
        rows, columns = (self._sizes - low_size + 1).T
        ends = np.cumsum(rows * columns)
        position = (numbers[:, 0] * ends[-1]).astype(np.int64)
        picture = np.searchsorted(ends, position, side="right")
        top, left = np.divmod(position - ends[picture] + (rows * columns)[picture], columns[picture])
        return Places(picture, top, left)


class Hard:
    """Patches whose middle lies where bicubic fails are likelier: by (1 + squared error of the cell) ** power."""

    def __init__(self, sizes: Sizes, maps: Maps, power: float) -> None:
        """`maps`: for each picture its `difficulty_map`; the 1 keeps flat cells from being never seen."""
        self._sizes = np.array(sizes, np.int64)
        self._grids = np.array([grid.shape for grid in maps], np.int64)
        self._ends = np.cumsum(self._grids.prod(axis=1))
        # In float64: beside the sum over millions of cells, an easy cell is nothing in float32.
        self._weights = np.cumsum(np.concatenate([(1.0 + grid.ravel()) ** power for grid in maps]), dtype=np.float64)

    def places(self, numbers: Numbers, low_size: int) -> Places:
        """See `Sampling`; the columns choose the cell, and the row and column within it."""
        cell = np.searchsorted(self._weights, numbers[:, 0] * self._weights[-1], side="right")
        picture = np.searchsorted(self._ends, cell, side="right")
        grid, size = self._grids[picture], self._sizes[picture]
        row_column = np.stack(np.divmod(cell - self._ends[picture] + grid.prod(axis=1), grid[:, 1]), axis=1)
        middle = (row_column + numbers[:, 1:3]) * size / grid
        corner = np.clip(np.floor(middle - low_size / 2).astype(np.int64), 0, size - low_size)
        return Places(picture, corner[:, 0], corner[:, 1])


class UniformConfig(Config):
    """Patches from anywhere."""

    name: Literal["uniform"] = "uniform"

    def build(self, sizes: Sizes, maps: Callable[[], Maps]) -> Sampling:
        """`sizes` of the low pictures; `maps` gives their difficulty, and is called where it is needed."""
        return Uniform(sizes)


class HardConfig(Config):
    """Patches from where bicubic enlargement fails."""

    name: Literal["hard"] = "hard"
    power: float = Field(0.5, gt=0, le=2)
    """How strongly: a place is drawn in proportion to this power of bicubic's squared error there."""

    def build(self, sizes: Sizes, maps: Callable[[], Maps]) -> Sampling:
        """See `UniformConfig.build`."""
        return Hard(sizes, maps(), self.power)


SamplingConfig = Annotated[UniformConfig | HardConfig, Field(discriminator="name")]
