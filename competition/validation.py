"""The score of a network on whole pictures: by it training chooses its best weights, and a soup its ingredients."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from competition.data.sources import Source
from competition.ensemble import enlarge
from competition.images import Bytes, quantize, to_tensor
from competition.metrics import MetricConfig
from competition.models.bicubic import Bicubic


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


def comparison(network: nn.Module, picture: Source, device: torch.device, side: int = 64) -> Bytes:
    """Bicubic, network and truth side by side, uint8 RGB: the middle `side` low pixels of a picture, or all it has."""
    pair = picture.whole()
    low, high, scale = pair.low, pair.high, pair.scale
    height, width = (min(side, length) for length in low.shape[:2])
    top, left = (low.shape[0] - height) // 2, (low.shape[1] - width) // 2
    crop = to_tensor(low[top : top + height, left : left + width]).to(device)
    enlarged = [quantize(enlarge(one, crop, scale), 8) for one in (Bicubic(scale), network)]
    truth = high[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    return np.concatenate([*enlarged, truth], axis=1)
