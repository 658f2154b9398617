"""Pictures of any size through one network: whole where memory suffices, else in tiles that give the same values."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from competition.errors import OutOfMemory
from competition.geometry import Tile, tiles
from competition.memory import free_memory, is_exhausted, peak_bytes
from competition.shares import heard, parts

Forward = Callable[[Tensor], Tensor]
# Tiles begin at multiples of this: un-shuffling by 2 or 4 and windows of 8 or 16 fall as they do on the whole picture.
_ALIGNED = 16
_FARTHEST = 4096
_SHARE = 0.7  # of the free memory: kernels need some that torch does not count


class Tiled:
    """Enlarges low pictures (N, 3, H, W) in [0, 1] by way of `forward`, to (N, 3, scale*H, scale*W) on the CPU.

    `network` gives the same values as `forward`, in torch. How far it sees is the halo of a tile, so tiles give the
    values of the whole. `side` is that of a tile in low pixels, 0 for whole pictures, None for what the free memory
    holds. Where memory fails nevertheless, that tile is computed again in smaller ones; OutOfMemory is raised where
    the smallest do not fit.
    """

    def __init__(self, forward: Forward, network: Forward, scale: int, side: int | None = 0) -> None:
        self.forward, self.network, self.scale, self.side = forward, network, scale, side
        self._peaks: dict[tuple[int, ...], int] = {}

    def __call__(self, low: Tensor) -> Tensor:
        height, width = low.shape[-2:]
        size = self.fitting(low) if self.side is None else self.side or max(height, width)
        if len(low) == 1:
            return self._in_tiles(low, _aligned(size))
        together = _attempt(self.forward, low) if size >= max(height, width) else None
        return torch.cat([self(one) for one in torch.split(low, 1)]) if together is None else together.cpu()

    def fitting(self, low: Tensor) -> int:
        """The largest side of a tile whose computation fits into the free memory: the picture's, or half, …, or 16."""
        height, width = low.shape[-2:]
        size, free = _aligned(max(height, width)), _SHARE * free_memory(low.device)
        while size > _ALIGNED:
            halo = 0 if size >= max(height, width) else self.halo
            shape = (len(low), 3, min(size + 2 * halo, height), min(size + 2 * halo, width))
            # `forward` holds no more than the network, whose few operations are soon counted.
            if any(self._peak(counted, shape, low.device) <= free for counted in (self.network, self.forward)):
                break
            size = _halved(size)
        return size

    def _peak(self, forward: Forward, shape: tuple[int, ...], device: torch.device) -> float:
        """Bytes of tensors that an enlargement holds at once, counted without computing; infinite if not torch's."""
        if not isinstance(forward, nn.Module):
            return torch.inf
        key = (id(forward), *shape)
        if key not in self._peaks:
            with heard(None), FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
                low = torch.empty(shape, device=device, dtype=_sample(self.network).dtype)
                self._peaks[key] = peak_bytes(lambda: forward(low))
        return self._peaks[key]

    @cached_property
    def halo(self) -> int:
        """Low pixels that a tile is computed with on every side, so that what is kept of it sees all it would see."""
        return _aligned(reach(self.network, self.scale))

    def _in_tiles(self, low: Tensor, size: int) -> Tensor:
        height, width = low.shape[-2:]
        done, high = torch.zeros(height, width, dtype=torch.bool), torch.empty(0)
        while not done.all():
            them = list(tiles(height, width, size, self.halo if size < max(height, width) else 0))
            for tile in parts(them, [_area(tile) for tile in them]):
                if done[tile.inner].all():
                    continue
                part = _attempt(self.forward, low[..., tile.outer[0], tile.outer[1]])
                if part is None:
                    size = _smaller(size, low)
                    break
                if not done.any():
                    high = part.new_empty((1, 3, self.scale * height, self.scale * width), device="cpu")
                _keep(part, tile, high, self.scale)
                done[tile.inner] = True
        return high


def reach(network: Forward, scale: int) -> int:
    """How many low pixels away the input still enters a pixel of the output, at most 4096.

    Measured: NaN in a few pixels of a row, then of a column, spread to all that they enter, whatever the weights. A
    network that sees the whole picture has the largest reach; so has one that lets no NaN through.
    """
    return max(_reach(network, scale, axis) for axis in (2, 3))


@torch.inference_mode()
def _reach(network: Forward, scale: int, axis: int) -> int:
    length = 64
    while length <= 2 * _FARTHEST:
        middle = length // 2
        low = _sample(network).new_zeros((1, 3, length, 1) if axis == 2 else (1, 3, 1, length))
        low.narrow(axis, middle, _ALIGNED).fill_(torch.nan)
        spoilt = network(low).isnan().any(1).any(4 - axis).nonzero()[:, 1] // scale
        if len(spoilt) and spoilt[0] > 0 and spoilt[-1] < length - 1:
            return int(max(middle - spoilt[0], spoilt[-1] - (middle + _ALIGNED - 1)))
        length *= 2
    return _FARTHEST


def _sample(network: Forward) -> Tensor:
    """A tensor of the type and on the device of a network's weights."""
    parameters = network.parameters() if isinstance(network, nn.Module) else iter(())
    return next((parameter.detach() for parameter in parameters), torch.empty(0))


def _area(tile: Tile) -> int:
    """Low pixels that a tile is computed with."""
    rows, columns = (outer.stop - outer.start for outer in tile.outer)
    return int(rows * columns)


def _attempt(forward: Forward, low: Tensor) -> Tensor | None:
    """What `forward` makes of a tile, or None where memory does not suffice."""
    try:
        return forward(low)
    except (RuntimeError, MemoryError) as error:
        if not is_exhausted(error):
            raise
    # Outside the handler, where the error no longer holds the tensors of the attempt.
    torch.cuda.empty_cache()
    return None


def _keep(part: Tensor, tile: Tile, high: Tensor, scale: int) -> None:
    """Lay the inner part of an enlarged tile into its place."""
    rows, columns = (
        slice((inner.start - outer.start) * scale, (inner.stop - outer.start) * scale)
        for outer, inner in zip(tile.outer, tile.inner, strict=True)
    )
    places = [slice(inner.start * scale, inner.stop * scale) for inner in tile.inner]
    high[..., places[0], places[1]] = part[..., rows, columns]


def _halved(size: int) -> int:
    return _aligned((size + 1) // 2)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _smaller(size: int, low: Tensor) -> int:
    """Half the side of a tile that memory did not suffice for."""
    if size == _ALIGNED:
        picture = f"{low.shape[-1]}x{low.shape[-2]}"
        raise OutOfMemory(f"memory: does not suffice for {size}x{size} of {picture} pixels. Use a machine with more")
    return _halved(size)
