"""How far nested work is: each part tells its share of the work that it is a part of, to whoever listens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

T = TypeVar("T")
Hear = Callable[[float], object]

_hear: ContextVar[Hear | None] = ContextVar("hear", default=None)


@contextmanager
def heard(hear: Hear | None) -> Iterator[None]:
    """Let `hear` be told the share that is done, from 0 to 1, of what runs in the block; None: nobody is told."""
    token = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(token)


def parts(items: Sequence[T], costs: Sequence[float] | None = None) -> Iterator[T]:
    """The items one after the other: what is done with each is a part of the work at hand, as large as its cost.

    Without costs they are equal. Parts of what is done with an item divide its part.
    """
    hear = _hear.get()
    if hear is None:
        yield from items
        return
    costs, mine = costs or [1] * len(items), hear
    done, total = 0.0, sum(costs)
    try:
        for item, cost in zip(items, costs, strict=True):
            mine = partial(_within, hear, done / total, (done + cost) / total)
            _hear.set(mine)
            yield item
            done += cost
            hear(done / total)
    finally:
        # Of a loop that an error has ended, this may come late: when others are heard, or nobody is.
        if _hear.get() is mine:
            _hear.set(hear)


def _within(hear: Hear, begin: float, end: float, share: float) -> None:
    hear(begin + share * (end - begin))
