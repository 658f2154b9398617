"""The platform when things happen at once: deletions, ends, expiry and full queues amid what is going on."""

import os
import threading
import time
from typing import Any

import pytest

pytest.importorskip("fastapi")

import psutil
import web_client
import web_jobs
from sqlalchemy import true, update
from sqlalchemy.orm import Session
from web_client import Visitor

from competition.web import jobs
from competition.web.runner import Runner
from competition.web.tables import DONE, LONG, REFUSED, Job, Upload


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


def test_what_is_still_worked_at_or_still_arrives_does_not_expire(visitor):
    long_ago = time.time() - 30 * 86400
    worked_at, just_made, arriving = visitor.have(), visitor.have(), identity_of(visitor.create("a.png", 9))
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


def owner_of(visitor: Visitor) -> str:
    return str(visitor.http.cookies["owner"]).partition(".")[0]


def identity_of(answer: Any) -> str:
    return str(answer.headers["location"].rpartition("/")[2])


def change(visitor: Visitor, table: type[Upload] | type[Job], only: str | None = None, **values: object) -> None:
    """Set values of one row, or of all."""
    with Session(visitor.service.engine) as session, session.begin():
        session.execute(update(table).where(table.id == only if only else true()).values(values))


def start(visitor: Visitor, identity: str) -> None:
    answer = visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", "scale": "2"})
    assert answer.status_code == 202, answer.text
