"""The optimisers, chosen by name, what they add to a loss, and the moving average of the weights."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Discriminator, Field, Tag
from torch import nn

from competition.config import Config, suggest
from competition.errors import UsageError

Decay = Annotated[float, Field(ge=0, lt=1)]
Group = dict[str, Any]


class LayerRateConfig(Config):
    """A part of the network that learns at a rate of its own."""

    layers: str = Field(min_length=1)
    """Beginning of its parameters' names, up to a dot: `conv3`, or `body.0`."""
    factor: float = Field(gt=0, le=1000)
    """What the learning rate is multiplied with there."""


class _Rates(Config):
    """What all optimisers have."""

    lr: float = Field(1e-4, gt=0, le=1)
    """Learning rate that the schedule multiplies."""
    layers: tuple[LayerRateConfig, ...] = ()
    """Parts of the network with rates of their own; of several that fit a parameter the first holds."""

    def groups(self, network: nn.Module) -> list[Group]:
        """The parameters by the `factor` of their rate; raises UsageError for layers that the network does not have."""
        grouped: dict[float, list[nn.Parameter]] = {}
        unused = {one.layers for one in self.layers}
        for name, parameter in network.named_parameters():
            fitting = [one for one in self.layers if name.startswith(f"{one.layers}.")]
            unused -= {one.layers for one in fitting}
            grouped.setdefault(fitting[0].factor if fitting else 1.0, []).append(parameter)
        if unused:
            known = sorted({name.partition(".")[0] for name, _ in network.named_parameters()})
            raise UsageError(*[f"optimizer.layers: {name}: no such layers.{suggest(name, known)}" for name in unused])
        return [{"params": parameters, "factor": factor} for factor, parameters in grouped.items()]


class AdamConfig(_Rates):
    """Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015."""

    name: Literal["adam"] = "adam"
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the first and second moment."""

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a network that is on its device already; one pass over its parameters a step."""
        return torch.optim.Adam(self.groups(network), lr=self.lr, betas=self.betas, fused=True)


class SGDConfig(_Rates):
    """Gradient descent with momentum; Sutskever et al., ICML 2013, as torch writes it."""

    name: Literal["sgd"] = "sgd"
    momentum: Decay = 0.9
    """Share of the last step's direction that is kept."""
    weight_decay: float = Field(0, ge=0, lt=1)
    """Share of each parameter that is added to its gradient: an L2 penalty of half of that."""

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """See `AdamConfig.build`."""
        decay = self.weight_decay
        return torch.optim.SGD(self.groups(network), self.lr, self.momentum, weight_decay=decay, fused=True)


class RMSPropConfig(_Rates):
    """Each gradient is divided by the root of its mean square; Tieleman and Hinton, Coursera lecture 6.5, 2012."""

    name: Literal["rmsprop"] = "rmsprop"
    decay: Decay = 0.9
    """Decay of the mean square."""

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """See `AdamConfig.build`."""
        return torch.optim.RMSprop(self.groups(network), self.lr, self.decay)


class AdagradConfig(_Rates):
    """Each gradient is divided by the root of the sum of its squares; Duchi et al., JMLR 2011."""

    name: Literal["adagrad"] = "adagrad"

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """See `AdamConfig.build`."""
        return torch.optim.Adagrad(self.groups(network), self.lr)


def _chosen(value: Any) -> str:
    """The name in a configuration; Adam where only its rate is given, and in runs from before there was a choice."""
    return str(value.get("name", "adam") if isinstance(value, dict) else getattr(value, "name", "adam"))


OptimizerConfig = Annotated[
    Annotated[AdamConfig, Tag("adam")]
    | Annotated[SGDConfig, Tag("sgd")]
    | Annotated[RMSPropConfig, Tag("rmsprop")]
    | Annotated[AdagradConfig, Tag("adagrad")],
    Discriminator(_chosen),
]


@torch.no_grad()
def add_l1_gradient(network: nn.Module, strength: float) -> None:
    """Add to the gradients that of `strength` times the sum of the weights' magnitudes; biases are left out."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and parameter.grad is not None:
            parameter.grad.add_(parameter.sign(), alpha=strength)


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones: ema = decay * ema + (1 - decay) * weight.

    `step` optimiser steps were taken before; early on the decay is (1 + step) / (10 + step) where that is smaller, so
    that short runs are not averaged with the weights they started from.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
