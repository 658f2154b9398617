"""Files and folders that appear whole or not at all."""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from competition.errors import StorageError


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, flush it to disk, then rename it into place.

    A crash at any moment leaves either the old file or the new one. Raises OSError that names `path` when the disk
    refuses.
    """
    # Without the name itself, which may already be as long as the disk allows.
    temporary = path.with_name(f".tmp_{os.getpid()}_{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(temporary, content)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        error.filename = str(path)  # the user knows nothing of the temporary file
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_synced(path: Path, content: bytes) -> None:
    """Write `content` to `path` and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the disk has the entries (names) of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Delete a folder so that no half of it is ever seen under its own name."""
    doomed = path.with_name(f".del_{path.name}_{os.getpid()}")
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def require_space(folder: Path, needed: int) -> None:
    """Raise StorageError unless the disk that holds `folder` has `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(f"{folder}: needs {needed:,} bytes, {free:,} are free. Free some space or write elsewhere")


def printable(path: Path | str) -> str:
    """A path on one printable line."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process alone; the system lets go of it when the process ends, however it ends.

    With `wait`, until it is free; else raises StorageError that names the process which holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read() or "another process"
            raise StorageError(f"{folder}: locked by {holder}. Wait until it has finished") from error
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {platform.node()}")
        file.flush()
        yield
