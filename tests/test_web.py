"""The platform as its visitors and operators meet it, in one process: settings, uploads, pages."""

import base64
import errno
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from argparse import Namespace
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("fastapi")

import web_client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from web_client import TUS, Visitor, change, identity_of, owner_of, start

from competition.errors import UsageError
from competition.models import AnyScaleConfig
from competition.networks import PLAIN
from competition.web import choices, jobs, service, wording
from competition.web.__main__ import listen
from competition.web.pages import _changes
from competition.web.settings import Settings, read_settings
from competition.web.tables import CANCELLED, DONE, FAILED, QUEUED, RUNNING, UPLOADING, Job, Upload

# ---- settings -------------------------------------------------------------------------------------------------------


def test_flags_go_before_the_environment_and_that_before_the_defaults():
    environment = {"COMPETITION_WEB_PORT": "9000", "COMPETITION_WEB_QUOTA": "2GB", "COMPETITION_WEB_HOST": ""}
    settings = read_settings(Namespace(port="9001"), environment)
    assert (settings.port, settings.quota, settings.host) == (9001, 2 * 10**9, "127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_public_address_needs_a_password(host):
    with pytest.raises(UsageError, match=r"no password is set\. Set COMPETITION_WEB_PASSWORD"):
        read_settings(Namespace(host=host), {})
    assert read_settings(Namespace(host=host), {"COMPETITION_WEB_PASSWORD": "x"}).host == host


def test_wrong_settings_are_named_and_end_with_status_2(tmp_path):
    line = [sys.executable, "-m", "competition.web", "serve", "--port", "99999", "--quota", "many", "--data", tmp_path]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: port: " in done.stderr and "Change --quota or COMPETITION_WEB_QUOTA" in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "foo://me:secret@host/x", "postgresql+psycopg://me:secret@127.0.0.1:1/x"])
def test_a_wrong_database_or_queue_is_named_without_its_password(tmp_path, url):
    for wrong in ({"database": url}, {"queue": url}):
        with pytest.raises(UsageError, match=next(iter(wrong))) as raised:
            web_client.open_platform(tmp_path / "data", **wrong)
        assert len(raised.value.lines) == 1 and "secret" not in raised.value.lines[0]
        assert raised.value.lines[0].count("\n") == 0


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = [sys.executable, "-m", "competition.web", "serve", "--port", port, "--workers", "0", "--data", tmp_path]
        done = subprocess.run([*map(str, line)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and f"error: port: {port} on 127.0.0.1 cannot be listened on" in done.stderr


def test_answers_go_out_at_once():
    """Without TCP_NODELAY each answer of two writes waits 40 ms for the other side's receipt."""
    with listen(Settings(port=0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_scripts_are_kept_by_browsers_and_asked_about_and_pages_are_not_kept(visitor):
    kept = {path: visitor.http.get(path).headers["cache-control"] for path in ("/static/page.js", "/")}
    assert kept == {"/static/page.js": "no-cache", "/": "no-store"}


def test_a_network_is_offered_once_it_is_there_and_as_it_was_written_last(tmp_path):
    def scales(scale: int | None) -> dict[str, tuple[int, ...]]:
        path = tmp_path / "runs" / "mine" / "best.safetensors"
        if scale is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"w": np.zeros(1)}, path, {"competition": json.dumps({"model": {"name": "a", "scale": scale}})})
            os.utime(path, (scale, scale))
        return {name: one.scales for name, one in choices.networks(tmp_path).items() if name not in PLAIN}

    assert [scales(None), scales(2), scales(3)] == [{}, {"mine": (2,)}, {"mine": (3,)}]
    (tmp_path / "runs/mine/best.safetensors").unlink()
    (tmp_path / "runs/mine/best.safetensors").symlink_to("gone")
    assert scales(None) == {}


def test_choices_are_those_of_the_networks():
    assert set(choices.PLAIN) == set(PLAIN)
    assert set(choices.ANY_SCALE) == {config.model_fields["name"].default for config in get_args(AnyScaleConfig)}
    found = choices.networks(web_client.ROOT)
    assert found["mini_x4"].scales == (4,) and found["bicubic"] == choices.Network("bicubic", (2, 3, 4))


# ---- uploads --------------------------------------------------------------------------------------------------------


def test_an_upload_that_was_cut_off_goes_on_where_it_was(visitor, png):
    place = visitor.create("a.png", len(png)).headers["location"]
    assert visitor.patch(place, png[:1000], 0).headers["upload-offset"] == "1000"
    assert visitor.head(place).headers["upload-offset"] == "1000"
    assert visitor.files()[0]["state"] == "uploading"
    assert visitor.patch(place, png[1000:], 1000).headers["upload-offset"] == str(len(png))
    assert visitor.service.storage.content(place.rpartition("/")[2]).read_bytes() == png
    assert visitor.files()[0]["state"] == "looking"


def test_a_look_says_what_a_file_is_and_makes_its_thumbnail(visitor, png):
    identity = visitor.send("a.png", png)
    visitor.work()
    [found] = visitor.files()
    assert found["state"] == "ready" and (found["info"]["width"], found["info"]["height"]) == (96, 72)
    shown = visitor.http.get(f"/uploads/{identity}/thumbnail")
    assert shown.headers["content-type"] == "image/jpeg" and shown.content[:3] == b"\xff\xd8\xff"
    assert visitor.http.get(f"/uploads/{identity}/content").content == png


def test_what_is_no_picture_is_refused_and_nothing_of_it_stays(visitor):
    identity = visitor.send("page.png", b"<html><script>alert(1)</script>")
    visitor.work()
    [found] = visitor.files()
    assert found["state"] == "refused" and "page.png" in found["reason"]
    assert not visitor.service.storage.upload(identity).exists()
    assert visitor.http.get(f"/uploads/{identity}/content").status_code == 409


def test_every_rule_of_tus(visitor, png):
    asked = visitor.http.options("/files")
    assert asked.headers["tus-extension"] == "creation,checksum,termination,expiration"
    place = visitor.create("a.png", len(png)).headers["location"]
    assert visitor.patch(place, png, 5).status_code == 409  # not where it ends
    assert visitor.patch(place, png + b"x", 0).status_code == 413  # longer than promised
    assert visitor.patch(place, png, 0, **{"Content-Type": "image/png"}).status_code == 415
    assert visitor.patch(place, png, 0, **{"Tus-Resumable": "0.2"}).status_code == 412
    assert visitor.patch(place, png, 0, **{"Upload-Offset": "-1"}).status_code == 400
    assert visitor.head(place).headers["upload-offset"] == "0"
    with visitor.service.uploads.appending(visitor.service.uploads.find(owner_of(visitor), identity_of(place)), 0):
        assert visitor.patch(place, png, 0).status_code == 423  # another tab is at it
    assert "upload-expires" in visitor.head(place).headers
    assert visitor.ask("DELETE", place, headers=TUS).status_code == 204
    assert visitor.head(place).status_code == 404
    assert not list((visitor.service.storage.root / "uploads").iterdir())


@pytest.mark.parametrize("name", ["sha256", "sha1"])
def test_bytes_with_a_wrong_checksum_are_as_if_they_had_never_come(visitor, png, name):
    place = visitor.create("a.png", len(png)).headers["location"]
    right = base64.b64encode(hashlib.new(name, png[:500]).digest()).decode()
    assert visitor.patch(place, png[:400], 0, **{"Upload-Checksum": f"{name} {right}"}).status_code == 460
    assert visitor.head(place).headers["upload-offset"] == "0"
    assert visitor.patch(place, png[:500], 0, **{"Upload-Checksum": f"{name} {right}"}).status_code == 204
    assert visitor.patch(place, png[500:], 500, **{"Upload-Checksum": "crc99 AAAA"}).status_code == 400


def test_tables_of_postgresql_hold_large_sizes_and_are_asked_for_no_nul(visitor, monkeypatch):
    assert "size BIGINT" in str(CreateTable(Upload.__table__).compile(dialect=postgresql.dialect()))
    monkeypatch.setattr(visitor.service.uploads, "find", lambda owner, identity: pytest.fail("was asked for"))
    assert visitor.http.get("/uploads/%00/content").status_code == 404


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 3000), st.integers(-2, 2), st.booleans()), max_size=12))
def test_any_order_of_parts_gives_the_file_or_an_error(visitor, cuts):
    """Parts of any length, at offsets that are right or wrong, twice or not: what has arrived is a prefix."""
    content = bytes(range(256)) * 16
    place = visitor.create("a.png", len(content)).headers["location"]
    arrived = 0
    for length, slip, twice in cuts:
        for _ in range(1 + twice):
            part = content[arrived : arrived + length]
            status = visitor.patch(place, part, max(0, arrived + slip)).status_code
            right = max(0, arrived + slip) == arrived
            assert status == 204 if right else status in (409, 413)
            arrived += len(part) if right else 0
            assert visitor.head(place).headers["upload-offset"] == str(arrived)
    stored = visitor.service.storage.content(identity_of(place)).read_bytes()
    assert stored == content[:arrived]
    visitor.ask("DELETE", place, headers=TUS)


def test_room_is_asked_for_before_a_byte_is_read(tmp_path, monkeypatch):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", upload=1000, quota=1500, files=3))
    assert visitor.create("a.png", 1001).json()["error"] == "file too large"
    assert [visitor.create("a.png", 700).status_code for _ in range(3)] == [201, 201, 413]
    assert [visitor.create("a.png", 1).status_code for _ in range(2)] == [201, 413]
    other = Visitor(visitor.app)
    assert other.create("a.png", 700).status_code == 201  # others are not affected
    monkeypatch.setattr(visitor.service.storage, "free", lambda: 100)
    assert other.create("a.png", 101).status_code == 507
    assert visitor.service.storage.sweep() == 0


def test_an_upload_that_could_not_be_begun_is_none(visitor, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("competition.web.uploads.make_folder", full)
        assert visitor.create("a.png", 9).status_code == 507
    assert visitor.files() == [] and visitor.service.storage.used(owner_of(visitor)) == 0


def test_a_full_upload_is_looked_at_though_the_server_was_killed_before(visitor):
    place = visitor.create("a.png", 3).headers["location"]
    visitor.service.storage.content(identity_of(place)).write_bytes(b"abc")
    assert visitor.head(place).status_code == 200
    assert visitor.files()[0]["state"] == "looking"
    visitor.head(place)
    assert jobs.waiting(visitor.service.engine) == 1  # once


def test_uploads_expire(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", hours=1, days=2))
    unfinished, old, given_for_good = visitor.create("a.png", 9).headers["location"], visitor.have(), visitor.have()
    change(visitor, Upload, identity_of(unfinished), changed=time.time() - 3500)
    change(visitor, Upload, old, changed=time.time() - 2 * 86400 + 100)
    change(visitor, Upload, given_for_good, changed=0.0, consent=True)
    assert visitor.service.storage.expire() == 0
    change(visitor, Upload, identity_of(unfinished), changed=time.time() - 3700)
    os.utime(visitor.service.storage.content(identity_of(unfinished)), (0, 0))
    change(visitor, Upload, old, changed=time.time() - 2 * 86400 - 100)
    os.utime(visitor.service.storage.content(identity_of(unfinished)), (0, time.time() - 3700))
    assert visitor.service.storage.expire() == 2
    assert [found["id"] for found in visitor.files()] == [given_for_good]
    assert [path.name for path in (tmp_path / "data/uploads").iterdir()] == [given_for_good]


def test_files_that_a_merge_waits_for_do_not_expire(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", days=1))
    first, other, old = visitor.have("1.png"), visitor.have("2.png"), visitor.have("3.png")
    assert visitor.ask("POST", f"/uploads/{first}/merge", data={"others": other}).status_code == 202
    for identity in (first, other, old):
        change(visitor, Upload, identity, changed=0.0)
    assert visitor.service.storage.expire() == 1
    assert {found["id"] for found in visitor.files()} == {first, other}
    [job] = [job for found in visitor.files() for job in found["jobs"]]
    visitor.ask("POST", f"/jobs/{job['id']}/cancel")
    assert visitor.service.storage.expire() == 1


# ---- visitors -------------------------------------------------------------------------------------------------------


def test_nobody_sees_or_changes_what_is_anothers(app, png):
    mine, other = Visitor(app), Visitor(app)
    identity = mine.send("a.png", png)
    mine.work()
    start(mine, identity)
    [job] = mine.files()[0]["jobs"]
    assert other.files() == []
    unknown = "0" * 32
    for method, path in [
        ("GET", f"/uploads/{identity}/content"),
        ("GET", f"/uploads/{identity}/thumbnail"),
        ("GET", f"/rows/{identity}"),
        ("GET", f"/jobs/{job['id']}/result.png"),
        ("POST", f"/uploads/{identity}/enlarge"),
        ("POST", f"/jobs/{job['id']}/cancel"),
        ("DELETE", f"/jobs/{job['id']}"),
        ("DELETE", f"/uploads/{identity}"),
    ]:
        answer = other.ask(method, path)
        nothing = other.ask(method, path.replace(identity, unknown).replace(job["id"], unknown))
        assert answer.status_code == 404 and answer.content == nothing.content, path
    assert other.head(f"/files/{identity}").status_code == 404
    assert mine.files()[0]["state"] == "ready"


def test_a_change_needs_the_pages_token(visitor):
    identity = visitor.have()
    for token in ({}, {"X-Token": "0" * 64}, {"X-Token": b"\xe9"}):
        assert visitor.http.delete(f"/uploads/{identity}", headers=token).status_code == 403
    assert visitor.ask("DELETE", f"/uploads/{identity}").status_code == 200
    assert visitor.files() == []


def test_cookies_of_others_making_are_nobodys(app):
    forged = Visitor(app)
    forged.http.cookies.clear()
    for cookie in ("owner=" + "0" * 32, "owner=" + "0" * 32 + "." + "0" * 64, "owner=."):
        assert forged.http.get("/api/files", headers={"Cookie": cookie}).status_code == 404


def test_a_password_is_asked_for_everywhere_but_of_the_health_check(tmp_path):
    app = web_client.open_platform(tmp_path / "data", password="ö:pass", host="0.0.0.0")
    visitor = Visitor(app)
    assert visitor.http.get("/").status_code == 401 and visitor.http.get("/metrics").status_code == 401
    assert visitor.http.get("/healthz").status_code == 200
    right = {"Authorization": "Basic " + base64.b64encode("anyone:ö:pass".encode()).decode()}
    known = Visitor(app, **right)
    assert known.http.get("/").status_code == 200
    assert visitor.http.get("/", headers={"Authorization": "Basic ö".encode("latin-1")}).status_code == 401
    wrong = base64.b64encode(b"anyone:guess").decode()
    answers = [visitor.http.get("/", headers={"Authorization": f"Basic {wrong}"}).status_code for _ in range(22)]
    assert answers[0] == 401 and answers[-1] == 429
    assert visitor.http.get("/", headers=right).status_code == 429  # or guessing would go on unhindered
    assert known.http.get("/").status_code == 200  # who was here before is not shut out


# ---- pages ----------------------------------------------------------------------------------------------------------


def test_the_page_is_in_the_visitors_language(app):
    assert "Enlarge pictures and videos" in Visitor(app).http.get("/").text
    korean = Visitor(app, **{"Accept-Language": "ko-KR,ko;q=0.9,en;q=0.8"})
    assert 'lang="ko"' in korean.http.get("/").text and "사진과 동영상 업스케일" in korean.http.get("/").text
    korean.http.get("/language/en")
    assert 'lang="en"' in korean.http.get("/").text


def test_every_sentence_has_both_languages_and_every_key_a_sentence():
    folder = web_client.ROOT / "competition/web"
    sources = [*folder.glob("*.py"), *folder.glob("templates/*"), *folder.glob("static/page.js")]
    text = "\n".join(path.read_text() for path in sources)
    keys = set(re.findall(r"""say\(["']([a-z -]{3,})["']""", text)) | set(re.findall(r'Refused\(\d+, "([^"]+)"', text))
    keys |= set(re.findall(r'plain\(\d+, "([^"]+)"', text)) | {"crashed", *choices.OPERATIONS}
    keys |= {QUEUED, RUNNING, DONE, CANCELLED, FAILED, UPLOADING} - {FAILED}
    for key in keys:
        english, korean = (wording.say(language, key) for language in wording.LANGUAGES)
        assert english != korean and (english != key or " " not in key), key


def test_names_are_shown_as_text(visitor):
    visitor.have("<script>alert(1)</script>.png")
    page = visitor.http.get("/").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;.png" in page


@pytest.mark.parametrize(
    "name, shown",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\a.png", "a.png"),
        ("a\x00b\nc.png", "abc.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 300 + ".png", "x" * 200 + ".png"),
        ("a long name without an ending", "a long name without an ending"),
        ("", "file"),
        ("  ", "file"),
        ("사진.png", "사진.png"),
    ],
)
def test_names_keep_their_last_part_on_one_line(visitor, name, shown):
    visitor.create(name, 1)
    assert visitor.files()[0]["name"] == shown


def test_changes_come_as_events(visitor):
    """The whole list at first, then the rows that change."""
    import asyncio

    async def listen() -> list[str]:
        class Open:
            app = visitor.app

            async def is_disconnected(self) -> bool:
                return False

        stream = _changes(Open(), visitor.service, owner_of(visitor), "en")  # type: ignore[arg-type]
        heard = [await anext(stream), await anext(stream)]
        start(visitor, identity)
        heard.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return heard

    identity = visitor.have()
    retry, everything, change = asyncio.run(listen())
    assert retry.startswith("retry:") and '<ul id="files" hx-swap-oob="innerMorph"><li' in everything
    assert f'id="upload-{identity}"' in change and 'hx-swap-oob="outerMorph"' in change and "Waiting" in change
    assert all(line.startswith("data: ") for line in change.strip().split("\n"))


def pages_of(visitor: Visitor) -> list[list[str]]:
    """The uploads of each page, from the first on by the links to older ones."""
    found, place = [], "/"
    while place:
        page = visitor.http.get(place).text
        found.append(re.findall(r'data-upload="(\w+)"', page))
        [*older] = re.findall(r'rel="next" href="([^"]+)"', page)
        place = older[0] if older else ""
    return found


def test_older_files_are_on_later_pages(visitor, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 3)
    assert "<nav" not in visitor.http.get("/").text
    newest = [visitor.have(f"{number}.png") for number in range(7)][::-1]
    assert pages_of(visitor) == [newest[:3], newest[3:6], newest[6:]]
    second, third = (visitor.http.get(f"/?page={number}").text for number in (2, 3))
    assert 'rel="prev" href="/"' in second and 'rel="prev" href="/?page=2"' in third and 'rel="next"' not in third
    visitor.http.get("/language/ko")
    assert "더 오래된 파일" in visitor.http.get("/").text and "더 최근 파일" in visitor.http.get("/?page=3").text
    answer = visitor.ask("POST", f"/uploads/{newest[6]}/enlarge", data={"network": "bicubic"})
    assert f'id="upload-{newest[6]}"' in answer.text and answer.text.count('class="job queued"') == 1
    assert visitor.ask("DELETE", f"/uploads/{newest[6]}").status_code == 200
    assert pages_of(visitor) == [newest[:3], newest[3:6]]


def test_programs_get_pages_and_wrong_ones_are_refused(visitor, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 3)
    newest = [visitor.have(f"{number}.png") for number in range(5)][::-1]
    start(visitor, newest[4])
    first, second, third = (visitor.http.get("/api/files", params={"page": number}) for number in (1, 2, 3))
    assert [found["id"] for found in first.json()] == newest[:3] and first.json() == visitor.files()
    assert first.headers["link"] == '</api/files?page=2>; rel="next"' and "link" not in second.headers
    assert [(found["id"], len(found["jobs"])) for found in second.json()] == [(newest[3], 0), (newest[4], 1)]
    assert third.json() == []
    for wrong in ("0", "-1", "x", "", "1.5", "1e9", "9" * 30):
        for place in ("/", "/api/files", "/events"):
            answer = visitor.http.get(place, params={"page": wrong})
            assert (answer.status_code, answer.json()["error"]) == (422, "wrong option"), (place, wrong)
    told = visitor.http.get("/openapi.json").json()["paths"]["/api/files"]["get"]["parameters"]
    assert [(one["name"], one["schema"]["minimum"]) for one in told] == [("page", 1)]


def test_a_list_asks_for_its_page_and_the_jobs_of_that_only(visitor, monkeypatch):
    monkeypatch.setattr(service, "PAGE", 2)
    for number in range(5):
        start(visitor, visitor.have(f"{number}.png"))
    asked: list[tuple[str, Any]] = []
    event.listen(visitor.service.engine, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
    assert len(visitor.files()) == 2
    assert len(asked) == 2
    with visitor.service.engine.connect() as connection:
        found = [connection.exec_driver_sql(*query).all() for query in asked[:2]]
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {line}", values).all()) for line, values in asked[:2]
        ]
    assert [len(one) for one in found] == [3, 2]  # a page and one more, to know of older ones; the jobs of the page
    assert "newest" in plans[0] and "ix_jobs_upload" in plans[1] and "SCAN" not in str(plans)


def test_events_are_those_of_the_page_that_is_open(visitor, monkeypatch):
    import asyncio

    monkeypatch.setattr(service, "PAGE", 2)
    old, *newer = [visitor.have(f"{number}.png") for number in range(3)]

    async def listen(page: int) -> list[str]:
        class Open:
            app = visitor.app

            async def is_disconnected(self) -> bool:
                return False

        stream = _changes(Open(), visitor.service, owner_of(visitor), "en", page)  # type: ignore[arg-type]
        heard = [await anext(stream), await anext(stream)]
        for identity in (old, newer[0]) if page == 1 else (newer[0], old):
            start(visitor, identity)
        heard.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return heard[1:]

    for page, mine, others in ((1, newer, [old]), (2, [old], newer)):
        everything, change = asyncio.run(listen(page))
        assert all(f'id="upload-{one}"' in everything for one in mine) and 'id="pages"' in everything
        assert f'id="upload-{mine[0]}"' in change and 'hx-swap-oob="outerMorph"' in change
        assert not any(f'id="upload-{one}"' in everything + change for one in others)


@pytest.mark.parametrize("language", wording.LANGUAGES)
def test_a_name_is_no_script_of_a_question(app, language):
    """What begins with js: htmx would run instead of asking."""
    visitor = Visitor(app, **{"Accept-Language": language})
    visitor.have("js:alert(1).png")
    [asked] = re.findall(r'hx-confirm="([^"]*)"', visitor.http.get("/").text)
    assert "js:alert(1).png" in asked and not asked.startswith("js:")


def test_a_result_is_not_deleted_by_a_click_meant_for_cancelling(visitor):
    """At the end of a job the one button takes the other's place."""
    identity = visitor.have()
    start(visitor, identity)
    start(visitor, identity)
    made, failed = (job["id"] for job in visitor.files()[0]["jobs"])
    change(visitor, Job, made, state=DONE, result={"files": [{"name": "result.zip", "bytes": 3}], "bytes": 3})
    change(visitor, Job, failed, state=FAILED, reason="crashed")
    buttons = {job: re.search(rf'hx-delete="/jobs/{job}".*', visitor.http.get("/").text)[0] for job in (made, failed)}
    assert "hx-confirm" in buttons[made] and "hx-confirm" not in buttons[failed]


def test_answers_carry_strict_headers(visitor):
    for path in ("/", "/healthz", "/nowhere", "/static/page.js", f"/uploads/{visitor.have()}/content"):
        headers = visitor.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
    assert "sandbox" in headers["content-security-policy"]


def test_the_pages_about_the_service(visitor):
    visitor.have()
    assert visitor.http.get("/healthz").json()["well"] is True
    figures = visitor.http.get("/metrics").text
    assert 'web_uploads{state="ready"} 1.0' in figures and "web_request_seconds_bucket" in figures
    assert "PATCH /files/{identity}" in visitor.http.get("/docs").text
    assert "/uploads/{identity}/{operation}" in visitor.http.get("/openapi.json").json()["paths"]


def test_nothing_is_asked_of_other_servers():
    """No page, script or style of ours names a host: a browser asks this service only."""
    folder = web_client.ROOT / "competition/web"
    ours = [*folder.glob("templates/*"), folder / "static/page.js", folder / "static/style.css"]
    links = re.findall(
        r"""(?:src|href|from|url\()\s*=?\s*["'(]?(https?:)?//""", "\n".join(path.read_text() for path in ours)
    )
    assert len(links) == 1  # the text of the API's page links to the description of tus
