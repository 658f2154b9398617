"""Tiles: the values of the whole picture, by a halo that is measured; memory that fails never shows in a pixel."""

import contextlib
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from competition import tiling
from competition.engine import build_engine
from competition.errors import OutOfMemory
from competition.memory import free_memory, is_exhausted, peak_bytes
from competition.models import banded, winograd
from competition.models.bicubic import Bicubic
from competition.models.rrdbnet import RRDBNet, RRDBNetConfig
from competition.tiling import Tiled, reach

SMALL: dict[str, Any] = {"num_feat": 8, "num_block": 1, "num_grow_ch": 4}
CPU = torch.device("cpu")


def rrdbnet(scale: Any = 4, **changed: Any) -> RRDBNet:
    """A small one, its weights large enough for every branch to reach the output."""
    torch.manual_seed(0)
    network = RRDBNetConfig(scale=scale, **SMALL | changed).build().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.15)
    return network


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


# ---- reach ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3, 3), (3, 9), (7, 1)])
def test_the_reach_of_convolutions_is_the_sum_of_their_radii(size: tuple[int, int]) -> None:
    convs = [nn.Conv2d(3, 3, size, padding=(size[0] // 2, size[1] // 2)) for _ in range(3)]
    assert reach(nn.Sequential(*convs), 1) == 3 * (max(size) // 2)


def test_the_reach_of_rrdbnet_grows_by_fifteen_with_every_block() -> None:
    reaches = [reach(rrdbnet(num_block=blocks), 4) for blocks in (1, 2, 5)]
    assert [later - reaches[0] for later in reaches[1:]] == [15, 60]
    assert reach(rrdbnet(2), 2) > 1.8 * reaches[0]  # an un-shuffled pixel is two pixels wide


def test_weights_of_zero_do_not_shorten_the_reach() -> None:
    network = rrdbnet()
    expected = reach(network, 4)
    for parameter in network.parameters():
        parameter.zero_()
    assert reach(network, 4) == expected


def test_what_sees_the_whole_picture_or_swallows_nan_has_the_largest_reach() -> None:
    assert reach(lambda low: low - low.mean((2, 3), keepdim=True), 1) == 4096
    assert reach(lambda low: low.nan_to_num(), 1) == 4096
    assert reach(lambda low: low, 1) == 0


# ---- equal to the whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("side", [16, 32, 50, 64])
def test_tiles_equal_the_whole(scale: int, side: int) -> None:
    network = rrdbnet(scale)
    for height, width in ((101, 67), (37, 149)):
        low = picture(1, 3, height, width)
        with torch.inference_mode():
            whole = Tiled(network, network, scale)(low)
            assert whole.std() > 0.05
            for forward in (network, build_engine(network)):
                tiled = Tiled(forward, network, scale, side)(low)
                assert (tiled - whole).abs().max() < 1e-5


@pytest.mark.parametrize("side", [32, 64, 128, 256, 512])
def test_tiles_of_every_size_equal_a_large_odd_picture(side: int) -> None:
    network, low = rrdbnet(num_feat=4, num_grow_ch=2), picture(1, 3, 523, 45)
    with torch.inference_mode():
        whole = network(low)
        assert (Tiled(build_engine(network), network, 4, side)(low) - whole).abs().max() < 1e-5


def test_a_halo_one_step_smaller_would_show() -> None:
    network, low = rrdbnet(), picture(1, 3, 70, 90)
    tiled = Tiled(network, network, 4, 32)
    assert tiled.halo == 32 and reach(network, 4) == 19
    with torch.inference_mode():
        whole = network(low)
        tiled.__dict__["halo"] = 0
        assert (tiled(low) - whole).abs().max() > 1e-3


# ---- memory ---------------------------------------------------------------------------------------------------------

FAILURES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
]


class Failing:
    """An enlarger by nearest neighbour that fails on the k-th call, and returns what lay in its memory meanwhile."""

    def __init__(self, which: set[int], error: Exception) -> None:
        self.which, self.error, self.calls = which, error, itertools.count()

    def __call__(self, low: Tensor) -> Tensor:
        if next(self.calls) in self.which:
            raise self.error
        return functional.interpolate(low, scale_factor=4)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: f"{type(error).__name__} {error}"[:30])
def test_a_failure_at_any_call_never_gives_a_wrong_pixel(error: Exception) -> None:
    low, nearest = picture(1, 3, 70, 45), nn.Upsample(scale_factor=4)
    expected, calls, equal = nearest(low), 0, 0
    for side in (0, 32):
        for which in [{k} for k in range(30)] + [{k, k + 1} for k in range(20)] + [{k, k + 4} for k in range(20)]:
            failing = Failing(which, error)
            with contextlib.suppress(OutOfMemory):  # two failures at the smallest tiles fail the picture
                assert torch.equal(Tiled(failing, nearest, 4, side)(low), expected)
                equal += 1
            calls = max(calls, next(failing.calls))
    assert calls > 15 and equal > 100  # tiles were made of the pictures


@pytest.mark.parametrize("batch", [1, 4])
def test_memory_that_never_suffices_fails_the_picture(batch: int) -> None:
    failing = Failing(set(range(1000)), FAILURES[0])
    with pytest.raises(OutOfMemory, match=r"does not suffice for 16x16 of 45x70 pixels"):
        Tiled(failing, nn.Upsample(scale_factor=4), 4)(picture(batch, 3, 70, 45))


def test_another_error_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        Tiled(Failing({0}, RuntimeError("size mismatch")), nn.Upsample(scale_factor=4), 4)(picture(1, 3, 8, 8))
    assert not is_exhausted(ValueError("out of memory"))


def test_a_batch_that_does_not_fit_goes_one_by_one() -> None:
    low, nearest = picture(4, 3, 20, 30), nn.Upsample(scale_factor=4)
    assert torch.equal(Tiled(Failing({0}, FAILURES[0]), nearest, 4)(low), nearest(low))


def test_tiles_are_as_large_as_free_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    network, low = rrdbnet(), picture(1, 3, 120, 200)
    tiled = Tiled(build_engine(network), network, 4, None)
    sides = []
    for mebibytes in (1000, 0, 25):
        monkeypatch.setattr(tiling, "free_memory", lambda device, free=mebibytes * 2**20: free)
        sides.append(tiled.fitting(low))
    assert sides == [208, 16, 32]
    with torch.inference_mode():
        assert (tiled(low) - network(low)).abs().max() < 1e-5


def test_peaks_are_counted_as_they_are_held() -> None:
    def operation() -> Tensor:
        first = torch.empty(1000, dtype=torch.float32)  # 4,000 bytes
        second = first + 1  # 8,000
        del first
        third = second.double()  # 12,000
        return third.add_(1)  # in place: nothing new

    assert peak_bytes(operation) == 12000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bands_hold_a_fraction_of_what_the_whole_does(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    network, low = rrdbnet(num_feat=16, num_grow_ch=8).to(dtype), picture(1, 3, 400, 60).to(dtype)
    for room in (banded, winograd):
        monkeypatch.setattr(room, "_BAND_BYTES", 2**20)
    monkeypatch.setattr(banded, "_STRIP_BYTES", 2**20)
    engine = banded.BandedRRDBNet(network, dtype)
    with torch.inference_mode():
        assert peak_bytes(lambda: engine(low)) < peak_bytes(lambda: network(low)) / 3


def test_free_memory_is_that_of_the_machine_or_less() -> None:
    assert 2**20 < free_memory(CPU) < 2**45


def test_bicubic_is_tiled_too() -> None:
    low, bicubic = picture(1, 3, 60, 70), Bicubic(4)
    assert (Tiled(bicubic, bicubic, 4, 32)(low) - bicubic(low)).abs().max() < 1e-6
