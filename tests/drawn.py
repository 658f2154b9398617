"""Small pictures and contests drawn on the spot."""

from pathlib import Path

import cv2
import numpy as np

from competition.images import Bytes, write_png


def texture(seed: int, height: int = 96, width: int = 96) -> Bytes:
    """Random structure at every size, as in photographs."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for blur in (1.2, 2.5, 5, 10, 20):
        octave = cv2.GaussianBlur(generator.normal(size=(height, width, 3)), (0, 0), blur)
        picture += octave / octave.std() * blur**0.5
    return np.asarray((128 + 35 * picture / picture.std()).clip(0, 255).round(), np.uint8)


def draw_contest(root: Path, count: int = 4, scale: int = 4) -> Path:
    """ROOT/train/lr and ROOT/train/hr with pairs 000.png, 001.png, … (area mean)."""
    for number in range(count):
        high = texture(number)
        low = cv2.resize(high, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
        write_png(root / "train/hr" / f"{number:03d}.png", high)
        write_png(root / "train/lr" / f"{number:03d}.png", np.asarray(low, np.uint8))
    return root
