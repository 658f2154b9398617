"""Who a visitor is: a random cookie, a token that changing requests must show, and perhaps a password."""

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from competition.files import write_atomic

COOKIE, TOKEN = "owner", "X-Token"
_YEAR = 365 * 86400


class Owners:
    """Knows visitors again by cookies that this service has signed."""

    def __init__(self, state: Path, password: str | None) -> None:
        self.password = password
        self.secret = _secret(state / "secret")

    def recognise(self, request: Request) -> str | None:
        """The owner of a request, None for one that has no cookie of ours."""
        name, _, signature = request.cookies.get(COOKIE, "").partition(".")
        return name if hmac.compare_digest(signature.encode(), self._sign("owner", name).encode()) else None

    def welcome(self, response: Response, *, secure: bool) -> str:
        """Make a new owner, whom the cookie of the response names."""
        name = secrets.token_hex(16)
        value = f"{name}.{self._sign('owner', name)}"
        response.set_cookie(COOKIE, value, _YEAR, httponly=True, samesite="strict", secure=secure)
        return name

    def token(self, owner: str) -> str:
        """What an owner's changing requests must show: pages of ours hold it, pages of others cannot know it."""
        return self._sign("token", owner)

    def may_change(self, request: Request, owner: str) -> bool:
        shown = request.headers.get(TOKEN, "")
        return hmac.compare_digest(shown.encode(), self.token(owner).encode())

    def knows_password(self, request: Request) -> bool:
        """Whether a request has the password, by HTTP Basic under any name; True where none is set."""
        if self.password is None:
            return True
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True).partition(b":")[2]
        except ValueError:  # wrong Base64, or letters that are none of it
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self.password.encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self.secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _secret(path: Path) -> bytes:
    """The key of the service's signatures, made once; of several processes that make it, one wins."""
    if not path.exists():
        fresh = path.with_name(f".tmp_{secrets.token_hex(8)}")
        write_atomic(fresh, secrets.token_bytes(32))
        fresh.chmod(0o600)
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
