"""HTTP/1.1 with patience that ends: connections that come to no request in time are closed, endless answers end."""

import asyncio
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADERS = 15.0  # seconds from the opening of a connection, or its last answer, to the end of a request's headers


class Protocol(H11Protocol):
    """Uvicorn's own, which by itself waits for the rest of a request's headers for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._wait_no_more()
        self._deadline = self.loop.call_later(_HEADERS, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline:
            self._deadline.cancel()

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class Server(uvicorn.Server):
    """Uvicorn's own, which tells streams of events that it ends; by itself it waits for them, then breaks them off."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.closing = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)
