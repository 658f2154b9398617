"""Networks that refine a bicubic enlargement: in RGB, or in luma with the colour as bicubic has it."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from competition.colour import luma, with_luma
from competition.models.bicubic import bicubic

Channel = Literal["y", "rgb"]
CHANNELS: dict[Channel, int] = {"y": 1, "rgb": 3}


def refine(layers: Callable[[Tensor], Tensor], low: Tensor, scale: int, channel: Channel) -> Tensor:
    """RGB (N, 3, H, W) enlarged bicubically to (N, 3, scale*H, scale*W) and put through `layers`, which keep the shape.

    Where the channel is `y`, they see and give MATLAB's luma (N, 1, scale*H, scale*W) in [16/255, 235/255].
    """
    enlarged = bicubic(low, scale)
    return layers(enlarged) if channel == "rgb" else with_luma(enlarged, layers(luma(enlarged)))
