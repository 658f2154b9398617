"""Convolutions that train in less time and memory than autograd's own, to the same result."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from competition.models import products

_SLOPE = 0.2
Gradients = tuple[Tensor | None, ...]


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, in the memory of its input."""
    return functional.leaky_relu(x, _SLOPE, inplace=True)


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv(x)`, for 3x3 kernels and a padding of 1."""
    if _plain(x):
        result: Tensor = conv(x)
        return result
    return _apply(_Convolution, x, conv.weight, conv.bias)


def convolve_doubled(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """`conv` of `x` with every pixel repeated 2x2, without making the repeated picture.

    Each of the four high pixels in the place of a low one sees 2x2 low pixels, so entries of the 3x3 kernel that fall
    on the same one are added first: 16 products for a low pixel and pair of channels instead of 36.
    """
    sums = 4 * functional.avg_pool2d(functional.pad(conv.weight, (1, 1, 1, 1)), 2, stride=1)
    kernel = _carrying_back(sums)
    if _plain(x):
        return functional.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)
    return _apply(_DoubledConvolution, x, kernel, conv.bias)


def dense_block(convs: Sequence[nn.Conv2d], x: Tensor) -> Tensor:
    """x + 0.2 times what densely connected 3x3 convolutions make of it, each but the last one activated."""
    tensors = [x, *(conv.weight for conv in convs), *(conv.bias for conv in convs if conv.bias is not None)]
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        tensors = [tensor.to(dtype) for tensor in tensors]
    return _apply(_DenseBlock, *tensors)


def _plain(x: Tensor) -> bool:
    """Whether autograd's own gradients are as good."""
    autocast = torch.is_autocast_enabled(x.device.type)
    return autocast or not torch.is_grad_enabled() or not products.faster_for(x)


def _apply(function: type[torch.autograd.Function], *tensors: Tensor | None) -> Tensor:
    result: Tensor = function.apply(*tensors)  # type: ignore[no-untyped-call]
    return result


def _carrying_back(weight: Tensor) -> Tensor:
    """The kernel (I, O, …) that carries a gradient from the output of `weight` (O, I, …) to its input."""
    return weight.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(tuple(parts), 1) if len(parts) > 1 else parts[0]  # cat would copy a single one


def _in_layout_of(x: Tensor, gradient: Tensor) -> Tensor:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return gradient.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


class _DenseBlock(torch.autograd.Function):
    """Keeps every feature once, where autograd keeps it in each concatenation: a quarter of the memory.

    Backwards, too, each gradient is one convolution of concatenated tensors, and none is summed up piece by piece.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]
        features = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            features.append(activate(functional.conv2d(_joined(features), weight, bias, padding=1)))
        branch = functional.conv2d(_joined(features), weights[-1], biases[-1], padding=1)
        ctx.save_for_backward(*features, *weights)
        return torch.add(x, branch, alpha=0.2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        saved = ctx.saved_tensors
        features, weights = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        gradient = _in_layout_of(features[0], gradient)
        widths = [feature.shape[1] for feature in features]
        # Entry [j][k]: what convolution j does with feature k.
        pieces = [weight.split(widths[: number + 1], 1) for number, weight in enumerate(weights)]
        gradients = [gradient * 0.2]
        for number in reversed(range(len(features))):
            kernel = _carrying_back(torch.cat([piece[number] for piece in pieces[number:]]))
            carried = functional.conv2d(_joined(gradients), kernel, padding=1)
            if number:
                through = torch.ops.aten.leaky_relu_backward(carried, features[number], _SLOPE, True)
                gradients.insert(0, through)
        return (carried.add_(gradient), *_parameter_gradients(features, gradients, weights))


def _parameter_gradients(
    features: Sequence[Tensor], gradients: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of the weights, then of the biases: convolution k saw features 0 to k and got gradient k."""
    if products.faster_for(features[0]):
        seen, width = products.pixel_rows(features), features[0].shape[3]
        back = [products.pixel_rows([gradient]) for gradient in gradients]
        pairs = zip(weights, back, strict=True)
        of_weights = [products.weight_gradient(seen[:, : weight.shape[1]], rows, width) for weight, rows in pairs]
        return of_weights + [rows.sum(0) for rows in back]
    results = []
    for number, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
        geometry: tuple[Any, ...] = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)  # stride, padding, dilation, …
        seen, wanted = _joined(features[: number + 1]), [False, True, True]
        backward = torch.ops.aten.convolution_backward
        results.append(backward(gradient, seen, weight, [len(weight)], *geometry, wanted)[1:])
    return [weight for weight, _ in results] + [bias for _, bias in results]


class _Convolution(torch.autograd.Function):
    """A 3x3 convolution whose weight gradient is a product of matrices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv2d(x, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        x, weight = ctx.saved_tensors
        gradient = _in_layout_of(x, gradient)
        carried = functional.conv2d(gradient, _carrying_back(weight), padding=1)
        back = products.pixel_rows([gradient])
        return carried, products.weight_gradient(products.pixel_rows([x]), back, x.shape[3]), back.sum(0)


class _DoubledConvolution(torch.autograd.Function):
    """A transposed 4x4 convolution in steps of 2 whose weight gradient is a product of matrices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernel)
        return functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        x, kernel = ctx.saved_tensors
        gradient = _in_layout_of(x, gradient)
        carried = functional.conv2d(gradient, kernel, stride=2, padding=1)
        seen, of_kernel, of_bias = (
            products.pixel_rows([x]),
            torch.empty_like(kernel),
            gradient.new_zeros(kernel.shape[1]),
        )
        # High pixels of even and of odd lines and columns are four convolutions of the low ones.
        for line, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            back = products.pixel_rows([gradient[:, :, line::2, column::2]])
            taps = products.weight_gradient(seen, back, x.shape[3], (line, line - 1), (column, column - 1))
            of_kernel[:, :, 1 - line :: 2, 1 - column :: 2] = taps.transpose(0, 1)
            of_bias += back.sum(0)
        return carried, of_kernel, of_bias
