"""The networks: what every member of the union must do, RRDBNet against basicsr, bicubic against MATLAB's rule."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from competition import weights
from competition.config import Config
from competition.engine import build_engine
from competition.errors import BadCheckpoint
from competition.models import ModelConfig
from competition.models.bicubic import BicubicConfig
from competition.models.recompute import recompute_blocks
from competition.models.rrdbnet import RRDBNetConfig

SMALL: dict[str, Any] = {"num_feat": 8, "num_block": 1, "num_grow_ch": 4}
# Of every network the keys it has.
SMALLEST = SMALL | {"num_block_up1": 1, "num_block_up2": 1, "depth": 4, "width": 8, "num_conv": 2, "initialiser": "he"}
SMALLEST |= {"embed_dim": 8, "depths": (2,), "num_heads": 2, "window_size": 4, "squeeze_factor": 2}
SMALLEST |= {"encoder": "test_nfnet"}


def members() -> Iterator[Any]:
    """Every network of the union at every scale, small."""
    union, _ = typing.get_args(ModelConfig)
    for member in typing.get_args(union):
        small = {key: value for key, value in SMALLEST.items() if key in member.model_fields}
        for scale in typing.get_args(member.model_fields["scale"].annotation):
            config = member(scale=scale, **small)
            yield pytest.param(config, id=f"{config.name} x{scale}")


def trainable(member: Any) -> bool:
    """Whether it has weights, at the last of its scales: the others are the same network."""
    (config,) = member.values
    return config.scale == typing.get_args(type(config).model_fields["scale"].annotation)[-1] and any(
        True for _ in config.build().parameters()
    )


EVERY_MEMBER = pytest.mark.parametrize("config", list(members()))


def build(config: Any, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = config.build()
    return network


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


# ---- every member ---------------------------------------------------------------------------------------------------


@EVERY_MEMBER
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 7), (6, 9), (8, 8)])
def test_the_output_is_scale_times_the_input(config: Any, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        high = build(config).eval()(picture(2, 3, *size))
    assert high.shape == (2, 3, size[0] * config.scale, size[1] * config.scale)
    assert high.isfinite().all()


@EVERY_MEMBER
def test_gradients_reach_every_parameter_and_the_input(config: Any) -> None:
    network, low = build(config).train(), picture(2, 3, 8, 8).requires_grad_()
    network(low).square().mean().backward()
    for name, parameter in [*network.named_parameters(), ("input", low)]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert parameter.grad.isfinite().all(), name


@EVERY_MEMBER
def test_inference_computes_the_same_in_its_own_way(config: Any) -> None:
    network, low = build(config).eval().requires_grad_(False), picture(1, 3, 9, 7)
    with torch.inference_mode():
        assert (build_engine(network)(low) - network(low)).abs().max() < 1e-5


@EVERY_MEMBER
def test_evaluation_is_repeatable_and_leaves_its_input_alone(config: Any) -> None:
    network, low = build(config).eval(), picture(1, 3, 7, 5)
    before = low.clone()
    with torch.inference_mode():
        assert torch.equal(network(low), network(low))
    assert torch.equal(low, before)


@EVERY_MEMBER
def test_a_batch_of_two_is_two_batches_of_one(config: Any) -> None:
    network, low = build(config).eval(), picture(2, 3, 7, 5)
    with torch.inference_mode():
        together, apart = network(low), torch.cat([network(low[:1]), network(low[1:])])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)


@EVERY_MEMBER
def test_a_weights_file_gives_the_same_network_back(config: Any, tmp_path: Path) -> None:
    network = build(config, seed=1).eval()
    description = weights.Description(model=config, step=5, score=weights.Score(value=31.5, definition="PSNR"))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.encode(weights.Weights(network.state_dict(), {}, description)))
    again, described = weights.build_network(path)
    assert described == description
    assert not again.training
    assert again.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    with torch.inference_mode():
        assert torch.equal(again(picture(1, 3, 5, 7)), network(picture(1, 3, 5, 7)))


@EVERY_MEMBER
def test_averaged_weights_are_preferred(config: Any, tmp_path: Path) -> None:
    current, average = build(config, seed=1), build(config, seed=2)
    content = weights.Weights(current.state_dict(), average.state_dict(), weights.Description(model=config))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights.encode(content))
    again, _ = weights.build_network(path)
    for name, tensor in average.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@EVERY_MEMBER
def test_recomputed_blocks_give_the_same_gradients(config: Any) -> None:
    network, low = build(config).train(), picture(2, 3, 8, 8).requires_grad_()

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(network(low).square().mean(), [low, *network.parameters()]))

    kept = gradients()
    recompute_blocks(network)
    for again, gradient in zip(gradients(), kept, strict=True):
        assert torch.equal(again, gradient)


@pytest.mark.parametrize("config", [member for member in members() if trainable(member)])
def test_two_hundred_steps_learn_one_patch_better_than_bicubic(config: Any) -> None:
    """Of sharp squares, and grey, as the colour is not for networks of luma to change."""
    network, scale = build(config).train(), config.scale
    squares = picture(1, 1, 5, 5).round().repeat_interleave(2 * scale, 2).repeat_interleave(2 * scale, 3)
    high = 0.1 + 0.8 * squares[..., scale:-scale, scale:-scale].expand(1, 3, -1, -1)
    low = nn.functional.avg_pool2d(high, scale)
    plain = nn.functional.mse_loss(BicubicConfig(scale=scale).build()(low), high) if scale > 1 else 0.1 * high.var()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        loss = nn.functional.mse_loss(network(low), high)
        if loss < 0.9 * plain:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.9 * plain


def test_the_number_of_recomputed_blocks_is_told() -> None:
    assert recompute_blocks(RRDBNetConfig(**SMALL | {"num_block": 3}).build()) == 3
    assert recompute_blocks(BicubicConfig().build()) == 0


def test_weights_of_another_size_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    narrow, wide = RRDBNetConfig(**SMALL), RRDBNetConfig(**SMALL | {"num_block": 2})
    state = build(narrow).state_dict()
    with pytest.raises(BadCheckpoint, match=r"given: fits 42 of 72 tensors. Missing: body.1.rdb1.conv1.weight"):
        weights.load_state(build(wide), state, "given")
    assert weights.load_state(build(wide), state, "given", partial=True).startswith("given: 42 of 72 tensors loaded")


def test_every_name_is_in_the_union_once() -> None:
    union, _ = typing.get_args(ModelConfig)
    names = [member().name for member in typing.get_args(union)]
    assert len(set(names)) == len(names)
    assert all(issubclass(member, Config) for member in typing.get_args(union))


# ---- RRDBNet --------------------------------------------------------------------------------------------------------


def basicsr_rrdbnet(config: RRDBNetConfig) -> nn.Module:
    import competition.compat  # noqa: F401 (makes basicsr importable)

    module = pytest.importorskip("basicsr.archs.rrdbnet_arch")
    network: nn.Module = module.RRDBNet(
        3, 3, config.scale, num_feat=config.num_feat, num_block=config.num_block, num_grow_ch=config.num_grow_ch
    )
    return network


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = RRDBNetConfig(num_feat=64, num_block=23, num_grow_ch=32, scale=4).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_697_987


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_names_and_shapes_are_those_of_basicsr(scale: typing.Literal[1, 2, 4]) -> None:
    config = RRDBNetConfig(scale=scale)
    with torch.device("meta"):
        ours, theirs = config.build(), basicsr_rrdbnet(config)
    shapes = [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_equal_weights_give_the_output_of_basicsr(scale: typing.Literal[1, 2, 4]) -> None:
    config = RRDBNetConfig(num_feat=16, num_block=2, num_grow_ch=8, scale=scale)
    torch.manual_seed(3)
    theirs = basicsr_rrdbnet(config).eval()
    with torch.no_grad():  # large enough for every branch to matter
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.1)
    ours = config.build().eval()
    weights.load_state(ours, theirs.state_dict(), "basicsr")
    with torch.inference_mode():
        expected, found = theirs(picture(1, 3, 12, 16)), ours(picture(1, 3, 12, 16))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_equal_weights_give_the_gradients_of_basicsr() -> None:
    config = RRDBNetConfig(num_feat=16, num_block=2, num_grow_ch=8)
    torch.manual_seed(3)
    theirs = basicsr_rrdbnet(config)
    ours = config.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights.load_state(ours, theirs.state_dict(), "basicsr")
    low, high = picture(2, 3, 12, 16), picture(2, 3, 48, 64)
    for network in (ours, theirs):
        nn.functional.mse_loss(network(low), high).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None and expected[name].grad is not None
        scale = expected[name].grad.abs().max().item()
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=0, atol=1e-4 * scale, msg=name)


def test_sizes_the_unshuffle_does_not_divide_are_those_of_a_padded_input() -> None:
    network, low = build(RRDBNetConfig(**SMALL, scale=1)).eval(), picture(1, 3, 6, 7)
    padded = nn.functional.pad(low, (0, 1, 0, 2), mode="replicate")
    with torch.inference_mode():
        assert torch.equal(network(low), network(padded)[..., :6, :7])


# ---- bicubic --------------------------------------------------------------------------------------------------------


def keys_kernel(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic with a = -1/2, as in MATLAB's imresize."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def matlab_enlarge(plane: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.float64]:
    """MATLAB's imresize of (H, W) by a whole factor: columns of weights, mirrored borders, rows after columns."""
    for axis in (0, 1):
        length = plane.shape[axis]
        matrix = np.zeros((length * scale, length))
        for row in range(length * scale):
            centre = (row + 0.5) / scale - 0.5
            for tap in range(int(np.floor(centre)) - 2, int(np.floor(centre)) + 4):
                period = tap % (2 * length)
                source = period if period < length else 2 * length - 1 - period
                matrix[row, source] += keys_kernel(np.array(centre - tap))
        plane = matrix @ plane if axis == 0 else plane @ matrix.T
    return plane


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (13, 10)])
def test_bicubic_is_that_of_matlab(scale: typing.Literal[2, 3, 4], size: tuple[int, int]) -> None:
    low = picture(1, 3, *size)
    with torch.inference_mode():
        high = BicubicConfig(scale=scale).build()(low)
    expected = np.stack([matlab_enlarge(plane, scale) for plane in low[0].double().numpy()])
    assert np.abs(high[0].numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 0.25, 0.3, 1.0])
def test_bicubic_reproduces_a_constant_picture(scale: typing.Literal[1, 2, 3, 4], value: float) -> None:
    high = BicubicConfig(scale=scale).build()(torch.full((1, 3, 5, 6), value))
    assert (high - value).abs().max() < 1e-6


def test_bicubic_at_scale_one_is_the_picture_itself() -> None:
    low = picture(1, 3, 6, 7)
    assert torch.equal(BicubicConfig(scale=1).build()(low), low)
