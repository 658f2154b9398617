"""Fixtures that several tests share: the photographs of the shared data folder and small contests made on the spot."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # read by torch when it is imported: all tests, processes too, run on the CPU

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import pytest
import torch

from competition.images import Bytes, write_png

Texture = Callable[..., Bytes]
Contest = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the sets urban100, bsd100 and set5; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("COMPETITION_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared photographs in {folder}: set COMPETITION_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def texture() -> Texture:
    """texture(seed, height=96, width=96): random structure at every size, as in photographs."""

    def make(seed: int, height: int = 96, width: int = 96) -> Bytes:
        generator = np.random.default_rng(seed)
        picture = np.zeros((height, width, 3))
        for blur in (1.2, 2.5, 5, 10, 20):
            octave = cv2.GaussianBlur(generator.normal(size=(height, width, 3)), (0, 0), blur)
            picture += octave / octave.std() * blur**0.5
        return np.asarray((128 + 35 * picture / picture.std()).clip(0, 255).round(), np.uint8)

    return make


@pytest.fixture
def contest(tmp_path: Path, texture: Texture) -> Contest:
    """contest(count=3, scale=4): a folder with train/lr and train/hr pairs 000.png, 001.png, … (area mean)."""

    def make(count: int = 3, scale: int = 4) -> Path:
        root = tmp_path / "contest"
        for number in range(count):
            high = texture(number)
            low = cv2.resize(high, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
            write_png(root / "train/hr" / f"{number:03d}.png", high)
            write_png(root / "train/lr" / f"{number:03d}.png", np.asarray(low, np.uint8))
        return root

    return make


@pytest.fixture
def deadline() -> Iterator[None]:
    """Ends a test that waits for ever."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("still waiting after 20 seconds")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
