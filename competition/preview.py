"""What a run will do, before it does it: steps, samples, rates, memory and time of every stage."""

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import median
from typing import NamedTuple

import torch
from rich.table import Table
from torch import Tensor, nn

from competition.experiment import Experiment, Stage
from competition.models.recompute import recompute_blocks

HEADS = (
    "steps", "high patch", "batch", "samples", "rate, first", "rate, last", "loss", "EMA", "memory", "a step", "time"
)  # fmt: skip
# Low pixels of the side at which activations are counted; they grow with the area.
_COUNTED = 32
# Batches that take less are timed whole, others by one patch.
_SHORT = 5.0


class Estimate(NamedTuple):
    """Peak memory in bytes of one process and seconds a step, by one process with all patches of its share."""

    memory: float
    seconds: float


def preview(experiment: Experiment, processes: int) -> Table:
    """A table of all stages; times are measured here, on random pictures.

    Raises UsageError where training would: for layers, a loss or a way of clipping that are not to be had.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stages, found, seconds = _estimates(experiment, processes, device)
    samples = [(stage.last - stage.first) * stage.batch for stage in stages]
    every = zip(stages, found, seconds, samples, strict=True)
    table = Table(title=f"{experiment.name}: {experiment.steps:,} steps, {processes} x {device}", show_header=False)
    for line in zip(HEADS, *(_column(*one) for one in every), strict=True):
        table.add_row(*line)
    table.caption = f"{sum(samples):,} samples in {clock(sum(seconds))}, without loading data and validation"
    return table


def duration(experiment: Experiment) -> float:
    """Seconds that all steps of a run take one process here, without loading data and validation; see `preview`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return sum(_estimates(experiment, 1, device)[2])


def _estimates(
    experiment: Experiment, processes: int, device: torch.device
) -> tuple[list[Stage], list[Estimate], list[float]]:
    """The stages of a run, what a step of each needs, and the seconds that each takes."""
    torch.manual_seed(experiment.seed)
    network = experiment.model.build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    experiment.optimizer.build(network)
    if experiment.clip:
        experiment.clip.build()
    stages = experiment.all_stages()
    found = [estimate(experiment, network, stage, processes) for stage in stages]
    return stages, found, [one.seconds * (stage.last - stage.first) for one, stage in zip(found, stages, strict=True)]


def estimate(experiment: Experiment, network: nn.Module, stage: Stage, processes: int) -> Estimate:
    """Memory and time of a stage's step on the network's device.

    Memory: weights, gradients, two moments and average in float32, and what autograd keeps of the forward pass,
    counted on a small patch; buffers of the convolutions come on top.
    """
    scale, side = experiment.model.scale, stage.high_patch // experiment.model.scale
    share = stage.batch // processes
    parameters = list(network.parameters())
    fixed = 5 * sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    small = min(side, _COUNTED)
    blocks = recompute_blocks(network, False)
    kept = _kept_bytes(network, _patch(network, 1, small), experiment.precision)
    if experiment.recompute and blocks:
        recompute_blocks(network)
        between = _kept_bytes(network, _patch(network, 1, small), experiment.precision)
        kept = between + (kept - between) // blocks  # the inside of one block at a time
    kept = round(kept * (side / small) ** 2)
    return Estimate(
        memory=fixed + kept * share / stage.accumulate,
        seconds=_time(experiment, network, stage, scale, side, share // stage.accumulate) * stage.accumulate,
    )


def _time(experiment: Experiment, network: nn.Module, stage: Stage, scale: int, side: int, patches: int) -> float:
    """Seconds for forward and backward of so many patches: all of them where that is short, else one."""
    criterion = stage.loss.build()

    def run(count: int) -> float:
        low, high = _patch(network, count, side), _patch(network, count, side * scale)
        started = time.perf_counter()
        with _autocast(low.device, experiment.precision):
            prediction = network(low)
        criterion(prediction.float(), high).backward()
        if low.is_cuda:
            torch.cuda.synchronize()
        network.zero_grad()
        return time.perf_counter() - started

    run(1)  # the first pass chooses its kernels
    single = min(run(1), run(1))
    return median(run(patches) for _ in range(3)) if single * patches < _SHORT else single * patches


def _kept_bytes(network: nn.Module, low: Tensor, precision: str) -> int:
    """Bytes that autograd keeps for the backward pass, weights not counted, each storage once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), _autocast(low.device, precision):
        prediction = network(low)
    del prediction
    return sum(kept.values())


def _patch(network: nn.Module, count: int, side: int) -> Tensor:
    device = next(network.parameters()).device
    return torch.rand(count, 3, side, side, device=device).to(memory_format=torch.channels_last)


@contextlib.contextmanager
def _autocast(device: torch.device, precision: str) -> Iterator[None]:
    dtype = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        yield


def _column(stage: Stage, found: Estimate, seconds: float, samples: int) -> tuple[str, ...]:
    """What stands under each other for a stage, as HEADS names it."""
    return (
        f"{stage.first:,}–{stage.last:,}",
        str(stage.high_patch),
        f"{stage.batch:,}" + (f" in {stage.accumulate} parts" if stage.accumulate > 1 else ""),
        f"{samples:,}",
        f"{stage.rate(stage.first):.3g}",
        f"{stage.rate(stage.last - 1):.3g}",
        stage.loss.name,
        f"{stage.ema:g}",
        f"{found.memory / 2**30:.2f} GiB",
        f"{found.seconds:.3g} s",
        clock(seconds),
    )


def clock(seconds: float) -> str:
    """A time in hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
