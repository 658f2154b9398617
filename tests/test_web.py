"""The platform as its visitors and operators meet it, in one process: settings, uploads, jobs, pages, learning."""

import base64
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import drawn
import numpy as np
import pytest

pytest.importorskip("fastapi")

import psutil
import web_client
import web_jobs
from film_files import make_film
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sqlalchemy import event, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from web_client import TUS, Visitor

from competition.data.pairs import find_pairs
from competition.errors import UsageError
from competition.images import encode_png, read_rgb
from competition.models import AnyScaleConfig
from competition.networks import PLAIN
from competition.web import choices, jobs, service, wording
from competition.web import harvest as harvesting
from competition.web.__main__ import listen
from competition.web.app import create_app
from competition.web.harvest import harvest
from competition.web.pages import _changes
from competition.web.runner import Runner
from competition.web.settings import Settings, read_settings
from competition.web.tables import CANCELLED, DONE, FAILED, LONG, QUEUED, QUICK, RUNNING, UPLOADING, Job, Upload


@pytest.fixture
def app(tmp_path):
    return web_client.open_platform(tmp_path / "data")


@pytest.fixture
def visitor(app):
    return Visitor(app)


@pytest.fixture(scope="module")
def png():
    return encode_png(drawn.texture(1, 72, 96))


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


# ---- jobs -----------------------------------------------------------------------------------------------------------


def test_a_job_is_claimed_once_and_an_old_attempt_says_nothing_more(visitor):
    engine = visitor.service.engine
    start(visitor, visitor.have())
    first = jobs.claim(engine, LONG, "elsewhere:1:1")
    assert first and jobs.claim(engine, LONG, "elsewhere:2:1") is None
    assert jobs.beat(engine, first, 0.5)
    change(visitor, Job, first.id, heartbeat=time.time() - 11)
    assert jobs.recover(engine, 10, 5) == 1
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    assert second and second.id == first.id and second.attempt == 2
    assert not jobs.beat(engine, first, 0.9) and not jobs.finish(engine, first, {}) and not jobs.fail(engine, first, "")
    assert jobs.finish(engine, second, {"files": []})
    assert visitor.files()[0]["jobs"][0]["state"] == DONE


def test_time_left_is_told_by_how_fast_this_attempt_goes(visitor):
    def told() -> str:
        found = re.search("([0-9:]+ ?s?) left", visitor.http.get("/").text)
        return found[1] if found else ""

    engine = visitor.service.engine
    start(visitor, visitor.have())
    first = jobs.claim(engine, LONG, "elsewhere:1:1")
    jobs.beat(engine, first, 0.5)
    change(visitor, Job, first.id, resumed=time.time() - 60, started=time.time() - 60)
    assert told() in ("1:00", "59 s")
    jobs.recover(engine, patience=-1, attempts=5)
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    assert told() == ""
    jobs.beat(engine, second, 0.6)
    change(visitor, Job, first.id, resumed=time.time() - 30)
    assert told() in ("2:00", "1:59")


def test_an_attempt_that_begins_anew_tells_the_time_left_once_it_is_where_the_last_one_was(visitor):
    """A picture has nothing to go on from: what it does again says nothing of the rate at which it goes on."""
    engine = visitor.service.engine
    start(visitor, visitor.have())
    jobs.beat(engine, jobs.claim(engine, LONG, "elsewhere:1:1"), 0.5)
    jobs.recover(engine, patience=-1, attempts=5)
    second = jobs.claim(engine, LONG, "elsewhere:2:1")
    change(visitor, Job, second.id, resumed=time.time() - 50)
    jobs.beat(engine, second, 0.499)
    assert not re.search("[0-9] ?s? left", visitor.http.get("/").text)
    change(visitor, Job, second.id, resumed=Job.resumed - 10)
    jobs.beat(engine, second, 0.6)
    assert re.search("(40|39|38) s left", visitor.http.get("/").text)


@pytest.mark.parametrize("quota, state", [(15, DONE), (14, FAILED), (4, FAILED)])
def test_a_job_makes_no_more_than_its_owner_has_room_for(tmp_path, quota, state):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", quota=quota))
    start(visitor, visitor.have())  # 3 bytes, of which 12 are made
    engine, storage = visitor.service.engine, visitor.service.storage
    job = jobs.claim(engine, LONG, jobs.name_of())
    Runner(engine, storage, lambda: False).run(job, web_jobs.write_chunks)
    [found] = visitor.files()[0]["jobs"]
    assert found["state"] == state
    if state == FAILED:
        assert f"more than the {quota - 3} bytes that are left" in found["reason"]
        assert not storage.job(job.id).exists()


def test_a_worker_outlives_a_table_that_is_away(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data"))
    flags = ["--data", tmp_path / "data", "--networks", web_client.ROOT]
    log = tmp_path / "log"

    def rename(old: str, new: str) -> None:
        with visitor.service.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def until(true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end and worker.poll() is None, log.read_text()
            time.sleep(0.1)

    command = [sys.executable, "-m", "competition.web", "work", *map(str, flags)]
    with open(log, "w") as lines, subprocess.Popen(command, stderr=lines, stdin=subprocess.DEVNULL) as worker:
        try:
            until(lambda: "worker begins" in log.read_text())
            rename("jobs", "away")
            until(lambda: "table does not answer" in log.read_text())
            rename("away", "jobs")
            identity = visitor.send("a.png", b"no picture")
            until(lambda: visitor.files()[0]["state"] == "refused")
        finally:
            worker.terminate()
    assert visitor.files()[0]["id"] == identity and worker.returncode == 0


def test_the_jobs_of_a_worker_that_is_gone_go_on_at_once_until_they_have_killed_too_many(visitor):
    engine = visitor.service.engine
    start(visitor, visitor.have())
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = jobs.name_of(dead.pid)
    assert jobs.claim(engine, LONG, name)
    assert jobs.recover(engine, 100, 3) == 0
    dead.communicate()
    assert jobs.recover(engine, 100, 3) == 1
    for _ in range(2):
        assert jobs.claim(engine, LONG, name)
        jobs.recover(engine, 100, 3)
    [job] = visitor.files()[0]["jobs"]
    assert (job["state"], job["reason"]) == (FAILED, "crashed")


def test_an_upload_over_whose_look_workers_die_is_refused_and_nothing_of_it_stays(visitor, png):
    identity = visitor.send("a.png", png)
    assert jobs.claim(visitor.service.engine, QUICK, "elsewhere:1:1")
    jobs.recover(visitor.service.engine, patience=-1, attempts=1)
    [found] = visitor.files()
    assert (found["state"], found["reason"]) == ("refused", "crashed")
    os.utime(visitor.service.storage.upload(identity), (0, 0))
    assert visitor.service.storage.sweep() == 1 and not visitor.service.storage.upload(identity).exists()


def test_an_upload_is_looked_at_again_where_the_disk_was_full(visitor, png):
    identity, engine = visitor.send("a.png", png), visitor.service.engine
    job = jobs.claim(engine, QUICK, jobs.name_of())
    Runner(engine, visitor.service.storage, lambda: False).run(job, web_jobs.find_no_room)
    assert visitor.files()[0]["state"] == "looking" and visitor.service.storage.content(identity).exists()
    assert jobs.recover(engine, patience=100, attempts=5) == 0  # not at once: the disk may need its time
    change(visitor, Job, job.id, heartbeat=time.time() - 101)
    assert jobs.recover(engine, patience=100, attempts=5) == 1
    visitor.work()
    assert visitor.files()[0]["state"] == "ready"


def test_a_clock_that_is_set_ends_no_worker(monkeypatch):
    name, booted = jobs.name_of(), psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted + 3600.0)
    assert not jobs.is_gone(name)


def test_an_attempt_that_was_overtaken_leaves_what_the_other_one_has_made(visitor):
    engine, storage = visitor.service.engine, visitor.service.storage
    start(visitor, visitor.have())
    late = jobs.claim(engine, LONG, "elsewhere:1:1")
    jobs.recover(engine, patience=-1, attempts=5)
    other = jobs.claim(engine, LONG, "elsewhere:2:1")
    storage.job(other.id).mkdir()
    (storage.job(other.id) / "result.png").write_bytes(b"made")
    assert jobs.finish(engine, other, {"files": []})
    Runner(engine, storage, lambda: False).run(late, web_jobs.write_chunks)
    assert (storage.job(late.id) / "result.png").read_bytes() == b"made"


def test_what_killed_attempts_left_half_made_does_not_stay_beside_a_result(visitor):
    engine, storage = visitor.service.engine, visitor.service.storage
    start(visitor, visitor.have())
    job = jobs.claim(engine, LONG, jobs.name_of())
    (storage.job(job.id) / ".del_.work_result.mp4_1").mkdir(parents=True)
    for name in (".tmp_1_2", ".del_.work_result.mp4_1/000000_1_0_0_1.nut"):
        (storage.job(job.id) / name).write_bytes(b"half")
    Runner(engine, storage, lambda: False).run(job, web_jobs.write_chunks)
    assert [path.name for path in storage.job(job.id).iterdir()] == ["result.txt"]


def test_a_cancelled_job_whose_worker_is_gone_gives_the_disk_back(visitor):
    start(visitor, visitor.have())
    job = jobs.claim(visitor.service.engine, LONG, f"{platform.node()}:999999999:1")
    visitor.service.storage.job(job.id).mkdir()
    assert visitor.ask("POST", f"/jobs/{job.id}/cancel").status_code == 202
    assert not visitor.service.storage.job(job.id).exists()


def test_a_queue_that_does_not_answer_loses_nothing(tmp_path, png):
    """A worker finds what waits once the queue is there again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
    visitor = Visitor(web_client.open_platform(tmp_path / "data", queue=url))
    visitor.send("a.png", png)
    start(visitor, visitor.have())
    assert [jobs.waiting(visitor.service.engine, lane) for lane in (QUICK, LONG)] == [1, 1]


def test_what_can_be_merged_is_all_else_of_the_kind_in_the_order_it_came(app, visitor):
    first, second = visitor.have("1.png"), visitor.have("2<b>.png")
    film, third = visitor.have("film.mp4", media="film"), visitor.have("3.png")
    Visitor(app).have("another's.png")
    offered = visitor.http.get(f"/uploads/{first}/others").text
    assert re.findall('value="([0-9a-f]{32})"', offered) == [second, third] and "2&lt;b&gt;.png" in offered
    assert "fieldset" not in visitor.http.get(f"/uploads/{film}/others").text


def test_jobs_of_one_visitor_do_not_keep_others_waiting(app):
    busy, other = Visitor(app), Visitor(app)
    one = busy.have()
    for _ in range(3):
        start(busy, one)
    start(other, other.have())
    owners = [job.owner for _ in range(4) if (job := jobs.claim(app.state.service.engine, LONG, jobs.name_of()))]
    assert owners == [owner_of(busy), owner_of(other), owner_of(busy), owner_of(busy)]


def test_a_job_that_waits_is_cancelled_and_one_that_is_done_deleted(visitor):
    identity = visitor.have()
    start(visitor, identity)
    [job] = visitor.files()[0]["jobs"]
    assert visitor.ask("POST", f"/jobs/{job['id']}/cancel").status_code == 202
    assert visitor.files()[0]["jobs"][0]["state"] == CANCELLED
    assert visitor.ask("DELETE", f"/jobs/{job['id']}").status_code == 200
    assert visitor.files()[0]["jobs"] == []


def test_all_that_is_not_enlarged_yet_is_at_once_in_the_order_it_came(app, visitor):
    engine, options = visitor.service.engine, {"network": "bicubic", "scale": "3", "self_ensemble": "true"}
    old, second, third = visitor.have("old.png"), visitor.have("2.png"), visitor.have("3.mp4", media="film")
    Visitor(app).have("another's.png")
    visitor.create("unfinished.png", 9)
    start(visitor, old)
    done = jobs.claim(engine, LONG, jobs.name_of())
    jobs.finish(engine, done, {"files": []})
    assert visitor.ask("POST", "/enlarge", data={"network": "none"}).status_code == 422
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 2}
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 0}
    claimed = [jobs.claim(engine, LONG, jobs.name_of()) for _ in range(2)]
    assert [job.upload for job in claimed] == [second, third] and jobs.waiting(engine) == 0
    assert all(job.settings["scale"] == 3 and job.settings["self_ensemble"] for job in claimed)
    visitor.ask("POST", f"/jobs/{claimed[0].id}/cancel")
    assert visitor.ask("POST", "/enlarge", data=options).json() == {"started": 1}


def test_a_network_that_is_gone_meanwhile_is_named_without_its_place(tmp_path):
    (tmp_path / "networks/pretrained").mkdir(parents=True)
    shutil.copy(web_client.ROOT / "pretrained/mini_x4.safetensors", tmp_path / "networks/pretrained/secret.safetensors")
    settings = Settings(data=tmp_path / "data", networks=tmp_path / "networks")
    visitor = Visitor(create_app(settings))
    identity = visitor.send("a.png", encode_png(drawn.texture(1, 16, 16)))
    visitor.work()
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "secret"}).status_code == 202
    (tmp_path / "networks/pretrained/secret.safetensors").unlink()
    visitor.work()
    [job] = visitor.files()[0]["jobs"]
    assert job["state"] == FAILED and job["reason"].startswith("secret: ") and str(tmp_path) not in job["reason"]


def test_results_of_other_options_are_kept_under_other_names(visitor):
    identity, engine, names = visitor.have("my cat.png"), visitor.service.engine, []
    for options in ({"scale": "2"}, {"scale": "4"}, {"scale": "2", "self_ensemble": "true"}):
        visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", **options})
        job = jobs.claim(engine, LONG, jobs.name_of())
        visitor.service.storage.job(job.id).mkdir()
        (visitor.service.storage.job(job.id) / "result.png").write_bytes(b"made")
        jobs.finish(engine, job, {"files": [{"name": "result.png"}]})
        headers = visitor.http.get(f"/jobs/{job.id}/result.png").headers
        names.append(headers["content-disposition"].partition("''")[2])
    assert names == [f"my%20cat_bicubic_{end}.png" for end in ("2x", "4x", "2x_8way")]


def test_results_are_fetched_only_once_they_are_in_sight(visitor):
    """A page has two hundred rows, and a picture in its full size may take a gigabyte of a browser's memory."""
    engine, identity = visitor.service.engine, visitor.have()
    start(visitor, identity)
    jobs.finish(
        engine,
        jobs.claim(engine, LONG, jobs.name_of()),
        {"files": [{"name": "result.png", "bytes": 1}], "width": 16, "height": 16},
    )
    shown = re.findall("<img [^>]*>", visitor.http.get("/").text)
    assert len(shown) == 3 and all('loading="lazy"' in one for one in shown)


def test_a_cut_of_an_earlier_version_which_did_not_say_where_it_begins_is_kept(visitor):
    engine, film = visitor.service.engine, visitor.have("a.mp4", media="film")
    assert visitor.ask("POST", f"/uploads/{film}/cut", data={"start": "2", "seconds": "3"}).status_code == 202
    job = jobs.claim(engine, LONG, jobs.name_of())
    visitor.service.storage.job(job.id).mkdir()
    (visitor.service.storage.job(job.id) / "result.mp4").write_bytes(b"film")
    jobs.finish(engine, job, {"files": [{"name": "result.mp4", "type": "video/mp4", "bytes": 4}], "seconds": 3.5})
    answer = visitor.http.get(f"/jobs/{job.id}/result.mp4")
    assert answer.status_code == 200 and "a_2s_3.5s.mp4" in answer.headers["content-disposition"]


def test_too_many_waiting_jobs_are_turned_away(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", waiting=2))
    identity = visitor.have()
    answers = [visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert answers[2].headers["retry-after"] == "30"


@pytest.mark.parametrize(
    "operation, options, status, error",
    [
        ("enlarge", {"network": "../../etc/passwd"}, 422, "unknown network"),
        ("enlarge", {"network": "bicubic", "scale": "9"}, 422, "wrong option"),
        ("enlarge", {"sharpen": "nan"}, 422, "wrong option"),
        ("enlarge", {"unheard": "of"}, 422, "wrong option"),
        ("cut", {}, 409, "not for this"),
        ("look", {}, 404, "not found"),
        ("merge", {"others": "0" * 32}, 404, "not found"),
    ],
)
def test_options_are_checked_before_a_job_begins(visitor, operation, options, status, error):
    answer = visitor.ask("POST", f"/uploads/{visitor.have()}/{operation}", data=options)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert jobs.waiting(visitor.service.engine) == 0


def test_a_network_enlarges_by_less_as_well_but_not_by_more(visitor, monkeypatch):
    monkeypatch.setattr(visitor.service, "networks", lambda: {"triple": choices.Network("triple", (3,))})
    place = f"/uploads/{visitor.have()}/enlarge"
    answers = [visitor.ask("POST", place, data={"scale": scale}) for scale in ("2", "3", "4")]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert answers[2].json()["error"] == "other scale"


def test_without_room_nothing_is_begun(tmp_path, monkeypatch):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", quota=10))
    identity = visitor.have()
    monkeypatch.setattr(visitor.service.storage, "free", lambda: 0)
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}).status_code == 507
    change(visitor, Upload, identity, size=11)
    assert visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic"}).status_code == 413


def test_what_belongs_to_nobody_is_swept(visitor):
    storage = visitor.service.storage
    kept, orphan = visitor.have(), storage.job("f" * 32)
    orphan.mkdir()
    (orphan / "half").write_bytes(b"x")
    assert storage.sweep() == 0  # it may be one that is just being made
    os.utime(orphan, (0, 0))
    os.utime(storage.upload(kept), (0, 0))
    assert storage.sweep() == 1 and not orphan.exists() and storage.content(kept).exists()


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


# ---- learning from use ----------------------------------------------------------------------------------------------


def test_pictures_become_pairs_only_with_consent_and_are_forgotten_with_it(visitor, png, tmp_path):
    given, kept_back = visitor.send("given.png", png, consent=True), visitor.send("mine.png", png)
    visitor.work()
    settings = Settings(data=tmp_path / "data")
    harvest(settings)
    folder = tmp_path / "data/harvest"
    pairs = {side: [path.stem for path in (folder / "train" / side).iterdir()] for side in ("lr", "hr")}
    assert pairs == {"lr": [given], "hr": [given]} and kept_back not in str(pairs)
    assert read_rgb(folder / f"train/lr/{given}.png").shape == (18, 24, 3)
    assert [pair.name for pair in find_pairs(folder, 4)] == [f"{given}.png"]  # as train finds them
    record = json.loads((folder / "origins.json").read_text())
    assert record[given]["name"] == "given.png" and record[given]["owner"] == owner_of(visitor)
    harvest(settings)
    assert json.loads((folder / "origins.json").read_text()) == record  # done before
    visitor.ask("POST", f"/uploads/{given}/consent/withdraw")
    assert json.loads((folder / "origins.json").read_text()) == {}
    assert not list((folder / "train/hr").iterdir())
    assert [found["consent"] for found in visitor.files()] == [False, False]


@pytest.mark.parametrize("act", ["forget", "withdraw"])
def test_a_pair_goes_before_its_upload_and_its_consent(visitor, monkeypatch, act):
    """So that a page that is killed between the two leaves no pair of which nobody is told any more."""
    identity = visitor.have()
    change(visitor, Upload, identity, consent=True)
    pair = visitor.service.storage.harvest / "train" / "hr" / f"{identity}.png"
    pair.parent.mkdir(parents=True)
    pair.write_bytes(b"high")
    monkeypatch.setattr("competition.web.harvest.remove", end)
    with pytest.raises(KeyboardInterrupt):
        getattr(visitor.service, act)(visitor.service.uploads.find(owner_of(visitor), identity))
    assert pair.exists() and visitor.files()[0]["consent"]


def end(*paths: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    """Two takes, of other scenes, in half a second."""
    folder = tmp_path_factory.mktemp("films")
    made = make_film(
        folder / "film.mp4", 12, (74, 98), sound=False, picture=lambda number, *size: drawn.texture(number // 6, *size)
    )
    return made.read_bytes()


def give(visitor: Visitor, content: bytes, name: str = "film.mp4") -> str:
    """A film that was looked at, with consent."""
    identity = visitor.have(name, media="film", kind="MP4")
    visitor.service.storage.content(identity).write_bytes(content)
    change(visitor, Upload, identity, consent=True)
    return identity


def pairs_in(folder: Path) -> list[str]:
    """Names of the pairs, without ending, whole or half."""
    return sorted({path.stem for side in ("lr", "hr") for path in (folder / "train" / side).iterdir()})


def test_a_film_given_becomes_pairs_that_know_their_upload_and_their_second(visitor, film, tmp_path):
    given, other = give(visitor, film), give(visitor, film, "copy.mp4")
    change(visitor, Upload, other, consent=False)
    harvest(Settings(data=tmp_path / "data"))
    folder = tmp_path / "data/harvest"
    names = [pair.name for pair in find_pairs(folder, 4)]  # as train finds them
    assert len(names) == 2 and all(re.fullmatch(given + r"_\d{9}\.png", name) for name in names)
    record = json.loads((folder / "origins.json").read_text())
    assert sorted(record) == pairs_in(folder) == [name.removesuffix(".png") for name in names]
    for (name, said), scene in zip(sorted(record.items()), (0, 1), strict=True):
        assert said["upload"] == given and said["name"] == "film.mp4" and said["size"] == [96, 72]
        assert int(said["second"] / 0.24) == scene and name == f"{given}_{round(said['second'] * 1000):09d}"
        high = read_rgb(folder / f"train/hr/{name}.png").astype(int)
        assert np.abs(high - drawn.texture(scene, 74, 98)[:72, :96]).mean() < 12
    assert visitor.ask("POST", f"/uploads/{given}/consent/withdraw").status_code == 200
    assert pairs_in(folder) == [] and json.loads((folder / "origins.json").read_text()) == {}


def test_what_a_killed_harvest_leaves_is_forgotten_or_made_good(visitor, film, tmp_path):
    """Killed when the pairs are written and their record is not."""
    folder = tmp_path / "data/harvest"
    kill = "harvest._note = lambda *said: os.kill(os.getpid(), 9)"
    script = f"import os, sys; from competition.web import harvest, settings; {kill}"
    given = give(visitor, film)
    line = [sys.executable, "-c", f"{script}; harvest.harvest(settings.Settings(data=sys.argv[1]))", tmp_path / "data"]
    assert subprocess.run(line, timeout=120).returncode == -9
    first, second = pairs_in(folder)
    assert first.startswith(given) and second.startswith(given) and not (folder / "origins.json").exists()
    (folder / f"train/hr/{first}.png").unlink()  # half a pair
    (folder / f"train/lr/{'0' * 32}_000000000.png").write_bytes(b"of an upload that is no more")
    harvest(Settings(data=tmp_path / "data"))
    assert [pair.name for pair in find_pairs(folder, 4)] == [f"{first}.png", f"{second}.png"]
    assert sorted(json.loads((folder / "origins.json").read_text())) == pairs_in(folder) == [first, second]
    (folder / "origins.json").unlink()  # as if killed again
    visitor.ask("DELETE", f"/uploads/{given}")
    assert pairs_in(folder) == []


def test_a_film_deleted_while_it_is_harvested_leaves_no_pair(visitor, film, tmp_path, monkeypatch):
    given = give(visitor, film)

    def delete_then_note(*said: Any) -> None:
        monkeypatch.undo()  # first: the deletion notes, too
        visitor.ask("DELETE", f"/uploads/{given}")
        harvesting._note(*said)

    monkeypatch.setattr(harvesting, "_note", delete_then_note)
    harvest(Settings(data=tmp_path / "data"))
    assert pairs_in(tmp_path / "data/harvest") == []
    assert json.loads((tmp_path / "data/harvest/origins.json").read_text()) == {}


# ---- hands ----------------------------------------------------------------------------------------------------------


def owner_of(visitor: Visitor) -> str:
    return str(visitor.http.cookies["owner"]).partition(".")[0]


def identity_of(place: str) -> str:
    return place.rpartition("/")[2]


def start(visitor: Visitor, identity: str) -> None:
    answer = visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", "scale": "2"})
    assert answer.status_code == 202, answer.text


def change(visitor: Visitor, row: type[Upload] | type[Job], identity: str, **values: object) -> None:
    with Session(visitor.service.engine) as session, session.begin():
        assert session.scalar(select(row.id).where(row.id == identity))
        session.execute(update(row).where(row.id == identity).values(values))
