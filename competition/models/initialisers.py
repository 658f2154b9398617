"""Weights that a network starts from, chosen by name."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn

Initialiser = Literal["he", "xavier", "truncated_normal", "uniform_scaling", "orthogonal", "ones", "gaussian"]


def initialise(network: nn.Module, initialiser: Initialiser) -> None:
    """Start every convolution of a network as named, with biases of zero.

    `he`: normal, variance 2 / inputs; He et al., "Delving deep into rectifiers", ICCV 2015. `xavier`: uniform, variance
    2 / (inputs + outputs); Glorot and Bengio, AISTATS 2010. `truncated_normal`: deviation 0.02, cut at twice that.
    `uniform_scaling`: uniform, variance 1 / inputs; Sussillo and Abbott, "Random walk initialization", 2014.
    `orthogonal`: Saxe et al., ICLR 2014. `ones`: all 1. `gaussian`: normal, deviation 0.001, as SRCNN.
    """
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d):
            _FILLERS[initialiser](convolution.weight)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)


def _uniform_scaling(weight: Tensor) -> None:
    bound = (3 / weight[0].numel()) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


_FILLERS: dict[Initialiser, Callable[[Tensor], object]] = {
    "he": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "truncated_normal": partial(nn.init.trunc_normal_, std=0.02, a=-0.04, b=0.04),
    "uniform_scaling": _uniform_scaling,
    "orthogonal": nn.init.orthogonal_,
    "ones": nn.init.ones_,
    "gaussian": partial(nn.init.normal_, std=0.001),
}
