"""The score of a network on whole pictures: by it training chooses its best weights, and a soup its ingredients."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from competition.data.sources import Source
from competition.ensemble import enlarge
from competition.images import quantize, to_tensor
from competition.metrics import MetricConfig


def scores(
    network: nn.Module,
    pictures: Sequence[Source],
    metric: MetricConfig,
    device: torch.device,
    which: Iterable[int] | None = None,
) -> Tensor:
    """What the metric says of each picture in dB, once enlarged and rounded to 8 bits: float64 (len(pictures),).

    With `which`, the other pictures are left at zero: the sum over processes with a part each is the whole. The
    network must be on `device`, where the result is too, and is left in evaluation mode.
    """
    network.eval()
    result = torch.zeros(len(pictures), dtype=torch.float64, device=device)
    for index in range(len(pictures)) if which is None else which:
        pair = pictures[index].whole()
        prediction = enlarge(network, to_tensor(pair.low).to(device), pair.scale)
        result[index] = metric.psnr(quantize(prediction, 8), pair.high)
    return result
