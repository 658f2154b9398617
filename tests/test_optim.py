"""Optimisers: each against torch by hand, rates of layers, the L1 penalty, and states that resume exactly."""

import copy
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from competition import checkpoints, weights
from competition.config import Config, parse
from competition.errors import UsageError
from competition.models.srcnn import SRCNNConfig
from competition.optim import (
    AdagradConfig,
    AdamConfig,
    LayerRateConfig,
    OptimizerConfig,
    RMSPropConfig,
    SGDConfig,
    add_l1_gradient,
)
from competition.states import Conditions, Training

MEMBERS: list[Any] = [typing.get_args(member)[0] for member in typing.get_args(typing.get_args(OptimizerConfig)[0])]
EVERY_MEMBER = pytest.mark.parametrize("config", MEMBERS, ids=lambda config: config().name)
LAST = LayerRateConfig(layers="conv3", factor=0.1)
SMALL = SRCNNConfig(widths=(4, 3), initialiser="he")


def build() -> nn.Module:
    torch.manual_seed(0)
    return SMALL.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def step(network: nn.Module, optimizer: torch.optim.Optimizer, lr: float, number: int) -> None:
    """One step as training takes it, on a picture that depends on the number of the step alone."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    optimizer.zero_grad()
    low = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(number))
    network(low).square().mean().backward()
    optimizer.step()


def parameters(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


# ---- every member ---------------------------------------------------------------------------------------------------


@EVERY_MEMBER
def test_every_optimiser_lowers_a_square(config: Any) -> None:
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    optimizer = config(lr=0.05).build(network)
    for _ in range(200):
        optimizer.zero_grad()
        (network(torch.ones(1, 1)) - 1).square().sum().backward()
        optimizer.step()
    assert network(torch.ones(1, 1)).item() == pytest.approx(1, abs=0.1)


@EVERY_MEMBER
def test_layers_learn_at_their_own_rate(config: Any) -> None:
    plain, scaled, slow = build(), build(), build()
    step(plain, config().build(plain), 1e-2, 0)
    step(scaled, config(layers=(LAST,)).build(scaled), 1e-2, 0)
    step(slow, config().build(slow), 1e-3, 0)
    for name, parameter in parameters(scaled).items():
        expected = parameters(slow if name.startswith("conv3") else plain)[name]
        assert torch.equal(parameter, expected), name
        assert not torch.equal(parameter, parameters(build())[name]), name


@EVERY_MEMBER
@pytest.mark.parametrize("layers", [(), (LayerRateConfig(layers="conv1", factor=0.1),)], ids=["one rate", "two rates"])
def test_a_saved_state_goes_on_exactly(config: Any, layers: tuple[LayerRateConfig, ...], tmp_path: Path) -> None:
    """With groups in another order than the parameters, whose moments must find their own."""
    conditions = Conditions.now("optim", seed=0, processes=1)

    def begin() -> Training:
        network = build()
        return Training(network, copy.deepcopy(network), config(layers=layers).build(network))

    whole, first, second = begin(), begin(), begin()
    for number in range(6):
        step(whole.model, whole.optimizer, 1e-3, number)
    for number in range(3):
        step(first.model, first.optimizer, 1e-3, number)
    checkpoints.save(tmp_path, first, weights.Description(model=SMALL, step=3), conditions)
    assert checkpoints.load_newest(tmp_path, second, conditions).step == 3
    for number in range(3, 6):
        step(second.model, second.optimizer, 1e-3, number)
    for name, parameter in parameters(whole.model).items():
        assert torch.equal(parameters(second.model)[name], parameter), name


# ---- one by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # After gradients of 1 and then 2, from 0 and at a rate of 0.1.
        (SGDConfig(lr=0.1, momentum=0.5), -0.1 * 1 - 0.1 * (0.5 * 1 + 2)),
        (SGDConfig(lr=0.1, momentum=0.0), -0.1 * 3),
        (SGDConfig(lr=0.1, momentum=0.0, weight_decay=0.1), -0.1 - 0.1 * (2 - 0.1 * 0.1)),
        (RMSPropConfig(lr=0.1, decay=0.5), -0.1 / 0.5**0.5 - 0.1 * 2 / (0.5 * 0.5 + 0.5 * 4) ** 0.5),
        (AdagradConfig(lr=0.1), -0.1 - 0.1 * 2 / 5**0.5),
        (AdamConfig(lr=0.1, betas=(0.0, 0.0)), -0.2),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_two_steps_by_hand(config: Any, expected: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = config.build(network)
    for gradient in (1.0, 2.0):
        network.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    assert network.weight.item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_is_the_gradient_of_the_sum_of_magnitudes() -> None:
    network, low = build(), torch.rand(1, 3, 5, 6)
    network(low).square().mean().backward()
    add_l1_gradient(network, 0.3)
    found = [parameter.grad for parameter in network.parameters()]
    penalty = sum(one.weight.abs().sum() for one in (network.conv1, network.conv2, network.conv3))
    loss = network(low).square().mean() + 0.3 * penalty
    for gradient, expected in zip(found, torch.autograd.grad(loss, list(network.parameters())), strict=True):
        torch.testing.assert_close(gradient, expected)


class Holder(Config):
    optimizer: OptimizerConfig = AdamConfig()


def test_adam_is_meant_where_no_name_is_given() -> None:
    assert parse('{"optimizer": {"lr": 0.5}}', Holder, "here").optimizer == AdamConfig(lr=0.5)
    assert parse('{"optimizer": {"name": "sgd"}}', Holder, "here").optimizer == SGDConfig()


def test_layers_that_are_not_there_are_named_with_those_that_are() -> None:
    config = SGDConfig(layers=(LayerRateConfig(layers="conv4", factor=0.1), LAST))
    with pytest.raises(UsageError, match=r"optimizer.layers: conv4: no such layers. .*Allowed: conv1, conv2, conv3"):
        config.build(build())


def test_of_several_layers_that_fit_the_first_holds() -> None:
    layers = (LayerRateConfig(layers="conv1.weight", factor=3), LayerRateConfig(layers="conv1", factor=2))
    network = build()
    with pytest.raises(UsageError, match=r"conv1\.weight: no such layers"):
        SGDConfig(layers=layers[:1]).build(network)
    groups = SGDConfig(layers=(*layers[1:], LayerRateConfig(layers="conv1", factor=5), LAST)).groups(network)
    assert {group["factor"]: len(group["params"]) for group in groups} == {2.0: 2, 1.0: 2, 0.1: 2}
