"""One training step of competition.train, taken apart: what our benchmarks switch on and off, time and weigh."""

import copy
import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from competition.losses import MSEConfig
from competition.models import ModelConfig
from competition.models.recompute import recompute_blocks
from competition.optim import update_ema

Step = Callable[[Tensor, Tensor], float]


class Choices(NamedTuple):
    """What a step makes use of; the defaults are those of competition.train."""

    bf16: bool = False
    tf32: bool = True
    channels_last: bool = True
    fused: bool = True
    compile: bool = False
    recompute: bool = False
    deterministic: bool = True
    """Kernels that give the same bits each time, and no search for the fastest ones."""


def set_kernels(tf32: bool, deterministic: bool) -> None:
    """How CUDA's libraries multiply in this process."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, not deterministic


def step_of(config: ModelConfig, choices: Choices, device: torch.device) -> Step:
    """A function of low and high (N, 3, H, W) that takes an optimiser step and returns its loss."""
    set_kernels(choices.tf32, choices.deterministic)
    torch.manual_seed(0)
    layout = torch.channels_last if choices.channels_last else torch.contiguous_format
    network = config.build().to(device, memory_format=layout)  # type: ignore[call-overload]
    recompute_blocks(network, choices.recompute)
    ema, criterion = copy.deepcopy(network), MSEConfig().build()
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.99), fused=choices.fused)
    forward = torch.compile(network) if choices.compile else network
    steps = itertools.count()

    def step(low: Tensor, high: Tensor) -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=choices.bf16):
            prediction = forward(low)
        loss: Tensor = criterion(prediction, high)
        loss.backward()
        gradient = nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
        value, norm = torch.stack([loss.detach(), gradient]).tolist()  # waits for the GPU, as `processes.agree` does
        if not norm < float("inf"):
            raise FloatingPointError(f"gradient norm {norm}")
        optimizer.step()
        optimizer.zero_grad()
        update_ema(ema, network, 0.999, next(steps))
        return float(value)

    return step


def random_batch(patches: int, low_size: int, device: torch.device, scale: int = 4) -> tuple[Tensor, Tensor]:
    """Low and high patches with the channels last, as `Batch.floats` gives them."""
    generator = torch.Generator().manual_seed(patches)
    sizes = (low_size, low_size * scale)
    low, high = (torch.rand(patches, 3, size, size, generator=generator) for size in sizes)
    return low.to(device, memory_format=torch.channels_last), high.to(device, memory_format=torch.channels_last)
