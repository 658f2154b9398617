"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from competition.errors import StorageError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

T = TypeVar("T")


def on_disk(kind: str, path: Path, act: Callable[..., T], *arguments: Any) -> T:
    """Every change to a disk is made here, one system call at a time: tests count them and make each one fail."""
    return act(*arguments)


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name beside `path`, flush it to disk, then rename it into place.

    A crash at any moment leaves either the old file or the new one. Raises OSError that names `path` when the disk
    refuses.
    """
    # Without the name itself, which may already be as long as the disk allows.
    temporary = path.with_name(f".tmp_{os.getpid()}_{threading.get_ident()}")
    with named(path, len(content)):
        make_folder(path.parent)
        with undone(temporary):
            write_synced(temporary, content)
            rename(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary path for a large file: what the block wrote there stands at `path` once it is through, flushed.

    Raises OSError that names `path` when the disk refuses; what was written is then deleted.
    """
    make_folder(path.parent)
    sweep_dead(path.parent)
    temporary = path.with_name(f".tmp_{os.getpid()}_{threading.get_ident()}")
    with named(path), undone(temporary):
        yield temporary
        with open(temporary, "rb") as file:
            on_disk("fsync", temporary, os.fsync, file.fileno())
        rename(temporary, path)
        sync_folder(path.parent)


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder of these files, by name, in the place of an older one, whole or not at all.

    Raises OSError that names `folder` when the disk refuses.
    """
    staged = folder.with_name(f".tmp_{folder.name}")
    with undone(staged):
        with named(folder, sum(map(len, contents.values()))):
            delete(staged)  # of a killed process
            on_disk("mkdir", staged, os.mkdir, staged)
            for name, content in contents.items():
                write_synced(staged / name, content)
            sync_folder(staged)
        if folder.exists():
            remove_folder(folder)
        with named(folder):
            rename(staged, folder)
            sync_folder(folder.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write `content` to `path` and wait until the disk has it."""
    write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """Write `parts` to `path`, one after the other as they are made, and wait until the disk has them all."""
    with on_disk("create", path, open, path, "wb", 0) as file:
        for part in parts:
            rest = memoryview(part)
            while rest:  # the system may take less than it is given
                rest = rest[on_disk("write", path, file.write, rest) :]
        on_disk("fsync", path, os.fsync, file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder and the parents it lacks, and wait until the disk has their names."""
    if path.is_dir():
        # Nothing is put into a folder before the disk has its name; an empty one may be of a process killed meanwhile.
        # One that may not be looked into is somebody else's.
        with contextlib.suppress(PermissionError), os.scandir(path) as entries:
            if next(entries, None) is None:
                with named(path):
                    sync_folder(path.parent)
        return
    make_folder(path.parent)
    with named(path):
        try:
            on_disk("mkdir", path, os.mkdir, path)
        except FileExistsError:  # made by another process meanwhile
            if not path.is_dir():
                raise
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the entries (names) of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        on_disk("fsync", path, os.fsync, descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder in one step; a file that stands at `target` is replaced."""
    on_disk("rename", target, os.replace, source, target)


def remove_folder(path: Path) -> None:
    """Delete a folder so that no half of it is ever seen under its own name."""
    doomed = path.with_name(f".del_{path.name}_{os.getpid()}")
    with named(path):
        delete(doomed)  # of a killed process that had the same number
        rename(path, doomed)
        delete(doomed)


def delete(path: Path) -> None:
    """Delete a file, or a folder with all it holds, where there is one."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            delete(entry)
        on_disk("rmdir", path, os.rmdir, path)
    elif os.path.lexists(path):
        on_disk("unlink", path, os.unlink, path)


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written or half-deleted in a folder that nobody else writes to."""
    with named(folder):
        for leftover in [*folder.glob(".tmp_*"), *folder.glob(".del_*")]:
            delete(leftover)


def sweep_dead(folder: Path) -> None:
    """Delete what killed processes of this machine left half-written in a folder that others may write to meanwhile."""
    with named(folder):
        for leftover in folder.glob(".tmp_*_*"):
            number = leftover.name.split("_")[1]
            if number.isdecimal() and not _lives(int(number)):
                with contextlib.suppress(FileNotFoundError):  # another one swept
                    delete(leftover)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


@contextlib.contextmanager
def undone(temporary: Path) -> Iterator[None]:
    """Delete `temporary` when the block that writes it fails, as far as the disk allows."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            delete(temporary)
        raise


@contextlib.contextmanager
def named(path: Path, needed: int = 0) -> Iterator[None]:
    """Let errors of the disk name `path` (its user knows nothing of temporary files) and the room that is lacking."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        if error.errno in NO_ROOM:
            error.strerror = f"{error.strerror}: {needed:,} bytes needed, {_free(path.parent):,} free"
        raise


def _free(folder: Path) -> int:
    """Free bytes of the disk that holds a folder, or will hold it."""
    return shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free


def require_space(folder: Path, needed: int) -> None:
    """Make `folder`; raise StorageError unless its disk has `needed` bytes free."""
    make_folder(folder)
    free = _free(folder)
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
