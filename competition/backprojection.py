"""Low-pass back-projection: a prediction, made low again, should give the low picture it came from.

Irani and Peleg, "Improving resolution by image registration", CVGIP 1991, one step of it.
"""

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from competition.data.degrade import Degradation, make_clean
from competition.data.estimate import estimate
from competition.images import Bytes, quantize
from competition.models.bicubic import Bicubic

Reduction = Literal["bicubic", "fitted"]

# Gaussian sigma in low pixels of what may be corrected; finer residuals are noise and the reduction's own error.
LOW_PASS = 1.0


def back_project(high: Tensor, low: Bytes, reduction: Reduction, scale: int) -> Tensor:
    """SR + up(lowpass(low - D(SR))): float64 (1, 3, H, W) in about [0, 1], from the same and uint8 (H / scale, …, 3).

    D is MATLAB's bicubic reduction or, `fitted`, the one that explains the low picture best with SR in the truth's
    place. Less than the whole step is a weighted mean of SR and this.
    """
    rounded = quantize(high, 8)
    way = Degradation() if reduction == "bicubic" else estimate(low, rounded, scale).degradation
    exact = high[0].permute(1, 2, 0).numpy().astype(np.float32) * 255
    # Large medians take bytes only.
    lowered = make_clean(rounded, way, scale) if way.median else make_clean(exact, way, scale)
    residual = low.astype(np.float32) - lowered
    smooth = cv2.GaussianBlur(residual, (0, 0), LOW_PASS, borderType=cv2.BORDER_REFLECT)
    correction: Tensor = Bicubic(scale)(torch.from_numpy(np.asarray(smooth)).permute(2, 0, 1).unsqueeze(0))
    return high + correction.double() / 255
