"""Fixtures that several tests share: the photographs of the shared data folder and small contests made on the spot."""

import os

# Read by torch when it is imported, in the processes of tests too: all run on the CPU, several at once.
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import drawn
import pytest
import small_disks

from competition.images import Bytes, encode_png

Texture = Callable[..., Bytes]
Contest = Callable[..., Path]


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    """Commands called in this process set their own."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


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
    return drawn.texture


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    """contest(count=3, scale=4): a folder with train/lr and train/hr pairs 000.png, 001.png, … (area mean)."""

    def make(count: int = 3, scale: int = 4) -> Path:
        return drawn.draw_contest(tmp_path / "contest", count, scale)

    return make


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a disk, for tests that write and sync thousands of files."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[small_disks.Disk]:
    """A disk of a size that can be chosen and changed; tests are skipped where none can be made."""
    with small_disks.small_disk(tmp_path / "disk") as mount:
        yield mount


@pytest.fixture
def app(tmp_path: Path) -> Any:
    """The platform over an empty folder; for tests that skip where it is not installed."""
    import web_client

    return web_client.open_platform(tmp_path / "data")


@pytest.fixture
def visitor(app: Any) -> Any:
    """Its first visitor."""
    import web_client

    return web_client.Visitor(app)


@pytest.fixture(scope="session")
def png() -> bytes:
    """A small picture as a file."""
    return encode_png(drawn.texture(1, 72, 96))


@pytest.fixture
def seed() -> int:
    """Another one each time; a test that fails shows it, and SEED=… in the environment repeats it."""
    chosen = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={chosen}")
    return chosen


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
