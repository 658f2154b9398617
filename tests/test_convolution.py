"""Convolutions with gradients of their own: the same values and gradients as autograd's, on every path."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from competition.models import products
from competition.models.convolution import convolve, convolve_doubled, dense_block

Operation = Callable[[Tensor], Tensor]
SIZES = [(1, 1), (1, 4), (5, 3), (6, 6)]


class Plain(nn.Module):
    """What the operations under test promise, in the words of the papers."""

    def __init__(self, kind: str, width: int = 3, grow: int = 2) -> None:
        super().__init__()
        self.kind = kind
        outputs = [grow] * 4 + [width] if kind == "dense_block" else [5]
        self.convs = nn.ModuleList(
            nn.Conv2d(width + grow * k, output, 3, padding=1) for k, output in enumerate(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "convolve":
            return self.convs[0](x)
        if self.kind == "convolve_doubled":
            return self.convs[0](functional.interpolate(x, scale_factor=2, mode="nearest"))
        features = [x]
        for conv in self.convs[:-1]:
            features.append(functional.leaky_relu(conv(torch.cat(features, 1)), 0.2))
        return x + 0.2 * self.convs[-1](torch.cat(features, 1))

    def ours(self, x: Tensor) -> Tensor:
        if self.kind == "convolve":
            return convolve(self.convs[0], x)
        if self.kind == "convolve_doubled":
            return convolve_doubled(self.convs[0], x)
        return dense_block(list(self.convs), x)


@pytest.fixture(params=["products", "library"])
def path(request, monkeypatch) -> str:
    """Both ways to weight gradients, whatever this machine would choose; blocks small enough to need several."""
    monkeypatch.setattr(products, "faster_for", lambda x: request.param == "products")
    monkeypatch.setattr(products, "_CHUNK", 7)
    return request.param


KINDS = pytest.mark.parametrize("kind", ["convolve", "convolve_doubled", "dense_block"])


def operands(kind: str, size: tuple[int, int], dtype: torch.dtype = torch.float64) -> tuple[Plain, Tensor]:
    torch.manual_seed(0)
    return Plain(kind).to(dtype), torch.randn(2, 3, *size, dtype=dtype, requires_grad=True)


def gradients(output: Tensor, plain: Plain, x: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return list(torch.autograd.grad((output * weight).sum(), [x, *plain.parameters()]))


@KINDS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_the_plain_words(path, kind, size, layout):
    plain, x = operands(kind, size)
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    ours, expected = plain.ours(x), plain(x)
    torch.testing.assert_close(ours, expected)
    for found, wanted in zip(gradients(ours, plain, x), gradients(expected, plain, x), strict=True):
        torch.testing.assert_close(found, wanted)


@KINDS
def test_gradients_are_those_of_finite_differences(path, kind):
    plain, x = operands(kind, (4, 3))
    names, parameters = zip(*plain.named_parameters(), strict=True)
    plain.forward = plain.ours  # functional_call calls the module itself
    assert torch.autograd.gradcheck(
        lambda x, *given: torch.func.functional_call(plain, dict(zip(names, given, strict=True)), (x,)),
        (x, *parameters),
    )


@KINDS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_gradient(monkeypatch, kind, threads):
    monkeypatch.setattr(products, "faster_for", lambda x: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    plain, x = operands(kind, (9, 7))
    for found, wanted in zip(gradients(plain.ours(x), plain, x), gradients(plain(x), plain, x), strict=True):
        torch.testing.assert_close(found, wanted)


@KINDS
def test_autocast_computes_in_bf16_and_leaves_gradients_in_float32(kind):
    plain, x = operands(kind, (6, 6), torch.float32)
    expected = plain(x)
    with torch.autocast("cpu", torch.bfloat16):
        ours = plain.ours(x)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), expected, rtol=0.02, atol=0.03)
    for found, wanted in zip(gradients(ours.float(), plain, x), gradients(expected, plain, x), strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).norm() < 0.03 * wanted.norm()


def test_a_dense_block_keeps_every_feature_once():
    plain, x = operands("dense_block", (8, 8), torch.float32)

    def kept(operation: Operation) -> int:
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if tensor.shape[-2:] == x.shape[-2:]:
                storages[tensor.untyped_storage().data_ptr()] = tensor.shape[1]
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = operation(x)
        assert output.requires_grad
        return sum(storages.values())

    assert kept(plain.ours) == 3 + 4 * 2  # the input and four features, in channels
    assert kept(plain) > 3 * kept(plain.ours)


def test_products_are_chosen_where_they_are_measured_to_be_faster(monkeypatch):
    x = torch.zeros(1)
    for capability, expected in (("AVX2", True), ("AVX512", False), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        assert products.faster_for(x) is expected
        assert not products.faster_for(x.bfloat16())
        assert not products.faster_for(x.to("meta"))
