"""Workers of the platform killed at any moment: no job is lost, none is done twice, nothing is left behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import web_jobs
from sqlalchemy import select
from sqlalchemy.orm import Session

pytest.importorskip("huey")

from competition.web import jobs
from competition.web.settings import Settings
from competition.web.storage import Storage
from competition.web.tables import DONE, QUEUED, READY, RUNNING, Job, Upload, open_database

ROOT = Path(__file__).resolve().parents[1]


class Platform:
    """A data folder with one upload, and worker processes over it."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.settings = Settings(data=root / "data", patience=5.0, attempts=1000, **settings)
        (root / "data" / "state").mkdir(parents=True)
        self.engine = open_database(self.settings.database_url)
        self.storage = Storage(self.settings, self.engine)
        self.journal = root / "journal"
        self.logs = root / "logs"
        self.workers: list[subprocess.Popen[bytes]] = []
        with Session(self.engine) as session, session.begin():
            session.add(upload := Upload(owner="o", name="a.png", size=3, state=READY))
            session.flush()
            self.upload = upload.id
        self.storage.upload(self.upload).mkdir()
        self.storage.content(self.upload).write_bytes(b"abc")

    def submit(self, count: int, pause: float = 0.05) -> list[str]:
        said = {"pause": pause, "journal": str(self.journal)}
        made = [Job(owner="o", upload=self.upload, operation="enlarge", settings=said) for _ in range(count)]
        return [jobs.submit(self.engine, job) for job in made]

    def begin(self) -> subprocess.Popen[bytes]:
        flags = ["--data", self.settings.data, "--patience", "5", "--attempts", "1000"]
        if self.settings.database:
            flags += ["--database", self.settings.database]
        if self.settings.queue:
            flags += ["--queue", self.settings.queue]
        command = [sys.executable, str(ROOT / "tests" / "web_jobs.py"), "work", *map(str, flags)]
        with open(self.logs, "ab") as logs:
            worker = subprocess.Popen(command, stderr=logs, stdin=subprocess.DEVNULL, env=environment())
        self.workers.append(worker)
        return worker

    def states(self) -> Counter[str]:
        with Session(self.engine) as session:
            return Counter(session.scalars(select(Job.state)))

    def wait(self, *states: str, until: float = 120) -> None:
        """Until no job is in one of these states."""
        deadline = time.monotonic() + until
        while any(self.states()[state] for state in states):
            assert time.monotonic() < deadline, (self.states(), self.logs.read_text()[-3000:])
            time.sleep(0.05)

    def end(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(20)

    def events(self, event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.logs.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths}


@pytest.fixture
def platform(tmp_path):
    made = Platform(tmp_path)
    yield made
    for worker in made.workers:
        worker.kill()
        worker.wait()


def require_whole(platform: Platform, submitted: list[str], kills: int) -> None:
    """0 lost, 0 done twice, 0 orphan files, and at most one chunk lost by each kill."""
    assert platform.states() == {DONE: len(submitted)}
    finished = Counter(line["job"] for line in platform.events("job ends") if line["state"] == "done")
    assert set(finished.values()) <= {1} and finished.keys() <= set(submitted)
    chunks = Counter(platform.journal.read_text().split("\n")[:-1])
    assert set(chunks) == {f"{job} {number}" for job in submitted for number in range(web_jobs.CHUNKS)}
    assert sum(chunks.values()) <= len(chunks) + 2 * kills
    kept = {
        str(path.relative_to(platform.storage.root / "jobs")) for path in (platform.storage.root / "jobs").rglob("*.*")
    }
    assert kept == {f"{job}/result.txt" for job in submitted}
    assert [path for path in platform.storage.scratch.rglob("*") if path.is_file()] == []


def test_killed_workers_lose_no_job_and_do_none_twice(platform, seed):
    chance = random.Random(seed)
    submitted = platform.submit(5)
    worker, kills = platform.begin(), 3
    for _ in range(kills):
        begun = len(platform.journal.read_text().splitlines()) if platform.journal.exists() else 0
        while (len(platform.journal.read_text().splitlines()) if platform.journal.exists() else 0) == begun:
            time.sleep(0.02)  # a kill before any work would show nothing
        time.sleep(chance.uniform(0, 0.3))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker = platform.begin()
    platform.wait(QUEUED, RUNNING)
    platform.end()
    require_whole(platform, submitted, kills)
