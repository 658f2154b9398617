"""Folders that one process holds for itself alone."""

import contextlib
import fcntl
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from competition.errors import StorageError
from competition.files import make_folder, named


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold a folder for this process alone; the system lets go of it when the process ends, however it ends.

    Where another process holds it, `waiting` is told which one, and its end is waited for; without `waiting` that
    raises StorageError.
    """
    make_folder(folder)
    with open(folder / ".lock", "ab+", 0) as file, _kept_from_children(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().decode(errors="replace") or "another process"
            if waiting is None:
                raise StorageError(f"{folder}: locked by {holder}. Wait until it has finished") from error
            waiting(holder)
            fcntl.flock(file, fcntl.LOCK_EX)
        with named(folder):
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {platform.node()}".encode())
        yield


@contextlib.contextmanager
def _kept_from_children(file: IO[bytes]) -> Iterator[None]:
    """Close a file in processes forked meanwhile: a loader's worker that outlives a killed run would hold its lock."""
    _own_files.append(file)
    try:
        yield
    finally:
        _own_files.remove(file)


def _close_own_files() -> None:
    for file in _own_files:
        file.close()


_own_files: list[IO[bytes]] = []
os.register_at_fork(after_in_child=_close_own_files)
