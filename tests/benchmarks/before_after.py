"""Draw the README's comparison: python before_after.py LOW PREDICTION TRUTH OUTPUT [SIZE].

The crop is the square of the picture where the prediction removes most of bicubic's squared error.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from competition.ensemble import bicubic
from competition.images import Bytes, read_prediction, read_rgb, to_bytes, write_png
from competition.metrics import MetricConfig


def draw(low: Bytes, prediction: Bytes, truth: Bytes, size: int) -> Bytes:
    """Low, bicubic, prediction and truth of one crop side by side, each under its name and PSNR on the crop."""
    scale = truth.shape[0] // low.shape[0]
    plain = bicubic(low, scale)
    gain = ((plain.astype(float) - truth) ** 2 - (prediction.astype(float) - truth) ** 2).sum(2)
    half = size // 2
    windows = cv2.boxFilter(gain, cv2.CV_64F, (size, size), normalize=False)[half:-half, half:-half]
    top, left = (int(index) // scale * scale for index in np.unravel_index(windows.argmax(), windows.shape))
    part = np.s_[top : top + size, left : left + size]
    blocks = low.repeat(scale, 0).repeat(scale, 1)
    panels = []
    for name, picture in (("low", blocks), ("bicubic", plain), ("prediction", prediction), ("truth", truth)):
        psnr = MetricConfig().psnr(picture[part], truth[part])
        title = np.full((36, size, 3), 255, np.uint8)
        text = name if name in ("low", "truth") else f"{name} {psnr:.2f} dB"
        cv2.putText(title, text, (4, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (20, 20, 20), 1, cv2.LINE_AA)
        panels += [np.vstack([title, picture[part]]), np.full((size + 36, 8, 3), 255, np.uint8)]
    return np.hstack(panels[:-1])


if __name__ == "__main__":
    low, prediction, truth, output = map(Path, sys.argv[1:5])
    size = int(sys.argv[5]) if len(sys.argv) > 5 else 256
    write_png(output, draw(read_rgb(low), to_bytes(read_prediction(prediction)), read_rgb(truth), size))
