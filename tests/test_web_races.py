"""The platform when things happen at once: deletions, ends, expiry and full queues amid what is going on."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")

import httpx2
import psutil
import web_client
import web_jobs
from sqlalchemy import text
from sqlalchemy.orm import Session
from web_client import Visitor, change, identity_of, owner_of, start

from competition.files import make_folder, remove_folder
from competition.web import __main__ as serving
from competition.web import jobs, operations, pages, tus
from competition.web.runner import Runner
from competition.web.settings import Settings
from competition.web.storage import held
from competition.web.tables import DONE, LONG, REFUSED, Job, Table, Upload, open_database


@pytest.fixture
def visitor(tmp_path):
    return Visitor(web_client.open_platform(tmp_path / "data", reserve=0))


def test_a_conversion_that_is_told_to_end_has_not_failed(visitor):
    """As systemd stops a service: SIGTERM to every process of it, perhaps to the conversion before its worker."""
    start(visitor, visitor.have())
    job = jobs.claim(visitor.service.engine, LONG, jobs.name_of())
    job.settings = {**job.settings, "pause": 0.5}

    def end_it() -> None:
        while not (visitor.service.storage.root.parent / "journal").exists():
            time.sleep(0.05)
        for child in psutil.Process().children(recursive=True):
            child.terminate()

    threading.Thread(target=end_it).start()
    Runner(visitor.service.engine, visitor.service.storage, lambda: False).run(job, web_jobs.write_chunks)
    jobs.recover(visitor.service.engine, patience=-1, attempts=5)
    assert [made["state"] for made in visitor.files()[0]["jobs"]] == ["queued"]


def test_a_server_that_is_told_to_end_ends_the_lines_of_events(tmp_path):
    flags = ["--port", "0", "--workers", "0", "--data", str(tmp_path / "data")]
    line = [sys.executable, "-m", "competition.web", "serve", *flags]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        told = next(line for line in server.stderr if '"serving"' in line)
        with httpx2.Client(base_url=json.loads(told)["page"]) as http:
            http.get("/")
            with http.stream("GET", "/events") as events:
                server.terminate()
                assert "".join(events.iter_text()).startswith("retry:")
        said = server.stderr.read()
        assert server.wait(30) == 7 and "Traceback" not in said and "graceful" not in said


def test_what_is_still_worked_at_or_still_arrives_does_not_expire(visitor):
    long_ago = time.time() - 30 * 86400
    worked_at, just_made = visitor.have(), visitor.have()
    arriving = identity_of(visitor.create("a.png", 9).headers["location"])
    for identity in (worked_at, just_made):
        start(visitor, identity)
    change(visitor, Upload, changed=long_ago)
    change(visitor, Job, changed=long_ago)
    done = visitor.files()[1]["jobs"][0]["id"]
    change(visitor, Job, done, state=DONE, changed=time.time())
    assert visitor.service.storage.expire() == 0
    change(visitor, Job, state=DONE, changed=long_ago)
    os.utime(visitor.service.storage.content(arriving), (0, long_ago))
    assert visitor.service.storage.expire() == 3


def test_what_was_refused_takes_no_room_and_expires_though_it_was_given_for_learning(visitor):
    identity = visitor.have()
    change(visitor, Upload, identity, state=REFUSED, consent=True)
    assert visitor.service.storage.used(owner_of(visitor)) == 0
    change(visitor, Upload, identity, changed=0.0)
    assert visitor.service.storage.expire() == 1


def test_a_job_for_an_upload_that_is_deleted_meanwhile_is_refused(visitor, monkeypatch):
    def delete_first(*arguments: Any) -> Any:
        visitor.service.forget(arguments[1])
        return settings_of(*arguments)

    settings_of = operations._settings
    monkeypatch.setattr(operations, "_settings", delete_first)
    answer = visitor.ask("POST", f"/uploads/{visitor.have()}/enlarge", data={"network": "bicubic", "scale": "2"})
    assert answer.status_code == 404 and visitor.files() == []


def test_an_upload_that_is_deleted_as_it_becomes_whole_is_gone(visitor, monkeypatch):
    upload = visitor.service.uploads.find(
        owner_of(visitor), identity_of(visitor.create("a.png", 3).headers["location"])
    )
    monkeypatch.setattr(visitor.service.storage, "arrived", lambda identity: 3)
    visitor.service.forget(upload)
    assert not visitor.service.uploads.settle(upload)


def test_bytes_amid_which_the_disk_is_full_for_a_moment_are_not_written_twice(visitor, monkeypatch):
    content, write = os.urandom(3000), tus._write
    place = visitor.create("a.png", len(content)).headers["location"]

    def cut_short(file: Any, block: bytes) -> None:
        monkeypatch.setattr(tus, "_write", write)
        write(file, block[:1000])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(tus, "_BLOCK", 2000)
    monkeypatch.setattr(tus, "_write", cut_short)
    assert visitor.patch(place, content, 0).status_code == 507
    assert visitor.head(place).headers["upload-offset"] == "1000"
    assert visitor.patch(place, content[1000:], 1000).status_code == 204
    assert visitor.service.storage.content(place.rpartition("/")[2]).read_bytes() == content


def test_requests_at_the_same_time_do_not_exceed_what_a_visitor_may_have(tmp_path):
    visitor = Visitor(web_client.open_platform(tmp_path / "data", reserve=0, files=3))
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(visitor.create("a.png", 3).status_code)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(201) == len(visitor.files()) <= 3
    assert len(list((tmp_path / "data/uploads").iterdir())) == answers.count(201)


def test_one_visitors_jobs_leave_places_for_those_of_others(tmp_path):
    app = web_client.open_platform(tmp_path / "data", reserve=0, waiting=8)
    codes = []
    for visitor in (Visitor(app), Visitor(app)):
        place = f"/uploads/{visitor.have()}/enlarge"
        codes.append([visitor.ask("POST", place, data={"network": "nearest"}).status_code for _ in range(8)])
    assert [answers.count(202) for answers in codes] == [5, 2]


def test_an_upload_that_rests_keeps_no_room_from_others(visitor, monkeypatch):
    storage, other = visitor.service.storage, Visitor(visitor.app)
    monkeypatch.setattr(storage, "free", lambda: 1000)
    identity = identity_of(visitor.create("a.mp4", 900).headers["location"])
    assert other.create("b.mp4", 200).status_code == 507
    os.utime(storage.content(identity), (0, time.time() - 3600))
    assert other.create("b.mp4", 200).status_code == 201


def test_a_file_that_is_deleted_as_it_is_sent_is_not_found(visitor, monkeypatch):
    def delete_first(*arguments: Any, **more: Any) -> Any:
        response = sent(*arguments, **more)
        visitor.service.storage.content(identity).unlink()
        return response

    identity, sent = visitor.have(), pages._Perishable
    monkeypatch.setattr(pages, "_Perishable", delete_first)
    assert visitor.http.get(f"/uploads/{identity}/content").status_code == 404


def test_a_worker_that_cannot_be_started_is_started_later(tmp_path, monkeypatch):
    """As where memory or process numbers are short, which is when workers die."""
    monkeypatch.setattr(serving, "WORKER", (str(tmp_path / "worker"),))
    with serving._workers(Settings(data=tmp_path)):
        time.sleep(0.1)
        (tmp_path / "new").write_text(f"#!/bin/sh\ntouch {tmp_path}/works\nexec cat\n")
        (tmp_path / "new").chmod(0o700)
        (tmp_path / "new").rename(tmp_path / "worker")
        end = time.monotonic() + 30
        while not (tmp_path / "works").exists():
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_jobs_folder_is_measured_while_its_process_deletes(tmp_path):
    """As a film's does once it is whole: its chunks go, folder and all."""
    (tmp_path / "result.mp4").write_bytes(bytes(7))
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            make_folder(tmp_path / ".work")
            for number in range(20):
                (tmp_path / ".work" / f"{number}.nut").touch()
            remove_folder(tmp_path / ".work")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        assert {held(tmp_path) for _ in range(500)} == {7}
    finally:
        over.set()
        thread.join()


def test_of_all_files_one_is_deleted_before_it_is_begun(visitor, monkeypatch):
    first, second = visitor.have("1.png"), visitor.have("2.png")
    found = visitor.service.not_enlarged(owner_of(visitor))
    visitor.service.storage.forget_upload(first)
    monkeypatch.setattr(visitor.service, "not_enlarged", lambda owner: found)
    answer = visitor.ask("POST", "/enlarge", data={"network": "bicubic"})
    assert (answer.status_code, answer.json()) == (202, {"started": 1})
    assert [found["id"] for found in visitor.files() if found["jobs"]] == [second]


def test_a_table_that_does_not_answer_is_not_well(visitor):
    Table.metadata.drop_all(visitor.service.engine)
    answer = visitor.http.get("/healthz")
    assert answer.status_code == 503 and answer.json() == {"well": False, "cause": "OperationalError"}


def test_processes_that_begin_at_the_same_time_make_the_tables_together(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            assert len(list(pool.map(open_database, [f"sqlite:///{tmp_path}/{number}.sqlite"] * 4))) == 4


def test_tables_of_an_earlier_version_get_the_columns_they_lack(tmp_path):
    for number in range(5):
        url = f"sqlite:///{tmp_path}/{number}.sqlite"
        with Session(open_database(url)) as session, session.begin():
            session.add(Upload(id="a", owner="o", name="n", size=1))
            session.flush()
            session.add(Job(id="b", owner="o", upload="a", operation="enlarge", resumed=5.0))
            for column in ("resumed", "resumed_at"):
                session.flush()
                session.execute(text(f"ALTER TABLE jobs DROP COLUMN {column}"))
        with ThreadPoolExecutor(4) as pool:
            engines = list(pool.map(open_database, [url] * 4))
        for engine in engines:
            with Session(engine) as session:
                assert (session.get(Job, "b").resumed, session.get(Job, "b").resumed_at) == (0.0, 0.0)


def test_a_visitor_listens_to_so_many_lines_of_events_only(visitor):
    async def lines(count: int) -> None:
        async def stream() -> AsyncIterator[str]:
            yield "event"

        owner, open_ones = owner_of(visitor), []
        for _ in range(count):
            open_ones.append(pages._counted(visitor.service, owner, stream()))
            await anext(open_ones[-1])
        assert visitor.http.get("/events").status_code == 429
        assert visitor.service.listening[owner] == count
        for one in open_ones:
            await one.aclose()  # type: ignore[attr-defined]

    asyncio.run(lines(20))
    assert not visitor.service.listening
