"""What hostile files would have their decoder do, and what a limited process sees; imported there by its name."""

import os
import signal
import socket
import time
from pathlib import Path

from competition.media.sandbox import Report


def fill_memory(path: Path) -> int:
    return len(bytearray(2**32))


def reserve_addresses(size: int) -> int:
    """As drivers of graphics cards do: many addresses, no memory behind them."""
    import ctypes
    import mmap

    reserve = ctypes.CDLL(None).mmap
    reserve.restype = ctypes.c_void_p
    reserve.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    place = reserve(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    return int(place != ctypes.c_void_p(-1).value)


def never_end(path: Path) -> None:
    while True:
        pass


def sleep(path: Path, report: Report) -> None:
    report(1, 3)
    time.sleep(60)


def crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def call_out(port: int) -> int:
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port))


def write_much(path: Path) -> int:
    with open(path, "wb") as file:
        return sum(file.write(bytes(2**20)) for _ in range(8))


def surroundings() -> tuple[list[str], int]:
    return os.listdir("."), len(os.listdir("/proc/self/fd"))
