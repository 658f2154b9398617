"""RDN and RDTN: sizes of the papers, the equations by hand, names of public weights, what enlarges."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from competition import pretrained, weights
from competition.models.rdn import RDNConfig
from competition.models.rdtn import RDTNConfig

SMALL = {"num_feat": 6, "num_block": 3, "num_conv": 2, "num_grow_ch": 4}
BOTH = pytest.mark.parametrize("member", [RDNConfig, RDTNConfig])
SCALES = pytest.mark.parametrize("scale", [2, 3, 4])


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def build(config: Any) -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = config.build()
    return network


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (RDNConfig(scale=2, num_block=16, num_conv=8), 22_123_395),  # the paper's 22.1 million
        (RDNConfig(scale=3, num_block=16, num_conv=8), 22_308_035),
        (RDNConfig(scale=4, num_block=16, num_conv=8), 22_271_107),
        (RDNConfig(), 16_520_067),
        (RDNConfig(num_grow_ch=32), 5_764_227),
        (RDTNConfig(), 886_147),  # of the 889,923 that its source names, without saying how they are spent
    ],
)
def test_numbers_of_parameters(config: Any, expected: int) -> None:
    with torch.device("meta"):
        network = config.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_names_are_those_of_public_weights() -> None:
    names = {name.removesuffix(".weight") for name in build(RDNConfig(**SMALL)).state_dict() if name.endswith("weight")}
    blocks = {f"rdbs.{block}.{part}" for block in range(3) for part in ("layers.0.conv", "layers.1.conv", "lff")}
    assert names == {"sfe1", "sfe2", "gff.0", "gff.1", "upscale.0", "upscale.2", "output"} | blocks


@SCALES
@BOTH
def test_the_output_is_that_of_the_equations(member: Any, scale: int) -> None:
    network, low = build(member(**SMALL, scale=scale)).eval(), picture(1, 3, 5, 6)
    state = network.state_dict()

    def conv(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    first = conv("sfe1", low)
    x, blocks = conv("sfe2", first), []
    for block in range(3):
        before, dense = x, x
        for layer in range(2):
            dense = torch.cat([dense, conv(f"rdbs.{block}.layers.{layer}.conv", dense).clamp(min=0)], 1)
        x = before + conv(f"rdbs.{block}.lff", dense)
        blocks.append(x)
    x = conv("gff.1", conv("gff.0", torch.cat(blocks, 1))) + first
    for number, step in enumerate((2, 2) if scale == 4 else (scale,)):
        if member is RDNConfig:
            x = functional.pixel_shuffle(conv(f"upscale.{2 * number}", x), step)
        else:
            layer = f"upscale.{number}"
            x = functional.conv_transpose2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], step, 1)
    with torch.inference_mode():
        torch.testing.assert_close(network(low), conv("output", x), rtol=0, atol=1e-5)


@SCALES
def test_transposed_convolutions_spread_a_pixel_beyond_its_square(scale: int) -> None:
    upscale = build(RDTNConfig(**SMALL, scale=scale)).upscale
    x = torch.zeros(1, 6, 5, 5)
    with torch.inference_mode():
        flat = upscale(x)
        x[:, :, 2, 2] = 1
        touched = (upscale(x) - flat).abs().amax((0, 1)) > 0
    assert touched.shape == (5 * scale, 5 * scale)
    side = 10 if scale == 4 else scale + 2
    assert touched.sum() == side**2 and touched[2 * scale : 3 * scale, 2 * scale : 3 * scale].all()


def test_published_weights_of_the_same_names_load(tmp_path: Path) -> None:
    config = RDNConfig(**SMALL)
    published, network = build(config), config.build()
    torch.save({f"module.{name}": tensor for name, tensor in published.state_dict().items()}, tmp_path / "rdn.pth")
    weights.load_state(network, pretrained.state_for(str(tmp_path / "rdn.pth"), config), "rdn.pth")
    low = picture(1, 3, 5, 6)
    with torch.inference_mode():
        assert torch.equal(network(low), published(low))
