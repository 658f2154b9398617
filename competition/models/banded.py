"""RRDBNet's forward for inference: in bands of rows that fit the caches, to the values of the whole picture."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from competition.models import winograd
from competition.models.convolution import activate, convolve, convolve_doubled
from competition.models.rrdbnet import ResidualDenseBlock, RRDBNet
from competition.shares import parts

_LEAST_STRIP = 8  # low rows, beyond which a strip is computed on two more to either side
_WIDE = 48  # channels between the blocks, from which on the products saved outweigh the transforms
_BAND_BYTES = 2**24  # of a dense block's features: what the last level of a CPU's caches holds
_STRIP_BYTES = 2**26  # of one tensor of the tail


def covers(network: RRDBNet) -> bool:
    """Whether it is RRDBNet itself: a variant with other blocks, or blocks in other places, is computed as it is."""
    blocks = [block for rrdb in network.body for block in rrdb.children()]
    plain = all(type(block) is ResidualDenseBlock for block in blocks)
    return plain and all(isinstance(body, nn.Identity) for body in (network.body_up1, network.body_up2))


class BandedRRDBNet(nn.Module):
    """An RRDBNet that keeps of each dense block's features a band of rows, and of its tail's a strip.

    `dtype` is that of the convolutions in the blocks; what goes from block to block, every sum, and the layers before
    and after the blocks stay in the type of the network's weights. Wide float32 blocks on a CPU go by Winograd's
    filtering. On a GPU, which has no caches of this size to fill, a band is the whole picture.
    """

    def __init__(self, network: RRDBNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        weight = network.conv_first.weight
        self.minimal = dtype == torch.float32 and not weight.is_cuda and len(weight) >= _WIDE
        kind = winograd.DenseBlock if self.minimal else DenseBlock
        self.blocks = [
            [kind(*_parameters(block, dtype)) for block in (rrdb.rdb1, rrdb.rdb2, rrdb.rdb3)] for rrdb in network.body
        ]
        self.costs = self._costs()

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), about [0, 1] and not clipped."""
        x = self.network.head(low).contiguous(memory_format=torch.channels_last)
        stages: tuple[Callable[[Tensor], Tensor], ...] = (self._trunk, partial(_tail, self.network))
        for stage in parts(stages, self.costs):
            x = stage(x)
        return self.network.cut(x, low)

    def _costs(self) -> tuple[float, float]:
        """Products of the trunk's and of the tail's convolutions for a low pixel."""
        network, least = self.network, 4 if self.minimal else 1
        high = map(_weights, (network.conv_up2, network.conv_hr, network.conv_last))
        return _weights(network.body) / least, 4 * _weights(network.conv_up1) + 16 * sum(high)

    def _trunk(self, first: Tensor) -> Tensor:
        features: Tensor = self.network.conv_body(self._blocks(first))
        return features.add_(first)

    def _blocks(self, first: Tensor) -> Tensor:
        if not self.minimal:
            return self._through(first.clone(memory_format=torch.channels_last), *first.shape[2:])
        size, each = first.shape[2:], parts(first.unbind())
        return torch.stack([winograd.from_planes(self._through(winograd.to_planes(one), *size), *size) for one in each])

    def _through(self, x: Tensor, height: int, width: int) -> Tensor:
        """What the blocks make of x, in its memory; rows lie in the last dimension but one of either layout."""
        one, two = torch.empty_like(x), torch.empty_like(x)
        for block1, block2, block3 in parts(self.blocks):
            for rows, values in block1.bands(x, height, width):
                one[..., rows, :] = values
            for rows, values in block2.bands(one, height, width):
                two[..., rows, :] = values
            for rows, values in block3.bands(two, height, width):
                x[..., rows, :].add_(values, alpha=0.2)
        return x


def _weights(layers: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layers.parameters())


def _parameters(block: Tensor | nn.Module, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases of a dense block."""
    assert isinstance(block, nn.Module)
    parameters = [parameter.detach().to(dtype) for parameter in block.parameters()]
    return parameters[::2], parameters[1::2]


class DenseBlock:
    """x + 0.2 times what densely connected 3x3 convolutions, each but the last activated, make of x (N, C, H, W)."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        self.weights = [weight.contiguous(memory_format=torch.channels_last) for weight in weights]
        self.biases = biases

    def bands(self, x: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
        """The block's output from top to bottom: rows and their values.

        Each convolution follows the one before it by a row, so that nothing is computed twice.
        """
        window = _Window(x, self.weights)
        done = [0] * len(self.weights)  # rows that each convolution has computed
        while done[-1] < height:
            known = window.advance(x)
            for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
                rows, done[number] = slice(done[number], known), known
                features = functional.conv2d(window.around(rows, weight.shape[1]), weight, bias, padding=(0, 1))
                if number < len(self.weights) - 1:
                    window.put(rows, weight.shape[1], activate(features))
                    known = known if known == height else known - 1
            yield rows, x[:, :, rows] + 0.2 * features.to(x.dtype)


class _Window:
    """The rows of a dense block's features that are still needed, with a row of zeros beyond the picture's edges."""

    def __init__(self, x: Tensor, weights: Sequence[Tensor]) -> None:
        count, _, self.height, width = x.shape
        channels, self.depth = weights[-1].shape[1], len(weights)
        band = _BAND_BYTES // (channels * width * weights[0].element_size())
        self.rows = self.height if x.is_cuda else min(self.height, max(band, 2 * self.depth))
        self.first, self.end = -1, 0  # the row that lies first in the window, and where the band ends
        self.features = torch.empty(
            (count, channels, self.rows + self.depth + 1, width),
            dtype=weights[0].dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        self.features[:, :, 0] = 0

    def advance(self, x: Tensor) -> int:
        """Move on by a band; returns where it ends: the first convolution can be computed up to this row."""
        begin, self.end = self.end, min(self.end + self.rows, self.height)
        if begin:
            kept = self.features[:, :, self._at(slice(begin - self.depth, begin + 1))].clone()
            self.features[:, :, : self.depth + 1] = kept
            self.first = begin - self.depth
        new = slice(begin + 1 if begin else 0, min(self.end + 1, self.height))
        self.features[:, : x.shape[1], self._at(new)] = x[:, :, new]
        if self.end == self.height:
            self.features[:, :, self.height - self.first] = 0
        return self.end

    def around(self, rows: slice, channels: int) -> Tensor:
        """The first channels of some rows, with a row above and one below."""
        seen = self.features[:, :channels, self._at(slice(rows.start - 1, rows.stop + 1))]
        return seen.contiguous(memory_format=torch.channels_last)

    def put(self, rows: slice, channel: int, features: Tensor) -> None:
        """Keep the features of a convolution, from this channel on."""
        self.features[:, channel : channel + features.shape[1], self._at(rows)] = features

    def _at(self, rows: slice) -> slice:
        return slice(rows.start - self.first, rows.stop - self.first)


def _tail(network: RRDBNet, features: Tensor) -> Tensor:
    """The layers after the trunk, a strip at a time: (N, C, H, W) to (N, 3, 4*H, 4*W)."""
    height, width = features.shape[2:]
    rows = max(_STRIP_BYTES // (16 * width * features.shape[1] * features.element_size()), _LEAST_STRIP)
    rows = height if features.is_cuda else rows
    high = features.new_empty((len(features), 3, 4 * height, 4 * width))
    tops = range(0, height, rows)
    for top in parts(tops):
        bottom = min(top + rows, height)
        high[:, :, 4 * top : 4 * bottom] = _strip(network, features, top, bottom)
    return high


def _strip(network: RRDBNet, features: Tensor, top: int, bottom: int) -> Tensor:
    """What the tail makes of the low rows from `top` to `bottom`.

    Each layer gets the rows that those after it see: a high pixel of a doubling sees one neighbour of its low one.
    """
    x, first = _rows(features, 0, top - 2, bottom + 2)
    x, first = _rows(activate(convolve_doubled(network.conv_up1, x)), 2 * first, 2 * top - 2, 2 * bottom + 2)
    x, first = _rows(activate(convolve_doubled(network.conv_up2, x)), 2 * first, 4 * top - 2, 4 * bottom + 2)
    x, first = _rows(activate(convolve(network.conv_hr, x)), first, 4 * top - 1, 4 * bottom + 1)
    return _rows(convolve(network.conv_last, x), first, 4 * top, 4 * bottom)[0]


def _rows(x: Tensor, first: int, start: int, stop: int) -> tuple[Tensor, int]:
    """The rows of x from `start` to `stop`, where its own first row is number `first`; and the number they begin at."""
    start = max(start, first)
    return x[:, :, start - first : stop - first], start
