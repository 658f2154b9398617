"""Gradients of convolution weights as products of matrices, for CPUs whose library computes them slowly."""

from collections.abc import Sequence

import torch
from torch import Tensor

_AROUND = (-1, 0, 1)
_CHUNK = 5000  # rows of a product: what the caches of a core hold


def faster_for(x: Tensor) -> bool:
    """On CPUs without AVX-512, where oneDNN takes two to seven times as long for weight gradients as for the rest."""
    exact = x.dtype in (torch.float32, torch.float64)
    return x.device.type == "cpu" and exact and torch.backends.cpu.get_cpu_capability() == "AVX2"


def pixel_rows(parts: Sequence[Tensor]) -> Tensor:
    """Tensors (N, C, H, W), channels side by side, as rows of pixels (…, sum of C).

    Every line of pixels ends with a row of zeros and every picture with a line of them, so that moving by a pixel in
    any direction is moving by a number of rows. There are W + 2 more rows of zeros before and after.
    """
    count, _, height, width = parts[0].shape
    channels = [part.shape[1] for part in parts]
    margin, pixels = width + 2, count * (height + 1) * (width + 1)
    rows = parts[0].new_empty(pixels + 2 * margin, sum(channels))
    grid = rows[margin:-margin].view(count, height + 1, width + 1, -1)
    for border in (rows[:margin], rows[-margin:], grid[:, height], grid[:, :, width]):
        border.zero_()
    for part, target in zip(parts, torch.split(grid[:, :height, :width], channels, -1), strict=True):
        target.copy_(part.permute(0, 2, 3, 1))
    return rows


def weight_gradient(
    seen: Tensor, back: Tensor, width: int, steps_y: Sequence[int] = _AROUND, steps_x: Sequence[int] = _AROUND
) -> Tensor:
    """The gradient (O, I, Y, X) of a weight from what its convolution saw (…, I) and the gradient (…, O) of its output.

    Both are pixel rows of pictures of this width; tap (y, x) of the weight saw the pixel `steps_y[y]` lower and
    `steps_x[x]` to the right.
    """
    line, margin = width + 1, width + 2
    # A tap's gradient is the product of `back` with `seen` moved by its offset. Narrow matrices multiply slowly, so
    # offsets stand side by side, as `back` moved the other way: those of a line of taps, or of all of them.
    apart, beside = [line * y for y in steps_y], list(steps_x)
    if back.shape[1] < 8:
        apart, beside = [0], [line * y + x for y in steps_y for x in steps_x]
    total = back.new_zeros(len(apart), seen.shape[1], len(beside) * back.shape[1])
    for start, size, chunks in _blocks(margin, len(back) - margin):
        moved = torch.cat([back[start - offset :][:size] for offset in beside], 1)
        moved = moved.view(chunks, -1, moved.shape[1])
        for product, offset in zip(total, apart, strict=True):
            pixels = seen[start + offset :][:size].view(chunks, -1, seen.shape[1])
            product += torch.bmm(pixels.transpose(1, 2), moved).sum(0)
    taps = total.view(len(apart), seen.shape[1], len(beside), back.shape[1]).permute(3, 1, 0, 2)
    return taps.reshape(back.shape[1], seen.shape[1], len(steps_y), len(steps_x))


def _blocks(start: int, stop: int) -> list[tuple[int, int, int]]:
    """Even blocks of rows: where each starts, its size, and into how many chunks it is cut, one a thread."""
    threads = torch.get_num_threads()
    number = -(-(stop - start) // (threads * _CHUNK))
    size = threads * -(-(stop - start) // (threads * number))
    sizes = [(first, min(size, stop - first)) for first in range(start, stop, size)]
    return [(first, length, threads if length % threads == 0 else 1) for first, length in sizes]
