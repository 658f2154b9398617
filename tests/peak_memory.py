"""How much memory this process has held at most."""

from pathlib import Path

import pytest


def peak_memory() -> int:
    """Largest resident size in kB since `forget_peak_memory`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def forget_peak_memory() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the peak of memory can only be measured on Linux")
