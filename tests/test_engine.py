"""How networks are computed for inference: the values of their own forward, in every precision and back end."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from competition import parity
from competition.engine import build_engine
from competition.ensemble import enlarge, enlarge_by
from competition.errors import UsageError
from competition.models import banded, winograd
from competition.models.bicubic import Bicubic
from competition.models.rrdbnet import RRDBNet, RRDBNetConfig
from competition.tiling import Tiled

SIZES = [(1, 1), (1, 5), (4, 4), (5, 3), (37, 41), (23, 70)]
MODES = ("mean", "median", "trimmed")


def rrdbnet(scale: Any = 4) -> RRDBNet:
    """A small one, its weights large enough for every branch to reach the output."""
    torch.manual_seed(0)
    network = RRDBNetConfig(num_feat=8, num_block=2, num_grow_ch=4, scale=scale).build().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.1)
    return network


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def decibels(high: Tensor, exact: Tensor) -> float:
    return float(-10 * (high.double() - exact).square().mean().log10())


# ---- bands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory", [1, 40_000, 2**24])
@pytest.mark.parametrize("wide", [1, 48])
def test_bands_of_any_height_give_the_values_of_the_whole(
    scale: int, dtype: torch.dtype, memory: int, wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banded, "_WIDE", wide)  # Winograd's filtering from 1 on, plain convolutions below 48
    for room, name in ((banded, "_BAND_BYTES"), (winograd, "_BAND_BYTES"), (banded, "_STRIP_BYTES")):
        monkeypatch.setattr(room, name, memory)
    network = rrdbnet(scale).to(dtype)
    engine = banded.BandedRRDBNet(network, dtype)
    for size in SIZES:
        low = picture(2, 3, *size).to(dtype)
        with torch.inference_mode():
            difference = (engine(low) - network(low)).abs().max()
        assert difference < (2e-6 if dtype == torch.float32 else 1e-14), size


def test_planes_hold_every_pixel_and_zeros_beyond() -> None:
    x = picture(2, 7, 9) + 1
    planes = winograd.to_planes(x)
    assert planes.shape == (4, 4, 2, 2, 3)
    assert planes[3, 0, 1, 0, 2] == x[1, 3, 8] and (planes == 0).sum() == planes.numel() - x.numel()
    assert torch.equal(winograd.from_planes(planes, 7, 9), x)


@pytest.mark.parametrize("wide", [1, 48])
def test_float32_loses_nothing_that_can_be_seen(wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banded, "_WIDE", wide)
    network, low = rrdbnet(), picture(1, 3, 40, 50)
    engine = build_engine(network)
    with torch.inference_mode():
        high, exact = engine(low), rrdbnet().double()(low.double())
    assert exact.std() > 0.03
    assert decibels(high, exact) > 130


# ---- precision and back ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "least"), [("float64", 250), ("fp16", 80), ("bf16", 60)])
def test_precisions_are_as_close_to_float64_as_their_digits(precision: Any, least: float) -> None:
    low, exact_network = picture(1, 3, 20, 30), rrdbnet().double()
    with torch.inference_mode():
        high, exact = build_engine(rrdbnet(), precision)(low), exact_network(low.double())
        throughout = exact_network.bfloat16()(low.bfloat16())
    assert high.dtype == (torch.float64 if precision == "float64" else torch.float32)
    assert decibels(high, exact) > least
    assert decibels(high, exact) > decibels(throughout, exact) + 5


@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_networks_without_bands_are_computed_too(precision: Any) -> None:
    network = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4)).eval().requires_grad_(False)
    low = picture(1, 3, 8, 9)
    expected = network(low)
    assert (build_engine(network, precision)(low) - expected).abs().max() < (2e-2 if precision == "bf16" else 1e-6)
    assert torch.equal(build_engine(Bicubic(4), "float32")(low), Bicubic(4)(low))


def test_openvino_gives_the_values_of_the_network() -> None:
    pytest.importorskip("openvino")
    network = rrdbnet(2)
    engine = build_engine(network, backend="openvino")
    for size in ((12, 9), (7, 20), (12, 9)):
        low = picture(1, 3, *size)
        with torch.inference_mode():
            assert (engine(low) - network(low)).abs().max() < 1e-5


def test_what_does_not_go_together_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(UsageError, match=r"--backend: openvino is not installed"):
        build_engine(rrdbnet(), backend="openvino")


def test_the_report_orders_the_precisions() -> None:
    low = (picture(24, 20, 3).numpy() * 255).astype("uint8")
    high = low.repeat(4, 0).repeat(4, 1)
    rows = {row.way: row for row in parity.compare(rrdbnet(), [parity.Subject(low, high)], 4)}
    order = ["float64", "float32", "fp16", "bf16", "bf16 in every layer"]
    assert sorted(rows, key=lambda way: -rows[way].exactness) == order
    assert rows["float64"].lost is None and abs(rows["float32"].lost or 0) < 1e-3


# ---- self-ensemble --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (16, 16), (13, 22)])
@pytest.mark.parametrize("tile", [0, 16])
def test_eight_ways_of_an_identity_are_one_bit_for_bit(mode: Any, size: tuple[int, int], tile: int) -> None:
    low = picture(1, 3, *size) * 3 - 1
    for network, scale in ((nn.Identity(), 1), (nn.Upsample(scale_factor=4), 4)):
        assert torch.equal(enlarge(network, low, scale, mode, tile), network(low))


def test_a_shift_by_half_a_pixel_shows() -> None:
    """An enlarger that is not symmetric: its eight predictions differ, and their mean is none of them."""

    class Shifted(nn.Module):
        def forward(self, low: Tensor) -> Tensor:
            high = nn.functional.interpolate(low, scale_factor=4)
            return high.roll((1, 2), (-2, -1))

    low = picture(1, 3, 6, 7)
    members: dict[str, Tensor] = {}
    joined = enlarge_by(Tiled(Shifted(), Shifted(), 4), low, "mean", members.__setitem__)
    assert not any(torch.equal(member, joined) for member in members.values())
    torch.testing.assert_close(joined, torch.stack(list(members.values())).mean(0))


@pytest.mark.parametrize("strip", [1, 100, 10**6])
def test_members_are_joined_as_their_names_say(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("competition.ensemble._STRIP", strip)
    network, low, members = rrdbnet(), picture(1, 3, 5, 4), dict[str, Tensor]()
    for mode in MODES:
        members.clear()
        tiled = Tiled(network, network, 4)
        found = enlarge_by(tiled, low, mode, members.__setitem__)  # type: ignore[arg-type]
        assert list(members) == ["e", "r180", "v", "h", "r90", "r270", "hvt", "t"]
        ordered = torch.stack(list(members.values())).sort(0).values
        expected = {"mean": ordered.mean(0), "median": ordered[3:5].mean(0), "trimmed": ordered[1:7].mean(0)}[mode]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
