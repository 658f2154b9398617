"""Dense blocks of 3x3 convolutions with a quarter of the products, for float32 on CPUs.

Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016: F(4x4, 3x3). A picture is cut into tiles
of 4x4 pixels; a convolution is 36 products of matrices between transforms of its kernel and of its input's tiles, each
of them with a pixel more on every side. In a dense block a feature is transformed once for all that see it.

Pictures are held as planes (4, 4, C, H/4, W/4): the pixel in row i and column j of every tile lies in plane [i, j], so
that each step of a transform adds contiguous rows, and features side by side are one matrix.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from competition.models.convolution import activate

_SIDE, _TAPS = 4, 6  # of a tile, and with its surroundings
# What a kernel's entries give at the points 0, 1, -1, 2, -2 and infinity.
_POINTS = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_BAND_BYTES = 2**26  # of transformed features; a smaller band moves its last rows up more often


def to_planes(x: Tensor) -> Tensor:
    """One picture (C, H, W) as planes, with zeros where the last tiles reach beyond it."""
    x = functional.pad(x, (0, -x.shape[2] % _SIDE, 0, -x.shape[1] % _SIDE))
    tiles = x.view(len(x), x.shape[1] // _SIDE, _SIDE, x.shape[2] // _SIDE, _SIDE)
    return tiles.permute(2, 4, 0, 1, 3).contiguous()


def from_planes(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes as a picture (C, H, W), its channels last in memory."""
    picture = planes.permute(3, 0, 4, 1, 2).flatten(2, 3).flatten(0, 1)
    return picture[:height, :width].permute(2, 0, 1)


class DenseBlock:
    """x + 0.2 times what densely connected 3x3 convolutions, each but the last activated, make of x; for planes."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        self.biases = biases
        # Taps first, so that the transform of a kernel is one product of matrices.
        self.taps = [weight.permute(2, 3, 0, 1).flatten(0, 1).contiguous() for weight in weights]

    def bands(self, x: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
        """The block's output for the planes of a picture of this size, from top to bottom: rows of tiles, values.

        Each convolution follows the one before it by a row of tiles, so that nothing is computed twice.
        """
        band = _Band(x, [taps.shape[1] for taps in self.taps[:-1]], height, width)
        kernels = [_transform_kernel(taps) for taps in self.taps]
        done = [0] * len(kernels)
        while done[-1] < x.shape[3]:
            known = band.advance(x, done[-1])
            for number, (kernel, bias) in enumerate(zip(kernels, self.biases, strict=True)):
                # A tile sees a line of pixels of the one below it.
                rows = slice(done[number], known if known == x.shape[3] else known - 1)
                if rows.start >= rows.stop:
                    break
                products = band.products(number, rows, kernel)
                products[1, 1] += bias.view(-1, 1, 1)  # that point enters each of the 16 pixels once
                known = done[number] = rows.stop
                if number < len(kernels) - 1:
                    activate(band.pixels(products, rows, band.sources[number + 1].room(rows)))
                else:
                    values = band.pixels(products, rows, x.new_empty(x[..., rows, :].shape))
                    yield rows, values.mul_(0.2).add_(x[..., rows, :])


class _Band:
    """The transformed features of a dense block in the rows of tiles that its convolutions still need."""

    def __init__(self, x: Tensor, grown: Sequence[int], height: int, width: int) -> None:
        channels, self.total, columns = x.shape[2:]
        self.ends = [sum([channels, *grown[:number]]) for number in range(len(grown) + 1)]
        self.depth, self.edge = len(self.ends), (height % _SIDE, width % _SIDE)
        row = x.element_size() * _TAPS**2 * columns * self.ends[-1]
        self.step = min(self.total, max(_BAND_BYTES // row, self.depth))
        self.sources = [_Source(x, self.step + self.depth, number) for number in (channels, *grown)]
        shape = (_TAPS, _TAPS, self.ends[-1], self.step + self.depth, columns)
        self.transformed, self.first = x.new_empty(shape), 0

    def advance(self, x: Tensor, needed: int) -> int:
        """Take in more rows of x and let go of those above the one still needed; returns how many are known."""
        distance = needed - self.first
        for row in range(self.sources[0].known - needed if distance else 0):
            self.transformed[..., row, :] = self.transformed[..., row + distance, :]
        self.first = needed
        rows = slice(self.sources[0].known, min(self.sources[0].known + self.step, self.total))
        self.sources[0].room(rows).copy_(x[..., rows, :])
        return rows.stop

    def products(self, number: int, rows: slice, kernel: Tensor) -> Tensor:
        """Transform a feature in some rows of tiles, then multiply all so far: (6, 6, channels, rows, columns)."""
        place = slice(rows.start - self.first, rows.stop - self.first)
        start = self.ends[number - 1] if number else 0
        self.sources[number].transform(rows, self.transformed[:, :, start : self.ends[number], place])
        seen = self.transformed[:, :, : self.ends[number], place].flatten(0, 1)
        return torch.bmm(kernel, seen.flatten(2, 3)).view(_TAPS, _TAPS, -1, *seen.shape[2:])

    def pixels(self, products: Tensor, rows: slice, out: Tensor) -> Tensor:
        """Transform products back to planes (4, 4, channels, rows, columns), zero beyond the picture."""
        half = out.new_empty((_SIDE, *products.shape[1:]))
        _gather(products.unbind(0), half.unbind(0))
        _gather(half.unbind(1), out.unbind(1))
        height, width = self.edge
        if height and rows.stop == self.total:
            out[height:, ..., -1, :] = 0
        if width:
            out[:, width:, ..., -1] = 0
        return out


class _Source:
    """Planes of a feature around the rows of tiles that are transformed next; zeros surround the picture."""

    def __init__(self, x: Tensor, rows: int, channels: int) -> None:
        self.planes = x.new_zeros((_SIDE, _SIDE, channels, rows + 3, x.shape[4] + 2))
        self.first, self.known, self.total = -2, 0, x.shape[3]

    def room(self, rows: slice) -> Tensor:
        """Where the next rows of tiles belong; the two above them are kept."""
        start, count = self.known - 2 - self.first, rows.stop - rows.start
        if start:
            self.planes[..., :2, :] = self.planes[..., start : start + 2, :].clone()
        self.first, self.known = self.known - 2, rows.stop
        if rows.stop == self.total:
            self.planes[..., 2 + count, :] = 0
        return self.planes[..., 2 : 2 + count, 1:-1]

    def transform(self, rows: slice, out: Tensor) -> None:
        """Transform some rows of tiles into (6, 6, channels, rows, columns)."""
        here = slice(rows.start - self.first, rows.stop - self.first)
        above, below = (slice(here.start + step, here.stop + step) for step in (-1, 1))
        planes = self.planes
        lines = [planes[3, :, :, above], *planes[:, :, :, here].unbind(0), planes[0, :, :, below]]
        half = out.new_empty((_TAPS, *lines[0].shape))
        _spread(lines, half.unbind(0))
        columns = [half[:, 3, ..., :-2], *half[..., 1:-1].unbind(1), half[:, 0, ..., 2:]]
        _spread(columns, out.unbind(1))


def _spread(lines: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """The six sums of six lines (rows or columns of tiles with their surroundings) that are to be multiplied."""
    near, far = lines[4] - lines[2], lines[3] - lines[1]
    even, odd = torch.sub(lines[4], lines[2], alpha=4), torch.sub(lines[3], lines[1], alpha=4)
    torch.add(near, lines[0] - lines[2], alpha=4, out=out[0])
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.add(near, far, alpha=2, out=out[3])
    torch.sub(near, far, alpha=2, out=out[4])
    torch.sub(lines[5] - lines[3], far, alpha=4, out=out[5])


def _gather(products: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """The four lines of tiles whose pixels six lines of products add up to."""
    one, odd_one = products[1] + products[2], products[1] - products[2]
    two, odd_two = products[3] + products[4], products[3] - products[4]
    torch.add(one, two, out=out[0]).add_(products[0])
    torch.add(odd_one, odd_two, alpha=2, out=out[1])
    torch.add(one, two, alpha=4, out=out[2])
    torch.add(odd_one, odd_two, alpha=8, out=out[3]).add_(products[5])


def _transform_kernel(taps: Tensor) -> Tensor:
    """Taps (9, O, I) of a kernel at the 36 pairs of points: (36, O, I)."""
    points = _POINTS.to(taps)
    return (torch.kron(points, points) @ taps.flatten(1)).view(-1, *taps.shape[1:])
