"""Work on items ahead of whoever takes them, in a thread, with a bounded number of them waiting."""

import contextlib
import threading
from collections.abc import Generator
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")
_WAITING = 3
_POLL = 0.1
_PATIENCE = 10.0  # seconds that the end of a thread is waited for, which may be amid a large picture


def ahead(items: Generator[T, None, None], waiting: int = _WAITING) -> Generator[T, None, None]:
    """The items of a generator, made in a thread while earlier ones are worked on; its errors are raised here.

    When the iterator is closed, the generator is closed too, in its own thread.
    """
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(waiting)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(Full):
                queue.put((item, error), timeout=_POLL)
                return True
        return False

    def work() -> None:
        error: BaseException = StopIteration()
        try:
            with contextlib.closing(items):
                for item in items:
                    if not put(item, None):
                        return
        except BaseException as raised:
            error = raised
        put(None, error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join(_PATIENCE)
