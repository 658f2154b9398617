"""Workers of the platform killed at any moment: no job is lost, none is done twice, nothing is left behind."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawn
import psutil
import pytest
import web_jobs
from sqlalchemy import select
from sqlalchemy.orm import Session

pytest.importorskip("huey")
pytest.importorskip("fastapi")

from competition.images import encode_png
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
        said = {"pause": pause}
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
    submitted = platform.submit(4)
    worker, kills = platform.begin(), 2
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


# ---- other queues and tables ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis of our own."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        await_port(port)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of our own; it refuses to run as root, so its own user starts it."""
    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not tools or os.geteuid() != 0:
        pytest.skip("no PostgreSQL, or not root: apt-get install postgresql")
    pytest.importorskip("psycopg")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
        data = f"{folder}/data"
        subprocess.run([*as_user, tools[-1] / "initdb", "-A", "trust", "-D", data], check=True, capture_output=True)
        command = [*as_user, tools[-1] / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
        await_port(port)
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*as_user, tools[-1] / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True)
            process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def await_port(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(port)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["sqlite", "redis", "redis and postgresql"])
def test_two_workers_over_any_queue_and_table(tmp_path, seed, kinds):
    """Killed in turn ten times during twenty jobs."""
    chance = random.Random(seed)
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(redis()) if "redis" in kinds else ""
        database = stack.enter_context(postgresql()) if "postgresql" in kinds else ""
        platform = Platform(tmp_path, queue=queue, database=database)
        submitted = platform.submit(20, pause=0.1)
        workers = [platform.begin(), platform.begin()]
        for number in range(10):
            time.sleep(chance.uniform(1, 3))
            workers[number % 2].kill()
            workers[number % 2].wait()
            workers[number % 2] = platform.begin()
        platform.wait(QUEUED, RUNNING, until=240)
        platform.end()
        require_whole(platform, submitted, 10)
        platform.engine.dispose()


# ---- the whole service ----------------------------------------------------------------------------------------------


class Server:
    """A real server with one worker, and a visitor over the wire who asks again when nobody answers."""

    def __init__(self, root: Path) -> None:
        import httpx2

        self.data, self.logs, self.port = root / "data", root / "logs", free_port()
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.begin()
        self.http.get("/")
        self.headers = {"X-Token": self.ask("GET", "/api/session").json()["token"], "Tus-Resumable": "1.0.0"}

    def begin(self) -> None:
        flags = {"data": self.data, "port": self.port, "networks": ROOT, "patience": 5, "attempts": 1000}
        command = [sys.executable, str(ROOT / "tests" / "web_jobs.py"), "serve"]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        with open(self.logs, "ab") as logs:
            self.process = subprocess.Popen(command, stderr=logs, env=environment())
        await_port(self.port)

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children()
            return [one for one in found if "work" in one.cmdline()]
        return []

    def ask(self, method: str, path: str, **more: Any) -> Any:
        import httpx2

        for _ in range(100):
            try:
                return self.http.request(method, path, **more)
            except httpx2.TransportError:
                time.sleep(0.1)
        raise TimeoutError(path)

    def kill(self, whom: str) -> None:
        if whom != "server":
            for worker in self.workers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
        if whom != "worker":
            self.process.kill()
            self.process.wait()
            self.begin()

    def files(self) -> Any:
        return self.ask("GET", "/api/files").json()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(30)


@pytest.mark.slow
def test_twenty_kills_of_server_worker_or_both_during_thirty_jobs(server, seed):
    """0 lost, 0 done twice, 0 orphan files; and an upload that goes on all the while arrives whole."""
    chance = random.Random(seed)
    content = encode_png(drawn.texture(2, 40, 40))
    identity = upload(server, "picture.png", content)
    await_state(server, identity, "ready")
    for _ in range(30):
        asked = server.ask(
            "POST", f"/uploads/{identity}/enlarge", data={"network": "bicubic", "scale": "2"}, headers=server.headers
        )
        assert asked.status_code == 202
    long = os.urandom(8 * 2**20)
    place = create(server, "long.mp4", len(long))
    for number in range(20):
        arrived = int(server.ask("HEAD", place, headers=server.headers).headers["upload-offset"])
        send(server, place, long[arrived : arrived + 2**18], arrived)
        time.sleep(chance.uniform(0.5, 3))
        server.kill(("worker", "server", "both")[number % 3])
    while (arrived := int(server.ask("HEAD", place, headers=server.headers).headers["upload-offset"])) < len(long):
        send(server, place, long[arrived : arrived + 2**20], arrived)
    assert (server.data / "uploads" / place.rpartition("/")[2] / "content").read_bytes() == long
    deadline = time.monotonic() + 900
    while any(job["state"] in (QUEUED, RUNNING) for found in server.files() for job in found["jobs"]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    [made] = [found for found in server.files() if found["id"] == identity]
    assert [job["state"] for job in made["jobs"]] == [DONE] * 30
    lines = [json.loads(line) for line in server.logs.read_text().splitlines() if line.startswith("{")]
    finished = Counter(line["job"] for line in lines if line["event"] == "job ends" and line["state"] == "done")
    assert set(finished.values()) == {1}
    kept = {str(path.relative_to(server.data / "jobs")) for path in (server.data / "jobs").rglob("*") if path.is_file()}
    assert kept == {f"{job['id']}/{file['name']}" for job in made["jobs"] for file in job["result"]["files"]}
    assert {path.name for path in server.data.parent.iterdir()} == {"data", "logs", "journal"}
    assert not [line for line in lines if line["event"] == "request failed"]


def create(server: Server, name: str, size: int) -> str:
    import base64

    said = {"Upload-Length": str(size), "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    return str(server.ask("POST", "/files", headers={**server.headers, **said}).headers["location"])


def send(server: Server, place: str, content: bytes, offset: int) -> None:
    said = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    server.ask("PATCH", place, headers={**server.headers, **said}, content=content)


def upload(server: Server, name: str, content: bytes) -> str:
    place = create(server, name, len(content))
    send(server, place, content, 0)
    return place.rpartition("/")[2]


def await_state(server: Server, identity: str, state: str) -> None:
    deadline = time.monotonic() + 60
    while [found["state"] for found in server.files() if found["id"] == identity] != [state]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
