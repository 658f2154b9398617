"""Gradient clipping: limits, what stays as it is, and what a step may change."""

import subprocess
import sys
import typing
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from competition.clipping import AdaptiveConfig, ClipConfig, NormConfig, RateConfig, ValueConfig
from competition.config import Config, parse
from competition.errors import UsageError

# Limits that gradients of about 1 pass, and that those of 1e-6 keep.
MEMBERS: list[Any] = [
    member(most=0.5) if "most" in member.model_fields else member()
    for member in typing.get_args(typing.get_args(ClipConfig)[0])
]
EVERY_MEMBER = pytest.mark.parametrize("config", MEMBERS, ids=lambda config: config.name)


def with_gradients(size: float) -> list[nn.Parameter]:
    """A convolution's parameters with gradients, and one that has none."""
    torch.manual_seed(0)
    parameters = [*nn.Conv2d(3, 4, 3).parameters(), nn.Parameter(torch.ones(2))]
    for parameter in parameters[:2]:
        parameter.grad = size * torch.randn(parameter.shape)
    return parameters


def gradients(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]


def clipped(config: Any, gradient: list[float], lr: float = 1.0, weight: float = 1.0) -> list[float]:
    """One vector's gradient after clipping."""
    parameter = nn.Parameter(torch.full((len(gradient),), weight))
    parameter.grad = torch.tensor(gradient)
    config.build()([parameter], lr)
    return typing.cast(list[float], parameter.grad.tolist())


# ---- every member ---------------------------------------------------------------------------------------------------


@EVERY_MEMBER
def test_below_the_limit_nothing_changes(config: Any) -> None:
    parameters = with_gradients(1e-6)
    before = gradients(parameters)
    config.build()(parameters, 1.0)
    assert all(torch.equal(*pair) for pair in zip(gradients(parameters), before, strict=True))


@EVERY_MEMBER
def test_above_the_limit_gradients_shrink_in_place_and_once(config: Any) -> None:
    parameters, clip = with_gradients(1), config.build()
    held, before, weights = (
        [p.grad for p in parameters],
        gradients(parameters),
        [p.detach().clone() for p in parameters],
    )
    clip(parameters, 1.0)
    after = gradients(parameters)
    for found, was in zip(after, before, strict=True):
        assert (found.abs() <= was.abs()).all() and (found * was >= 0).all() and found.norm() < was.norm()
    assert all(parameter.grad is same for parameter, same in zip(parameters, held, strict=True))
    assert parameters[2].grad is None
    assert all(torch.equal(*pair) for pair in zip(parameters, weights, strict=True))
    clip(parameters, 1.0)
    for found, was in zip(gradients(parameters), after, strict=True):
        torch.testing.assert_close(found, was)


@EVERY_MEMBER
def test_a_gradient_of_zeros_stays_one(config: Any) -> None:
    assert clipped(config, [0.0, 0.0]) == [0, 0]


# ---- one by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "lr", "expected"),
    [
        (NormConfig(most=5), 1.0, [3, -4]),
        (NormConfig(most=1), 1.0, [0.6, -0.8]),
        (NormConfig(most=1), 1e-4, [0.6, -0.8]),
        (ValueConfig(most=3.5), 1.0, [3, -3.5]),
        (ValueConfig(most=3.5), 1e-4, [3, -3.5]),
        (RateConfig(most=0.35), 0.1, [3, -3.5]),
        (RateConfig(most=0.35), 0.05, [3, -4]),
        (RateConfig(most=0.35), 0.0, [3, -4]),
        # A vector of two ones has the norm sqrt(2); the gradient's is 5.
        (AdaptiveConfig(factor=0.1), 1.0, [3 * 0.02 * 2**0.5, -4 * 0.02 * 2**0.5]),
        (AdaptiveConfig(factor=4), 1.0, [3, -4]),
    ],
    ids=str,
)
def test_known_values(config: Any, lr: float, expected: list[float]) -> None:
    assert clipped(config, [3.0, -4.0], lr) == pytest.approx(expected, rel=1e-5)


def test_the_norm_is_that_of_all_gradients_together_and_the_direction_stays() -> None:
    parameters = with_gradients(1)
    before = torch.cat([gradient.flatten() for gradient in gradients(parameters)])
    NormConfig(most=0.5).build()(parameters, 1.0)
    after = torch.cat([gradient.flatten() for gradient in gradients(parameters)])
    assert after.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert nn.functional.cosine_similarity(after, before, dim=0).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("lr", [0.1, 1e-4])
def test_no_step_of_plain_descent_changes_a_weight_by_more_than_the_rate_allows(lr: float) -> None:
    parameters = with_gradients(1e6)
    before = [parameter.detach().clone() for parameter in parameters]
    RateConfig(most=0.01).build()(parameters, lr)
    torch.optim.SGD(parameters, lr).step()
    changes = torch.cat([(p - was).abs().flatten() for p, was in zip(parameters[:2], before, strict=False)])
    assert changes.max().item() == pytest.approx(0.01, rel=1e-3)


def test_adaptive_clipping_looks_at_each_filter_alone() -> None:
    parameter = nn.Parameter(torch.ones(3, 2, 1, 2))
    parameter.data[2] = 0  # taken to have the norm epsilon
    parameter.grad = torch.ones(3, 2, 1, 2) * torch.tensor([0.001, 1, 1]).view(3, 1, 1, 1)
    AdaptiveConfig().build()([parameter], 1.0)
    norms = parameter.grad.flatten(1).norm(dim=1)
    assert norms.tolist() == pytest.approx([0.002, 0.01 * 2, 0.01 * 1e-3], rel=1e-5)


def test_without_timm_only_adaptive_clipping_is_refused() -> None:
    script = """
import sys
sys.modules["timm"] = None
from competition.clipping import AdaptiveConfig, NormConfig
from competition.errors import UsageError
NormConfig(most=1).build()
try:
    AdaptiveConfig().build()
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("clip.name: adaptive needs timm (") and not done.stderr


def test_timm_is_not_imported_before_it_is_asked_for() -> None:
    script = "import sys, competition.clipping; sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0


class Holder(Config):
    clip: ClipConfig | None = None


@pytest.mark.parametrize(
    ("clip", "start"),
    [
        (
            '{"name": "nrm", "most": 1}',
            "clip.name: unknown name 'nrm'. Did you mean 'norm'? Allowed: norm, value",
        ),
        ('{"name": "norm"}', "clip.most: missing"),
        ('{"name": "norm", "most": 0}', "clip.most: Input should be greater than 0"),
        ('{"name": "adaptive", "most": 1}', "clip.most: unknown key. Allowed: name, factor, epsilon"),
        ("1", "clip: "),
    ],
)
def test_a_wrong_clip_is_one_line_with_its_key(clip: str, start: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(f'{{"clip": {clip}}}', Holder, "run.yaml")
    (line,) = refused.value.lines
    assert line.startswith(f"run.yaml: {start}")


def test_a_clip_is_read_from_a_configuration() -> None:
    assert parse("{}", Holder, "run.yaml").clip is None
    assert parse('{"clip": {"name": "rate", "most": 0.01}}', Holder, "run.yaml").clip == RateConfig(most=0.01)
