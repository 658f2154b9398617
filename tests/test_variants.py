"""RRDBNet's variants: what each adds, its size, and how it starts from RRDBNet's weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_weights import saved
from test_models import SMALL, build, picture
from torch import Tensor, nn

from competition import weights
from competition.geometry import SYMMETRIES, apply_symmetry, invert_symmetry
from competition.models.bodies import BodiesConfig
from competition.models.gated import GatedConfig
from competition.models.recompute import recompute_blocks
from competition.models.rotation import ROTATIONS, RotationConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.pretrained import state_for

PLAIN = RRDBNetConfig(**SMALL)


@pytest.fixture(params=["net.safetensors", "net.pth"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[nn.Module, str]:
    """An RRDBNet whose branches all matter, and the file of its weights: ours, then a foreign one."""
    network, path = build(PLAIN).eval(), tmp_path / request.param
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
    ours = weights.Weights(network.state_dict(), {}, weights.Description(model=PLAIN))
    path.write_bytes(weights.encode(ours) if path.suffix == ".safetensors" else saved(network.state_dict()))
    return network, str(path)


def start(config: Any, source: str) -> tuple[nn.Module, str]:
    """The network as training begins with it, and what is told."""
    network = build(config, seed=5).eval()
    return network, weights.load_state(network, state_for(source, config), "given", partial=True)


@torch.no_grad()
def enlarged(network: nn.Module, low: Tensor) -> Tensor:
    result: Tensor = network(low)
    return result


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (RRDBNetConfig(num_feat=96, num_grow_ch=48), 37_557_699),
        (RotationConfig(), 16_697_987),
        (GatedConfig(), 33_244_739),
        (BodiesConfig(), 18_173_763),
        (BodiesConfig(num_block_up1=0), 16_697_987),
        (BodiesConfig(num_block_up2=1), 18_930_115),
    ],
)
def test_the_number_of_parameters(config: Any, count: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in config.build().parameters()) == count


# ---- rotation -------------------------------------------------------------------------------------------------------


def test_rotation_is_the_mean_of_four_passes_with_the_same_weights(trained: tuple[nn.Module, str]) -> None:
    plain, source = trained
    network, told = start(RotationConfig(**SMALL), source)
    assert told == "given: 42 of 42 tensors loaded, 0 of the file not used"
    low = picture(1, 3, 5, 8)
    passes = [invert_symmetry(enlarged(plain, apply_symmetry(low, name)), name) for name in ROTATIONS]
    torch.testing.assert_close(enlarged(network, low), torch.stack(passes).mean(0), rtol=0, atol=1e-5)
    assert (passes[0] - passes[1]).abs().max() > 0.01


def test_turning_the_picture_turns_the_answer(trained: tuple[nn.Module, str]) -> None:
    network, _ = start(RotationConfig(**SMALL), trained[1])
    low = picture(1, 3, 5, 8)
    for name in SYMMETRIES:
        turned = invert_symmetry(enlarged(network, apply_symmetry(low, name)), name)
        same = (turned - enlarged(network, low)).abs().max() < 1e-5
        assert same == (name in ROTATIONS), name  # mirrored pictures give another answer


def test_what_a_rotation_learnt_goes_back_into_the_plain_network(tmp_path: Path) -> None:
    config, path = RotationConfig(**SMALL), tmp_path / "rotation.safetensors"
    network = build(config, seed=3)
    path.write_bytes(weights.encode(weights.Weights(network.state_dict(), {}, weights.Description(model=config))))
    for model in (config, PLAIN):
        weights.load_state(build(model), state_for(str(path), model), "strict")


def kept_numbers(network: nn.Module, low: Tensor) -> int:
    """Numbers held between the forward and the backward pass, the weights not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        high = network(low)
    del high
    return sum(kept.values())


def test_recompute_keeps_less_of_four_rotations_than_of_one_pass() -> None:
    low = picture(1, 3, 16, 16)
    plain, network = build(PLAIN), build(RotationConfig(**SMALL))
    assert kept_numbers(network, low) > 3.5 * kept_numbers(plain, low)
    assert recompute_blocks(network) == 1 + SMALL["num_block"]
    assert kept_numbers(network, low) < kept_numbers(plain, low) / 10


# ---- gates ----------------------------------------------------------------------------------------------------------


def test_gates_begin_open_so_that_the_network_begins_as_the_plain_one(trained: tuple[nn.Module, str]) -> None:
    plain, source = trained
    network, told = start(GatedConfig(**SMALL), source)
    assert told == "given: 42 of 72 tensors loaded, 0 of the file not used"
    low = picture(1, 3, 5, 8)
    torch.testing.assert_close(enlarged(network, low), enlarged(plain, low), rtol=0, atol=1e-5)


def test_a_gate_that_closes_lets_nothing_pass(trained: tuple[nn.Module, str]) -> None:
    plain, source = trained
    network, _ = start(GatedConfig(**SMALL), source)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gate5.bias" in name:
                parameter.fill_(-50)
        for name, parameter in plain.named_parameters():
            if "conv5" in name:
                parameter.zero_()
    low = picture(1, 3, 5, 8)
    torch.testing.assert_close(enlarged(network, low), enlarged(plain, low), rtol=0, atol=1e-5)


# ---- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("up1", "up2", "tensors"), [(0, 0, 42), (1, 0, 74), (2, 1, 136)])
def test_further_bodies_begin_as_almost_nothing(
    up1: int, up2: int, tensors: int, trained: tuple[nn.Module, str]
) -> None:
    plain, source = trained
    network, told = start(BodiesConfig(**SMALL, num_block_up1=up1, num_block_up2=up2), source)
    assert told == f"given: 42 of {tensors} tensors loaded, 0 of the file not used"
    low = picture(1, 3, 5, 8)
    torch.testing.assert_close(enlarged(network, low), enlarged(plain, low), rtol=0, atol=5e-3)


@pytest.mark.parametrize(("up1", "up2", "sides"), [(0, 0, {6}), (1, 0, {6, 12}), (1, 1, {6, 12, 24})])
def test_a_body_works_where_its_name_says(up1: int, up2: int, sides: set[int]) -> None:
    network, seen = build(BodiesConfig(**SMALL, num_block_up1=up1, num_block_up2=up2)), set()
    for name, module in network.named_modules():
        if name.endswith("rdb1"):
            module.register_forward_hook(lambda module, given, made: seen.add(given[0].shape[-1]))
    network(picture(1, 3, 6, 6))
    assert seen == sides
