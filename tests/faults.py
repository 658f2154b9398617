"""Disks that fail: each change that `competition.files` makes is noted; one goes wrong, or all from one on."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from competition import files


class Change(NamedTuple):
    """One change to a disk: `source` of a rename, `content` of a write."""

    kind: str
    path: Path
    source: Path | None = None
    content: bytes = b""


DIED = 9


class Crash(BaseException):
    """Stands for the death of the process where it goes on in truth: nothing more reaches the disk."""


def as_it_is(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """No fault."""
    return act(*arguments)


def crash(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """Die before the change."""
    os._exit(DIED)


def torn(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """Die in the middle of a write, or after any other change."""
    act(*_half(arguments, kind))
    os._exit(DIED)


def freeze(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """As `torn`, for a process that shall live on."""
    act(*_half(arguments, kind))
    raise Crash


def unreadable(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """The disk reports an error instead of the change."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def unsure(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """The disk makes the change and reports an error all the same."""
    act(*arguments)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def full(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """The disk takes half of a write, nothing that needs room, and lets everything be deleted."""
    if kind in ("unlink", "rmdir"):
        return act(*arguments)
    if kind == "write":
        act(*_half(arguments, kind))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def short(act: Callable[..., Any], arguments: tuple[Any, ...], kind: str) -> Any:
    """The system takes half of a write and says so."""
    return act(*_half(arguments, kind))


def _half(arguments: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    return (arguments[0][: (len(arguments[0]) + 1) // 2],) if kind == "write" else arguments


Fault = Callable[[Callable[..., Any], tuple[Any, ...], str], Any]
CRASHES: dict[str, Fault] = {"crash": crash, "torn": torn}
ERRORS: dict[str, Fault] = {"unreadable": unreadable, "unsure": unsure, "full": full}


class Disk:
    """Takes the place of `files.on_disk`: notes each change, and makes number `at` (from 0) fail, or all from it on."""

    def __init__(self, fault: Fault = as_it_is, at: int = 0, sticky: bool = False, within: str = "") -> None:
        """Only paths that hold `within` count."""
        self.fault = fault
        self.at = at
        self.sticky = sticky
        self.within = within
        self.changes: list[Change] = []
        self.dead = False

    def __call__(self, kind: str, path: Path, act: Callable[..., Any], *arguments: Any) -> Any:
        if self.dead:
            raise Crash
        if self.within not in str(path):
            return act(*arguments)
        number = len(self.changes)
        source = Path(arguments[0]) if kind == "rename" else None
        self.changes.append(Change(kind, path, source, bytes(arguments[0]) if kind == "write" else b""))
        chosen = number == self.at or (self.sticky and number > self.at)
        try:
            return self.fault(act, arguments, kind) if chosen else act(*arguments)
        except Crash:
            self.dead = True
            raise

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Disk":
        """Let the package write to this disk for the rest of a test."""
        monkeypatch.setattr(files, "on_disk", self)
        return self


def in_child(act: Callable[[], object]) -> int:
    """Run `act` in a copy of this process and return how that ended; a fault ends it without a word."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
