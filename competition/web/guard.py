"""What every request must satisfy before a route sees it, and what every answer carries."""

import asyncio
import ipaddress
import logging
import time
from collections import deque
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from competition.web.logs import log
from competition.web.service import Service
from competition.web.wording import plain

_BODY = 1 << 20  # bytes of a request that is no upload
_HEADERS = 1 << 14  # bytes of a request's headers
_IDLE = 30.0  # seconds without a byte of it
_GUESSES = 20  # wrong passwords a minute, of everybody together
_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = "/healthz"  # asked by machines that have no password

CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses what comes from other sites, under other names, too large or without password; notes every answer."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service
        self.wrong: deque[float] = deque(maxlen=_GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        noted = _Noted(self.service, scope, send)
        try:
            refusal = self._refusal(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, noted)
            else:
                await self.app(scope, _limited(scope, receive), noted)
        except TooLarge:
            await noted.answer(plain(413, "file too large"), receive)
        except TooSlow:
            await noted.answer(plain(408, "too slow"), receive)
        except Exception:
            log("request failed", logging.ERROR, path=scope["path"])
            await noted.answer(plain(500, "our fault"), receive)
        return None

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that goes no further, None for one that may."""
        if sum(len(name) + len(value) for name, value in request.headers.raw) > _HEADERS:
            return plain(431, "headers too large")
        if not self._is_ours(request.headers.get("host", "")):
            return plain(421, "wrong host")
        if request.method not in _SAFE and not _from_here(request):
            return plain(403, "from another site")
        if _length(request.headers) > _BODY and not _is_upload(request.scope):
            return plain(413, "file too large")
        if "\0" in request.scope["path"]:  # which PostgreSQL takes in no text
            return plain(404, "not found")
        return None if request.scope["path"] == _OPEN else self._ask(request)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host is a name of this server, or an address: what turns a foreign name to it is neither."""
        try:
            name = urlsplit(f"//{host}")
            hostname, _ = name.hostname or "", name.port
        except ValueError:
            return False
        if hostname in self.service.settings.hosts:
            return True
        try:
            return bool(ipaddress.ip_address(hostname))
        except ValueError:
            return False

    def _ask(self, request: Request) -> Response | None:
        """401 without the password; 429 when there were many wrong guesses within a minute, even for a right one.

        Not so for visitors whom a cookie shows to have had it before: nobody's guessing shuts them out.
        """
        owners, now = self.service.owners, time.monotonic()
        guessed = "authorization" in request.headers and owners.password is not None
        if guessed and owners.recognise(request) is None and len(self.wrong) == _GUESSES and now - self.wrong[0] < 60:
            return plain(429, "too many guesses", {"Retry-After": "60"})
        if owners.knows_password(request):
            return None
        if guessed:
            self.wrong.append(now)
        return plain(401, "password lacks", {"WWW-Authenticate": 'Basic realm="competition", charset="UTF-8"'})


class TooLarge(Exception):
    """A body that is longer than any of ours."""


class TooSlow(Exception):
    """A body that does not come."""


def _from_here(request: Request) -> bool:
    """Whether a changing request comes from a page of ours, or from no page at all."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin: str | None = request.headers.get("origin")
    host: str = request.headers.get("host", "")
    return origin is None or origin.lower().partition("://")[2] == host.lower()


def _is_upload(scope: Scope) -> bool:
    return bool(scope["method"] == "PATCH" and scope["path"].startswith("/files/"))


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _limited(scope: Scope, receive: Receive) -> Receive:
    """The request's body, which ends in TooLarge beyond the limit, whatever its header promised, and in TooSlow."""
    if _is_upload(scope) or scope["method"] in _SAFE:
        return receive
    count, more = 0, True

    async def limited() -> Message:
        nonlocal count, more
        try:
            message = await asyncio.wait_for(receive(), _IDLE if more else None)
        except asyncio.TimeoutError as error:
            raise TooSlow from error
        count, more = count + len(message.get("body", b"")), message.get("more_body", False)
        if count > _BODY:
            raise TooLarge
        return message

    return limited


class _Noted:
    """Sends an answer with our headers, and notes it once it begins."""

    def __init__(self, service: Service, scope: Scope, send: Send) -> None:
        self.service, self.scope, self.send = service, scope, send
        self.began, self.time = False, time.monotonic()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(scope=message)
            if self.scope["path"].startswith("/static/"):
                headers.setdefault("Cache-Control", "no-cache")  # kept, and asked about
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            self._note(message["status"])
        await self.send(message)

    async def answer(self, response: Response, receive: Receive) -> None:
        """Answer instead of the route, unless that has begun to."""
        if not self.began:
            await response(self.scope, receive, self)

    def _note(self, status: int) -> None:
        method, path, seconds = self.scope["method"], self.scope["path"], time.monotonic() - self.time
        route = getattr(self.scope.get("route"), "path", "none")
        known = method if method in (*_SAFE, "POST", "PATCH", "PUT", "DELETE") else "other"
        self.service.figures.note(known, route, status, seconds)
        if route not in ("/static", _OPEN):
            log("request", method=method, path=path, status=status, seconds=round(seconds, 4))
