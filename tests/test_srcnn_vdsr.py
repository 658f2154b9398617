"""SRCNN and VDSR: sizes of the papers, equations by hand, luma and colour, any scale, initialisers, activations."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from competition import weights
from competition.colour import luma, with_luma
from competition.errors import UsageError
from competition.metrics import luma as matlab_luma
from competition.models.bicubic import bicubic
from competition.models.initialisers import Initialiser, initialise
from competition.models.srcnn import SRCNNConfig
from competition.models.vdsr import Activation, VDSRConfig
from competition.networks import choose

BOTH = pytest.mark.parametrize("config", [SRCNNConfig, lambda **keys: VDSRConfig(depth=4, width=8, **keys)])


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def counts(config: Any) -> tuple[int, int]:
    """Numbers of weights and of biases."""
    parameters = list(config.build().parameters())
    return sum(p.numel() for p in parameters if p.ndim > 1), sum(p.numel() for p in parameters if p.ndim == 1)


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SRCNNConfig(), (8_032, 97)),
        (SRCNNConfig(kernels=(9, 5, 5)), (57_184, 97)),
        (SRCNNConfig(kernels=(9, 3, 5)), (24_416, 97)),
        (SRCNNConfig(channel="rgb"), (3 * 81 * 64 + 64 * 32 + 32 * 25 * 3, 99)),
        (VDSRConfig(), (664_704, 1_217)),
        (VDSRConfig(depth=10), (576 + 8 * 36_864 + 576, 577)),
        (VDSRConfig(activation="maxout"), (2 * 576 + 18 * 2 * 36_864 + 576, 2 * 1_216 + 1)),
    ],
)
def test_numbers_of_parameters_are_those_of_the_papers(config, expected) -> None:
    assert counts(config) == expected


def test_names_are_those_of_public_implementations() -> None:
    assert [name for name, _ in SRCNNConfig().build().named_parameters()] == [
        f"conv{number}.{part}" for number in (1, 2, 3) for part in ("weight", "bias")
    ]
    names = {name for name in VDSRConfig().build().state_dict() if name.endswith("weight")}
    assert names == {"input.weight", "output.weight"} | {f"residual_layer.{n}.conv.weight" for n in range(18)}


# ---- equations ------------------------------------------------------------------------------------------------------


def test_srcnn_is_its_three_equations_on_the_bicubic_picture() -> None:
    network, low = SRCNNConfig(channel="rgb", initialiser="he").build(), picture(1, 3, 6, 7)
    x = bicubic(low, 4)
    with torch.inference_mode():
        for layer in (network.conv1, network.conv2, network.conv3):
            side = layer.weight.shape[-1] // 2
            x = nn.functional.conv2d(nn.functional.pad(x, (side,) * 4, "replicate"), layer.weight, layer.bias)
            x = x if layer is network.conv3 else x.clamp(min=0)
        torch.testing.assert_close(network(low), x)


@pytest.mark.parametrize("residual", [True, False])
def test_vdsr_is_a_chain_that_adds_to_the_bicubic_picture_or_replaces_it(residual) -> None:
    config = VDSRConfig(depth=5, width=8, channel="rgb", residual=residual)
    network, low = config.build(), picture(1, 3, 6, 7)
    x = enlarged = bicubic(low, 4)
    state = network.state_dict()
    for name in ("input", *(f"residual_layer.{number}.conv" for number in range(3)), "output"):
        x = nn.functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        x = x if name == "output" else x.clamp(min=0)
    with torch.inference_mode():
        torch.testing.assert_close(network(low), x + enlarged if residual else x)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_activations(activation: Activation) -> None:
    layer = VDSRConfig(depth=3, width=4, activation=activation).build().residual_layer[0]
    x = 2 * picture(1, 4, 5, 5) - 1
    with torch.inference_mode():
        before, found = layer.conv(x), layer(x)
    expected = {
        "relu": before.clamp(min=0),
        "tanh": before.tanh(),
        "sigmoid": 1 / (1 + (-before).exp()),
        "maxout": torch.stack([before[:, :4], before[:, -4:]]).amax(0),
    }
    torch.testing.assert_close(found, expected[activation])


# ---- luma -----------------------------------------------------------------------------------------------------------


def test_luma_is_that_of_the_metric_before_its_rounding() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    found = luma(torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255)[0, 0].numpy() * 255
    assert np.abs(found - matlab_luma(pixels)).max() <= 0.5 + 1e-9
    assert np.array_equal(np.floor(found + 0.5), matlab_luma(pixels))


def test_another_luma_leaves_the_colour() -> None:
    before, y = picture(2, 3, 5, 6).double(), picture(2, 1, 5, 6).double()
    after = with_luma(before, y)
    torch.testing.assert_close(luma(after), y)
    for share in ((-37.797, -74.203, 112.0), (112.0, -93.786, -18.214)):  # Cb and Cr of BT.601
        colour = torch.tensor(share, dtype=torch.float64).view(1, 3, 1, 1)
        torch.testing.assert_close((after * colour).sum(1), (before * colour).sum(1))


@BOTH
def test_networks_of_luma_leave_the_colour_of_bicubic(config) -> None:
    network, low = config(initialiser="he").build(), picture(1, 3, 6, 7)
    with torch.inference_mode():
        high, plain = network(low), bicubic(low, 4)
    difference = high - plain
    assert difference.abs().max() > 0.01
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference), rtol=0, atol=1e-5)


@BOTH
def test_networks_of_luma_do_not_look_at_colour(config) -> None:
    network, low = config(initialiser="he").build(), picture(1, 3, 6, 7)
    grey = with_luma(torch.full_like(low, 0.5), luma(low))
    with torch.inference_mode():
        torch.testing.assert_close(luma(network(low)), luma(network(grey)), rtol=0, atol=1e-5)


# ---- scales ---------------------------------------------------------------------------------------------------------


@BOTH
def test_the_same_weights_enlarge_by_any_scale(config, tmp_path: Path) -> None:
    four, low = config(scale=4).build().eval(), picture(1, 3, 6, 7)
    path = tmp_path / "net.safetensors"
    description = weights.Description(model=config(scale=4))
    path.write_bytes(weights.encode(weights.Weights(four.state_dict(), {}, description)))
    for scale in (2, 3, 4):
        chosen = choose(str(path), scale)
        assert chosen.description.model == config(scale=scale)
        with torch.inference_mode():
            high = chosen.network(low)
            assert high.shape == (1, 3, 6 * scale, 7 * scale)
            assert torch.equal(high, four(low, scale))


def test_a_network_of_one_scale_says_so() -> None:
    with pytest.raises(UsageError, match="--scale: 2, but mini_x4 enlarges by 4"):
        choose("mini_x4", 2)
    assert choose("mini_x4", 4).description.model.scale == 4


# ---- initialisers ---------------------------------------------------------------------------------------------------

IN, OUT = 64 * 9, 96 * 9
SPREAD = {
    "he": (2 / IN) ** 0.5,
    "xavier": (2 / (IN + OUT)) ** 0.5,
    "truncated_normal": 0.02 * 0.8796,  # what cutting at two deviations leaves of one
    "uniform_scaling": (1 / IN) ** 0.5,
    "orthogonal": (1 / IN) ** 0.5,
    "ones": 0.0,
    "gaussian": 0.001,
}


@pytest.mark.parametrize("initialiser", get_args(Initialiser))
def test_initialisers_have_their_spread(initialiser: Initialiser) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(64, 96, 3)
    initialise(network, initialiser)
    assert network.weight.std().item() == pytest.approx(SPREAD[initialiser], rel=0.02)
    assert network.weight.mean().item() == pytest.approx(float(initialiser == "ones"), abs=0.001)
    assert not network.bias.any()
    bound = {"xavier": 3**0.5, "uniform_scaling": 3**0.5, "truncated_normal": 2 / 0.8796}.get(initialiser)
    if bound:
        assert network.weight.abs().max().item() == pytest.approx(bound * SPREAD[initialiser], rel=0.01)


def test_orthogonal_rows_are_orthogonal() -> None:
    network = nn.Conv2d(64, 96, 3)
    initialise(network, "orthogonal")
    rows = network.weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(96), rtol=0, atol=1e-5)
