"""The queues that wake workers: Huey over SQLite, or over Redis where several machines work."""

import contextlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message
from redis import RedisError

from competition.errors import UsageError
from competition.web.logs import log
from competition.web.settings import Settings


class Plain:
    """Messages as JSON: what comes out of a queue can then be no code, as it could with Huey's pickles."""

    def serialize(self, message: Any) -> bytes:
        return json.dumps(list(message)).encode()

    def deserialize(self, data: bytes) -> Any:
        return Message(*json.loads(data))


class Queue:
    """The queue of a lane: a message says that one more job waits, and calls `work` in a worker.

    Which job that is, the table knows. So a message that is lost, or comes twice, does no harm, nor does a queue that
    is away for a while.
    """

    def __init__(self, huey: Huey, work: Callable[[], None]) -> None:
        self.huey = huey
        self._send = huey.task(name="work")(work)

    def wake(self) -> None:
        """Send a message."""
        with _perhaps_away():
            self._send()

    def remind(self) -> None:
        """Send a message unless there is one that nobody has taken yet."""
        with _perhaps_away():
            if not self.huey.pending_count():
                self._send()


@contextlib.contextmanager
def _perhaps_away() -> Iterator[None]:
    try:
        yield
    except (RedisError, sqlite3.Error, OSError) as error:
        log("queue does not answer", logging.WARNING, cause=str(error))


def open_queue(settings: Settings, lane: str, work: Callable[[], None] | None = None) -> Queue:
    """The queue of a lane, for a worker with what it does, for others without; raises UsageError for a wrong URL."""
    huey = _open(settings, f"competition-{lane}")
    return Queue(huey, work or _nothing)


def _open(settings: Settings, name: str) -> Huey:
    url = settings.queue
    if not url:
        file = str(settings.data.resolve() / "state" / "queue.sqlite")
        return SqliteHuey(name, filename=file, results=False, serializer=Plain())
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise UsageError(f"queue: {url} is no queue. Give redis://HOST:6379/0, or leave it out for SQLite")
    return RedisHuey(name, url=url, results=False, serializer=Plain())


def _nothing() -> None:
    """What the page registers: it asks for work and never does it."""


_nothing.__module__ = "competition.web.worker"
