"""Hostile requests and files: each is refused, none is a fault of ours or leaves a byte outside."""

import contextlib
import io
import json
import logging
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import drawn
import pytest

pytest.importorskip("fastapi")

import web_client
from web_client import TUS, Visitor

from competition.images import encode_png
from competition.web.logs import Lines

UNKNOWN = "0" * 32
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ENLARGE = "/uploads/ID/enlarge"
Ask = Callable[[Visitor, str], object]


def _get(path: str, **headers: str) -> Ask:
    return lambda visitor, identity: visitor.http.get(path.replace("ID", identity), headers=headers)


def _ask(method: str, path: str, **more: object) -> Ask:
    return lambda visitor, identity: visitor.ask(method, path.replace("ID", identity), **more)


def _tus(**headers: str) -> Ask:
    """A creation with these headers in the place of right ones."""
    said = {**TUS, "Upload-Length": "9", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return lambda visitor, identity: visitor.http.post(
        "/files", headers={**visitor.headers, **{name: value.encode("latin-1") for name, value in said.items() if value}}
    )


# What is asked, and the statuses that are right.
REQUESTS: dict[str, tuple[Ask, set[int]]] = {
    "foreign host": (_get("/", Host="evil.example"), {421}),
    "rebound host with port": (_get("/", Host="evil.example:8000"), {421}),
    "empty host": (_get("/", Host=""), {421}),
    "host that is no host": (_get("/", Host="[::1"), {421}),
    "host with a port that is none": (_get("/", Host="localhost:99999999"), {421}),
    "foreign origin": (_ask("DELETE", "/uploads/ID", headers={"Origin": "https://evil.example"}), {403}),
    "null origin": (_ask("DELETE", "/uploads/ID", headers={"Origin": "null"}), {403}),
    "origin of another port": (_ask("DELETE", "/uploads/ID", headers={"Origin": "http://localhost:81"}), {403}),
    "cross-site fetch": (_ask("DELETE", "/uploads/ID", headers={"Sec-Fetch-Site": "cross-site"}), {403}),
    "same-site fetch": (_ask("POST", ENLARGE, headers={"Sec-Fetch-Site": "same-site"}), {403}),
    "preflight from elsewhere": (
        lambda visitor, identity: visitor.http.options(
            "/files", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        ),
        {204},
    ),
    "no token": (lambda visitor, identity: visitor.http.delete(f"/uploads/{identity}"), {403}),
    "wrong token": (_ask("DELETE", "/uploads/ID", headers={"X-Token": "0" * 64}), {403}),
    "method override": (_get("/uploads/ID", **{"X-HTTP-Method-Override": "DELETE"}), {405}),
    "path with dots": (_get("/static/../settings.py"), {404}),
    "path with encoded dots": (_get("/static/%2e%2e/settings.py"), {404}),
    "path with double encoded dots": (_get("/static/%252e%252e/settings.py"), {404}),
    "path with a backslash": (_get("/static/..%5csettings.py"), {404}),
    "path with a NUL": (_get("/static/%00"), {404}),
    "file of a job by dots": (_get(f"/jobs/{UNKNOWN}/..%2f..%2fstate%2fsecret"), {404}),
    "id that is a path": (_get("/uploads/..%2f..%2fstate/content"), {404}),
    "id that is SQL": (_get("/uploads/' OR 1=1 --/content"), {404}),
    "id of thousands of letters": (_get(f"/uploads/{'a' * 5000}/content"), {404}),
    "id with a NUL": (_get("/uploads/%00/content"), {404}),
    "id guessed": (_get(f"/uploads/{UNKNOWN}/content"), {404}),
    "operation that is none": (_ask("POST", "/uploads/ID/__class__"), {404}),
    "network that is a path": (_ask("POST", ENLARGE, data={"network": "/etc/passwd"}), {422}),
    "network that is a URL": (_ask("POST", ENLARGE, data={"network": "http://evil.example/x"}), {422}),
    "option not finite": (_ask("POST", ENLARGE, data={"strength": "inf"}), {422}),
    "option twice": (_ask("POST", ENLARGE, data={"scale": ["2", "junk"]}), {422}),
    "form of 10,000 parts": (
        _ask("POST", ENLARGE, data={f"k{number}": "v" for number in range(10_000)}),
        {400, 413, 422},
    ),
    "form with a file": (_ask("POST", ENLARGE, files={"network": ("x", b"x")}), {400, 422}),
    "form that is no form": (
        _ask("POST", ENLARGE, content=b"\xff" * 99, headers={"Content-Type": "multipart/form-data"}),
        {400, 422},
    ),
    "body of 2 MB where none belongs": (_ask("POST", ENLARGE, content=b"x" * 2_000_000), {413}),
    "body without length, 2 MB": (
        _ask(
            "POST",
            ENLARGE,
            content=iter([b"x" * 500_000] * 4),
            headers=FORM,
        ),
        {413},
    ),
    "compressed request": (
        _ask("POST", ENLARGE, content=zlib.compress(b"x" * 10**6), headers={"Content-Encoding": "deflate"}),
        {202, 400, 415, 422},
    ),
    "merge with a hundred thousand": (
        _ask(
            "POST",
            "/uploads/ID/merge",
            content=f"others={UNKNOWN}&" * 10_001,
            headers=FORM,
        ),
        {400, 413, 422},
    ),
    "merge with another's": (_ask("POST", "/uploads/ID/merge", data={"others": UNKNOWN}), {404}),
    "upload without length": (_tus(Upload_Length=""), {400}),
    "upload of negative length": (_tus(Upload_Length="-1"), {400}),
    "upload of deferred length": (_tus(Upload_Length="", Upload_Defer_Length="1"), {400}),
    "upload of 10^30 bytes": (_tus(Upload_Length=str(10**30)), {400}),
    "upload of 10^17 bytes": (_tus(Upload_Length=str(10**17)), {413}),
    "upload of ³ bytes": (_tus(Upload_Length="3" + "0" * 5000), {400}),
    "upload of another tus": (_tus(Tus_Resumable="9.9.9"), {412}),
    "metadata that is no Base64": (_tus(Upload_Metadata="filename ***"), {400}),
    "metadata beyond ASCII": (_tus(Upload_Metadata="filename \xe9"), {400}),
    "checksum beyond ASCII": (
        lambda visitor, identity: visitor.patch(
            f"/files/{identity}", b"", 3, **{"Upload-Checksum": "sha256 \xe9".encode("latin-1")}
        ),
        {400},
    ),
    "metadata that is no UTF-8": (_tus(Upload_Metadata="filename //79"), {201}),
    "part for nobody's upload": (
        lambda visitor, identity: visitor.patch(f"/files/{UNKNOWN}", b"x", 0),
        {404},
    ),
    "part beyond the end": (
        lambda visitor, identity: visitor.patch(f"/files/{identity}", b"x" * 10, 3),
        {413},
    ),
    "part for a whole upload": (lambda visitor, identity: visitor.patch(f"/files/{identity}", b"x", 0), {409}),
    "range bomb": (_get("/uploads/ID/content", Range="bytes=" + ",".join(["0-2"] * 500)), {200, 206, 400, 416}),
    "range beyond": (_get("/uploads/ID/content", Range="bytes=99-"), {416}),
    "range of letters": (_get("/uploads/ID/content", Range="bytes=a-b"), {200, 206, 400, 416}),
    "language that is none": (_get("/language/..%2f"), {200, 404}),
    "language that splits headers": (_get("/language/en%0d%0aSet-Cookie:x=y"), {200, 404}),
    "cookie of 4 kB": (_get("/api/files", Cookie="owner=" + "a" * 4000), {404}),
    "headers of 20 kB": (_get("/", X="a" * 20_000), {431}),
    "log injection": (_get('/%0a{"event": "forged"}'), {404}),
    "websocket": (_get("/events", Upgrade="websocket", Connection="Upgrade", Cookie=""), {404}),
    "method that is none": (lambda visitor, identity: visitor.http.request("BREW", "/"), {405, 403}),
    "answer as JSON of a page": (_get("/", Accept="application/json"), {200}),
}


@pytest.fixture(scope="module")
def visitor(tmp_path_factory) -> Visitor:
    return Visitor(web_client.open_platform(tmp_path_factory.mktemp("hostile") / "data"))


def test_there_are_sixty_of_them():
    assert len(REQUESTS) >= 60


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_is_refused_and_is_no_fault_of_ours(visitor, name, caplog):
    ask, allowed = REQUESTS[name]
    identity = visitor.have()
    answer = ask(visitor, identity)
    assert answer.status_code in allowed, answer.text[:500]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert visitor.service.storage.content(identity).read_bytes() == b"abc"
    data = visitor.service.storage.root
    assert {path.name for path in data.parent.iterdir()} == {"data"}
    assert {path.name for path in data.iterdir()} <= {"uploads", "jobs", "state", "harvest"}


def test_logs_are_one_object_a_line_whatever_is_asked():
    record = logging.LogRecord("x", 20, "", 0, "request", (), None)
    record.fields = {"path": '/\n{"event": "forged"}'}
    line = Lines().format(record)
    assert "\n" not in line and json.loads(line)["path"] == '/\n{"event": "forged"}'


# ---- files ----------------------------------------------------------------------------------------------------------


def _hostile_files(address: str, canary: Path) -> dict[str, tuple[str, bytes]]:
    """Names and contents that would make a careless decoder open something else, fill the memory, or run a script."""
    png = encode_png(drawn.texture(0, 16, 16))
    url = f"http://{address}/x"
    playlist = f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{url}\n#EXT-X-ENDLIST\n".encode()
    local = f"#EXTM3U\n#EXTINF:10.0,\nfile://{canary}\n#EXT-X-ENDLIST\n".encode()
    header = struct.pack(">II", 60000, 60000) + b"\x08\x02\0\0\0"
    checked = b"IHDR" + header
    bomb = png[:8] + struct.pack(">I", 13) + checked + struct.pack(">I", zlib.crc32(checked)) + png[33:]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../evil.txt", "evil")
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/><script>alert(1)</script></svg>'.encode()
    dash = f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>'.encode()
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + b"\0" * 6
    moov = struct.pack(">I", 2**31 - 1) + b"moov" + b"\0" * 64
    return {
        "playlist named mp4": ("a.mp4", playlist),
        "playlist of a local file named mkv": ("a.mkv", local),
        "playlist under its own name": ("a.m3u8", playlist),
        "list of parts": ("a.mp4", f"ffconcat version 1.0\nfile {url}\n".encode()),
        "list of local parts": ("a.wmv", f"ffconcat version 1.0\nfile {canary}\n".encode()),
        "session description": ("a.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        "DASH manifest": ("a.mp4", dash),
        "playlist behind a film's beginning": ("a.mp4", struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2" + playlist),
        "SVG that fetches": ("a.svg", svg),
        "SVG named png": ("a.png", svg),
        "page named jpg": ("a.jpg", b"<html><script>alert(1)</script></html>"),
        "zip named png": ("a.png", packed.getvalue()),
        "picture named php": ("a.png.php", png),
        "picture named jpg": ("a.jpg", png),
        "picture without ending": ("png", png),
        "picture named like a device": (".htaccess", png),
        "picture cut off": ("a.png", png[: len(png) // 2]),
        "picture of 60000 by 60000": ("a.png", bomb),
        "GIF of 65535 by 65535": ("a.gif", gif),
        "film whose index is two gigabytes": ("a.mp4", moov),
        "Matroska of nothing": ("a.mkv", b"\x1aE\xdf\xa3" + b"\xff" * 200),
        "WMV of nothing": ("a.wmv", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + b"\xff" * 200),
        "RIFF of nothing": ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\xff" * 100),
        "BMP of minus one": (
            "a.bmp",
            b"BM" + struct.pack("<IIIIiiHH", 99, 0, 54, 40, -1, -(2**31), 1, 24) + b"\0" * 50,
        ),
        "nothing": ("a.png", b""),
    }


@pytest.mark.slow
def test_hostile_files_are_refused_without_a_connection_or_a_canarys_bytes(tmp_path):
    canary = tmp_path / "canary.txt"
    canary.write_bytes(b"the canary's bytes " * 500)
    visitor, heard = Visitor(web_client.open_platform(tmp_path / "data")), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_listen, args=(listener, heard), daemon=True).start()
        files = _hostile_files(f"127.0.0.1:{listener.getsockname()[1]}", canary)
        for name, content in files.values():
            visitor.send(name, content) if content else visitor.create(name, 0)
        visitor.work()
        states = {found["name"] + found["reason"]: found["state"] for found in visitor.files()}
    assert len(visitor.files()) == len(files) and set(states.values()) == {"refused"}, states
    assert heard == []
    data = tmp_path / "data"
    assert not [path for path in data.rglob("*") if path.is_file() and b"canary's" in path.read_bytes()]
    assert list((data / "uploads").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"data", "canary.txt"}
    assert str(data) not in "".join(states)  # no path of this machine in what the visitor reads


def _listen(listener: socket.socket, heard: list[object]) -> None:
    with contextlib.suppress(OSError):
        while True:
            heard.append(listener.accept())


# ---- connections ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, int]]:
    """Host and port of a real page process."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "competition.web", "serve", "--workers", "0", "--port", str(port), "--data", folder]
    environment = {**os.environ, "PYTHONPATH": str(web_client.ROOT)}
    process = subprocess.Popen([*map(str, line)], stderr=subprocess.DEVNULL, env=environment)
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    yield "127.0.0.1", port
    process.terminate()
    process.wait(20)


def _say(server: tuple[str, int], said: bytes, wait: float = 5) -> bytes:
    """What the server answers to these bytes, until it closes or says no more."""
    with socket.create_connection(server, wait) as line:
        with contextlib.suppress(ConnectionError):
            line.sendall(said)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while part := line.recv(65536):
                answer += part
        return answer


def _is_well(server: tuple[str, int]) -> bool:
    return b"200 OK" in _say(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


RAW = {
    "no HTTP": b"\x16\x03\x01\x02\x00" + b"\xff" * 100 + b"\r\n\r\n",
    "headers of 100 kB": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "10,000 headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    "two lengths": b"POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": b"POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "line break in a name": b"GET / HTTP/1.1\r\nHost: localhost\r\nX\nY: a\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "address of a proxy": b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "connect": b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "chunk of FFFFFFFFFFFFFFFF": b"POST /files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"FFFFFFFFFFFFFFFF\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RAW)
def test_bytes_that_are_no_request_are_refused(server, name):
    answer = _say(server, RAW[name])
    assert not answer or answer.split(b" ")[1] in (b"400", b"403", b"404", b"412", b"413", b"421", b"431"), answer[:200]
    assert _is_well(server)


@pytest.mark.slow
def test_idle_connections_are_closed_and_keep_nobody_out(server):
    _, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, ceiling), ceiling))
    idle = [socket.create_connection(server, 5) for _ in range(1200)]
    for line in idle[:100]:
        line.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    for line in idle[100:200]:  # a whole request, and the half of another
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not line.recv(65536).endswith(b"}"):
            pass
        line.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    assert _is_well(server)
    deadline = time.monotonic() + 60
    for line in idle:
        line.settimeout(max(0.1, deadline - time.monotonic()))
        assert line.recv(1) == b"", "still open"
        line.close()


@pytest.mark.slow
def test_no_request_that_the_openapi_document_allows_is_a_fault_of_ours(tmp_path):
    """What schemathesis draws from the document, valid and not: no answer is a 500."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    visitor = Visitor(web_client.open_platform(tmp_path / "data"))
    schema = schemathesis.openapi.from_dict(visitor.http.get("/openapi.json").json())
    identity = visitor.have()
    for operation in (found.ok() for found in schema.get_all_operations()):
        if operation.path == "/events":  # never ends
            continue

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case):
            path = case.formatted_path
            for known in (path, path.replace(str(case.path_parameters.get("identity")), identity)):
                answer = visitor.ask(case.method, known, headers={**(case.headers or {}), **TUS})
                assert answer.status_code < 500, (case.method, known, answer.text)

        ask()
