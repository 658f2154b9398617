"""Bring a file from the web: resumed where it was cut, limited in size, verified before it gets its name."""

import http.client
import os
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from competition.errors import BadCheckpoint
from competition.files import require_space, sha256
from competition.progress import progress

MAX_BYTES = 2 << 30
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""

# Not OSError: a full disk is no fault of the network. ValueError: an address or a header that makes no sense.
_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    ValueError,
)


def download(url: str, path: Path, expected: str | None) -> None:
    """Bring `url` to `path` through PATH.part, over as many connections as it takes while each brings something.

    `expected` is the SHA-256 in hexadecimal, where it is known. Raises BadCheckpoint when the server cannot be reached
    or sends another file, which is deleted; OSError or StorageError when the disk refuses.
    """
    part = path.with_name(f"{path.name}.part")
    complete = False
    while not complete:
        before = _size(part)
        try:
            _receive(url, part)
            complete = True
        except _NETWORK as error:
            if _size(part) <= before:
                cause = str(error).removeprefix("<urlopen error ").removesuffix(">") or type(error).__name__
                advice = f"Run again, or get {path.name} by other means, put it into {path.parent} and run again"
                raise BadCheckpoint(f"{url}: {cause}. {advice}") from error
    if expected and (found := sha256(part)) != expected:
        part.unlink()
        raise BadCheckpoint(f"{url}: SHA-256 is {found}, expected {expected}. Run again or use another --mirror")
    os.replace(part, path)


def _receive(url: str, part: Path) -> None:
    """Append what one connection brings to `part`; raises one of _NETWORK when that is not all there is."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        if error.headers.get("Content-Range") != f"bytes */{have}":
            part.unlink()
            _receive(url, part)
        return
    with response:
        # A server that does not know ranges answers with the whole file, which then replaces the part.
        have = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException("answers with another range than asked for")
        total = None if response.length is None else have + response.length
        _require_sane(url, total or 0)
        require_space(part.parent, (total or 0) - have)
        with open(part, "ab" if have else "wb") as file, progress() as bar:
            task = bar.add_task(f"bytes of {part.stem}", total=total, completed=have)
            while block := response.read(1 << 16):
                have += len(block)
                _require_sane(url, have)
                file.write(block)
                bar.update(task, completed=have)
    if total is not None and have < total:
        raise ConnectionError(f"cut off after {have:,} of {total:,} bytes")


def _require_sane(url: str, size: int) -> None:
    if size > MAX_BYTES:
        raise BadCheckpoint(f"{url}: larger than {MAX_BYTES:,} bytes. Check the address")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
