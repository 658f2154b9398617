"""Hostile requests and files: each is refused, none is a fault of ours or leaves a byte outside."""

import json
import zlib
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi")

import web_client
from web_client import TUS, Visitor

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
        "/files", headers={**visitor.headers, **{name: value for name, value in said.items() if value}}
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
    import logging

    from competition.web.logs import Lines

    record = logging.LogRecord("x", 20, "", 0, "request", (), None)
    record.fields = {"path": '/\n{"event": "forged"}'}
    line = Lines().format(record)
    assert "\n" not in line and json.loads(line)["path"] == '/\n{"event": "forged"}'
