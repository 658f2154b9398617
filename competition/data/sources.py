"""Where the pixels of a pair come from: memory, the pixel store, or the picture files themselves."""

from typing import NamedTuple, Protocol

import numpy as np

from competition.data.degrade import degrade
from competition.data.pairs import Pair
from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import Bytes, read_header, read_rgb


class Source(Protocol):
    """One pair, of which patches are cut."""

    @property
    def name(self) -> str:
        """The file name both pictures share."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the low picture in pixels."""

    def expect(self, top: int, left: int, size: int) -> None:
        """Start fetching what `cut` with the same place will need."""

    def cut(self, top: int, left: int, size: int) -> tuple[Bytes, Bytes]:
        """The low patch (size, size, 3) at a corner in low pixels, and the high patch of the same place; read only."""

    def whole(self) -> "Pictures":
        """Both pictures in memory."""


class Pictures(NamedTuple):
    """A pair in memory: uint8 RGB (h, w, 3) and (scale*h, scale*w, 3)."""

    name: str
    low: Bytes
    high: Bytes

    @property
    def size(self) -> tuple[int, int]:
        """See `Source`."""
        return self.low.shape[:2]

    @property
    def scale(self) -> int:
        """How many high pixels lie along one low pixel."""
        return len(self.high) // len(self.low)

    def expect(self, top: int, left: int, size: int) -> None:
        """See `Source`: memory is ready."""

    def cut(self, top: int, left: int, size: int) -> tuple[Bytes, Bytes]:
        """See `Source`."""
        bottom, right, scale = top + size, left + size, self.scale
        high = self.high[top * scale : bottom * scale, left * scale : right * scale]
        return self.low[top:bottom, left:right], high

    def whole(self) -> "Pictures":
        """See `Source`."""
        return self


def read_pair(pair: Pair, scale: int) -> Pictures:
    """Decode both pictures of a pair, or make the low one; raises BadInput like `read_rgb` and for an empty one."""
    high = read_rgb(pair.high)
    if pair.recipe is None:
        return Pictures(pair.name, read_rgb(pair.low), high)
    height, width = low_size(pair, scale)
    if not height or not width:
        cause = f"{high.shape[1]}x{high.shape[0]} cannot be reduced to a {scale}th"
        raise BadInput(Fault("too small", printable(pair.high), cause, "Remove it"))
    high = np.ascontiguousarray(high[: height * scale, : width * scale])
    generator = np.random.Generator(np.random.Philox(key=pair.recipe.seed))
    return Pictures(pair.name, degrade(high, pair.recipe.degradation, generator, scale), high)


def low_size(pair: Pair, scale: int) -> tuple[int, int]:
    """Height and width of the low picture, by the headers; a synthetic one loses what the scale does not divide."""
    header = read_header(pair.low)
    divisor = 1 if pair.recipe is None else scale
    return header.height // divisor, header.width // divisor


class Files:
    """A pair that stays in its files: every patch decodes both pictures."""

    def __init__(self, pair: Pair, scale: int) -> None:
        self.pair = pair
        self.scale = scale
        self.name = pair.name
        self.size = low_size(pair, scale)

    def expect(self, top: int, left: int, size: int) -> None:
        """See `Source`: nothing is fetched ahead."""

    def cut(self, top: int, left: int, size: int) -> tuple[Bytes, Bytes]:
        """See `Source`."""
        return self.whole().cut(top, left, size)

    def whole(self) -> Pictures:
        """See `Source`."""
        return read_pair(self.pair, self.scale)
