"""Disks and files of given sizes, and what a command says that runs into their end."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from competition.errors import run_command

Disk = Callable[..., Path]


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Disk]:
    """disk(kilobytes): an empty disk in memory of this size; with again=True the same, its content, in another size."""

    def mount(kilobytes: int, again: bool = False) -> Path:
        place.mkdir(exist_ok=True)
        options = f"{'remount,' if again else ''}size={kilobytes}k"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"disks of given sizes cannot be made here: {done.stderr.strip()}")
        return place

    try:
        yield mount
    finally:
        while place.is_mount():
            subprocess.run(["umount", str(place)], check=True)


def used(place: Path) -> int:
    """Kilobytes that a disk holds."""
    disk = os.statvfs(place)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As `ulimit -f`: no file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def ends(main: Callable[..., object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status of a command, and its last line on stderr."""
    with pytest.raises(SystemExit) as ending:
        run_command(main)
    return int(ending.value.code or 0), capsys.readouterr().err.rpartition("error: ")[2].strip()
