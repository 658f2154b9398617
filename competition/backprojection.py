"""Low-pass back-projection: a prediction, made low again, should give the low picture it came from.

Irani and Peleg, "Improving resolution by image registration", CVGIP 1991, one step of it.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from competition.data.degrade import Degradation, blur, make_clean
from competition.data.estimate import estimate
from competition.images import Bytes, quantize
from competition.models.bicubic import Bicubic

Reduction = Literal["bicubic", "fitted"]

# Gaussian sigmas in low pixels, 0 for all there is. Fine residuals are error where the low picture is clean, and noise
# where it is not: how much each low pass counts is fitted.
LOW_PASSES = (0.0, 0.7, 1.5)


def corrections(high: Tensor, low: Bytes, reduction: Reduction, scale: int) -> list[Tensor]:
    """up(lowpass(low - D(SR))) for each of LOW_PASSES, float32 (1, 3, H, W) in units of the peak, to be added to SR.

    high: SR, float64 (1, 3, H, W) in about [0, 1]; low: uint8 (H / scale, W / scale, 3). D is MATLAB's bicubic
    reduction or, `fitted`, the one that explains the low picture best with SR in the truth's place.
    """
    rounded = quantize(high, 8)
    way = Degradation() if reduction == "bicubic" else estimate(low, rounded, scale).degradation
    exact = high[0].permute(1, 2, 0).numpy().astype(np.float32) * 255
    # Large medians take bytes only.
    lowered = make_clean(rounded, way, scale) if way.median else make_clean(exact, way, scale)
    residual = np.asarray((low.astype(np.float32) - lowered) / 255, np.float32)
    smooth = (torch.from_numpy(blur(residual, sigma)) for sigma in LOW_PASSES)
    enlarge = Bicubic(scale)
    return [enlarge(each.permute(2, 0, 1).unsqueeze(0)) for each in smooth]
