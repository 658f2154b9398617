"""HTTP/1.1 with patience that ends: a connection that does not come to a request in time is closed."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADERS = 15.0  # seconds from the opening of a connection to the end of its first request's headers


class Protocol(H11Protocol):
    """Uvicorn's own, which by itself waits for a first request for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(_HEADERS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None:
            self.transport.close()
