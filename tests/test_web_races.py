"""The platform when things happen at once: deletions, ends, expiry and full queues amid what is going on."""

import threading
import time

import pytest

pytest.importorskip("fastapi")

import psutil
import web_client
import web_jobs
from web_client import Visitor

from competition.web import jobs
from competition.web.runner import Runner
from competition.web.tables import LONG


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


def start(visitor: Visitor, identity: str) -> None:
    answer = visitor.ask("POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", "scale": "2"})
    assert answer.status_code == 202, answer.text
