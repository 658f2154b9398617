"""Pages and workers of the platform killed at any moment: no job is lost or done twice, nothing is left behind."""

import base64
import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import drawn
import psutil
import pytest
import web_jobs
from film_files import make_film, packets_of
from sqlalchemy import select
from sqlalchemy.orm import Session

pytest.importorskip("huey")
pytest.importorskip("fastapi")

from competition.images import encode_png
from competition.video.enlarge import CHUNK, enlarge_film
from competition.web import choices, jobs
from competition.web.settings import Settings
from competition.web.storage import Storage
from competition.web.tables import CANCELLED, DONE, QUEUED, READY, RUNNING, Job, Upload, open_database

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 5 * CHUNK // 2
ENLARGE = choices.Enlarge(network="bicubic", scale="2").model_dump()
Made = dict[str, list[str]]
"""The files of each job."""


def environment(real: bool = False) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, **({web_jobs.REAL: "1"} if real else {})}


def film_of(folder: Path, frames: int = FRAMES) -> bytes:
    return make_film(folder / "film.mkv", frames).read_bytes()


# ---- what must be true ----------------------------------------------------------------------------------------------


def require_whole(root: Path, made: Made) -> None:
    """0 done twice, 0 orphan files, 0 orphan processes; what lay in a killed worker's own folder is swept."""
    finished = Counter(line["job"] for line in events(root, "job ends") if line["state"] == "done")
    assert set(finished.values()) <= {1}
    folder = root / "data" / "jobs"
    kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert kept == {f"{job}/{name}" for job, names in made.items() for name in names}
    scratch = root / "data" / "state" / "scratch"
    await_that(lambda: not [path for path in scratch.iterdir() if jobs.is_gone(path.name) or list(path.rglob("*"))])
    assert not decoders(root)


def require_chunks(root: Path, made: Made, kills: int) -> None:
    """Of the quick conversions: every chunk was made, and each kill cost two at most, one of either worker."""
    chunks = Counter((job, number) for job, _, number in journal(root))
    assert set(chunks) == {(job, number) for job in made for number in range(web_jobs.CHUNKS)}
    assert sum(chunks.values()) <= len(chunks) + 2 * kills


def require_resumed(root: Path, made: Made) -> int:
    """Of the real ones: every attempt at a film began behind the chunks of the one before; how many kept some."""
    resumed = 0
    for job in (job for job, names in made.items() if "result.mkv" in names):
        attempts: dict[int, list[int]] = {}
        for _, process, frame in (line for line in journal(root) if line[0] == job):
            attempts.setdefault(process, []).append(frame)
        heard = list(attempts.values())
        for before, after in pairwise(heard):
            whole = before[-1] // CHUNK * CHUNK  # the last chunk may be whole though nothing was heard of its end
            assert after[0] - 1 in (whole, whole + CHUNK), (job, before[-1], after[0])
            resumed += after[0] > 1
        assert all(frames == list(range(frames[0], frames[-1] + 1)) for frames in heard)
        assert heard[0][0] == 1 and heard[-1][-1] == FRAMES
    return resumed


def require_films(root: Path, film: bytes, made: Made) -> None:
    """They are what they would have been without a kill."""
    (root / "film.mkv").write_bytes(film)
    enlarge_film(root / "film.mkv", root / "whole.mkv", "bicubic", 2)
    for job in (job for job, names in made.items() if "result.mkv" in names):
        for kind in ("video", "audio"):
            assert packets_of(root / "data" / "jobs" / job / "result.mkv", kind) == packets_of(root / "whole.mkv", kind)


def journal(root: Path) -> list[tuple[str, int, int]]:
    """Job, process and number of the chunk or frame, as they were noted."""
    lines = (root / "journal").read_text().splitlines() if (root / "journal").exists() else []
    return [(job, int(process), int(number)) for job, process, number in map(str.split, lines)]


def events(root: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (root / "logs").read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def decoders(root: Path) -> list[psutil.Process]:
    """The limited processes of all workers below a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "competition.media.child" in process.cmdline() and process.cwd().startswith(str(root)):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def await_that(true: Callable[[], Any], until: float = 60) -> Any:
    """What it says, once that is something."""
    deadline = time.monotonic() + until
    while not (said := true()):
        assert time.monotonic() < deadline, true
        time.sleep(0.02)
    return said


def await_moment(root: Path, chance: random.Random) -> None:
    """Until some work more was noted, or for some seconds."""
    lines, deadline = len(journal(root)) + chance.randrange(1, 2 * CHUNK), time.monotonic() + chance.uniform(2, 10)
    while len(journal(root)) < lines and time.monotonic() < deadline:
        time.sleep(0.02)


def kill(worker: psutil.Process) -> None:
    """SIGKILL; its limited processes end with it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        limited = [one for one in worker.children() if "competition.media.child" in one.cmdline()]
        worker.kill()
        await_that(lambda: not lives(worker) and not any(map(lives, limited)))


# ---- workers --------------------------------------------------------------------------------------------------------


class Platform:
    """A data folder with a film and a picture, and worker processes over it."""

    def __init__(self, root: Path, real: bool = False, **settings: object) -> None:
        self.root, self.real = root, real
        self.settings = Settings(data=root / "data", patience=5.0, attempts=1000, **settings)
        (root / "data" / "state").mkdir(parents=True)
        self.engine = open_database(self.settings.database_url)
        self.storage = Storage(self.settings, self.engine)
        self.film = film_of(root) if real else b"abc"
        self.uploads = {"film": self.have("a.mkv", self.film)}
        if real:
            self.uploads["picture"] = self.have("a.png", encode_png(drawn.texture(2, 40, 40)))
        self.workers: list[subprocess.Popen[bytes]] = []

    def have(self, name: str, content: bytes) -> str:
        with Session(self.engine) as session, session.begin():
            session.add(upload := Upload(owner="o", name=name, size=len(content), state=READY))
            session.flush()
            identity = upload.id
        self.storage.upload(identity).mkdir()
        self.storage.content(identity).write_bytes(content)
        return identity

    def submit(self, count: int, pause: float = 0.05) -> None:
        for number in range(count):
            media = list(self.uploads)[number % len(self.uploads)]
            said = {**ENLARGE, "media": media} if self.real else {"pause": pause}
            jobs.submit(self.engine, Job(owner="o", upload=self.uploads[media], operation="enlarge", settings=said))

    def begin(self) -> subprocess.Popen[bytes]:
        flags = ["--data", self.settings.data, "--patience", "5", "--attempts", "1000"]
        if self.settings.database:
            flags += ["--database", self.settings.database]
        if self.settings.queue:
            flags += ["--queue", self.settings.queue]
        command = [sys.executable, str(ROOT / "tests" / "web_jobs.py"), "work", *map(str, flags)]
        with open(self.root / "logs", "ab") as logs:
            worker = subprocess.Popen(command, stderr=logs, stdin=subprocess.DEVNULL, env=environment(self.real))
        self.workers.append(worker)
        return worker

    def states(self) -> Counter[str]:
        with Session(self.engine) as session:
            return Counter(session.scalars(select(Job.state)))

    def made(self) -> Made:
        with Session(self.engine) as session:
            return {job.id: [file["name"] for file in job.result["files"]] for job in session.scalars(select(Job))}

    def wait(self, *states: str, until: float = 120) -> None:
        """Until no job is in one of these states."""
        deadline = time.monotonic() + until
        while any(self.states()[state] for state in states):
            assert time.monotonic() < deadline, (self.states(), (self.root / "logs").read_text()[-3000:])
            time.sleep(0.05)

    def end(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(60)


@contextlib.contextmanager
def working(root: Path, **settings: Any) -> Iterator[Platform]:
    made = Platform(root, **settings)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
            worker.wait()
        made.engine.dispose()


def test_killed_workers_lose_no_job_and_do_none_twice(tmp_path, seed):
    chance, kills = random.Random(seed), 2
    with working(tmp_path) as platform:
        platform.submit(4)
        worker = platform.begin()
        for _ in range(kills):
            begun = len(journal(tmp_path))
            await_that(lambda begun=begun: len(journal(tmp_path)) > begun)  # a kill before any work would show nothing
            time.sleep(chance.uniform(0, 0.3))
            kill(psutil.Process(worker.pid))
            worker = platform.begin()
        platform.wait(QUEUED, RUNNING)
        assert platform.states() == {DONE: 4}
        require_whole(tmp_path, platform.made())
        require_chunks(tmp_path, platform.made(), kills)
        platform.end()
        assert not list(platform.storage.scratch.iterdir())


# ---- other queues and tables ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis(port: int = 0) -> Iterator[str]:
    """The URL of a Redis of our own."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    port = port or free_port()
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
@pytest.mark.parametrize(
    ("kinds", "real"),
    [
        ("sqlite", False),
        ("redis", False),
        ("redis and postgresql", False),
        ("redis", True),
        ("redis and postgresql", True),
    ],
)
def test_two_workers_over_any_queue_and_table(tmp_path, seed, kinds, real):
    """Killed in turn twenty times during thirty jobs."""
    chance, kills = random.Random(seed), 20
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(redis()) if "redis" in kinds else ""
        database = stack.enter_context(postgresql()) if "postgresql" in kinds else ""
        platform = stack.enter_context(working(tmp_path, real=real, queue=queue, database=database))
        platform.submit(30, pause=0.25)
        workers = [platform.begin(), platform.begin()]
        for number in range(kills):
            await_moment(tmp_path, chance) if real else time.sleep(chance.uniform(0.5, 2))
            kill(psutil.Process(workers[number % 2].pid))
            workers[number % 2] = platform.begin()
        platform.wait(QUEUED, RUNNING, until=900)
        made = platform.made()
        assert platform.states() == {DONE: 30}
        require_whole(tmp_path, made)
        platform.end()
        if real:
            assert require_resumed(tmp_path, made)
            require_films(tmp_path, platform.film, made)
        else:
            require_chunks(tmp_path, made, kills)


@pytest.mark.slow
def test_a_queue_that_is_killed_and_comes_again_empty_loses_no_job(tmp_path):
    """Its worker lives on, and finds what waits."""
    port = free_port()
    with working(tmp_path, queue=f"redis://127.0.0.1:{port}/0") as platform:
        with redis(port):
            worker = platform.begin()
            platform.submit(1)
            await_that(lambda: journal(tmp_path))
        platform.wait(QUEUED, RUNNING)
        platform.submit(3)
        time.sleep(5)  # in which the worker asks several times
        assert worker.poll() is None and platform.states() == {DONE: 1, QUEUED: 3}
        with redis(port):
            platform.wait(QUEUED)
        platform.wait(RUNNING)
        assert platform.states() == {DONE: 4}
        require_whole(tmp_path, platform.made())
        require_chunks(tmp_path, platform.made(), 0)
        platform.end()


# ---- the whole service ----------------------------------------------------------------------------------------------


class Server:
    """A real server with its workers, and a visitor over the wire who asks again when nobody answers."""

    def __init__(self, root: Path, real: bool = False, workers: int = 1) -> None:
        import httpx2

        self.root, self.data, self.port = root, root / "data", free_port()
        self.real, self.count = real, workers
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.begin()
        self.http.get("/")
        self.headers = {"X-Token": self.ask("GET", "/api/session").json()["token"], "Tus-Resumable": "1.0.0"}

    def begin(self) -> None:
        flags = {"data": self.data, "port": self.port, "networks": ROOT, "patience": 5, "attempts": 1000}
        flags |= {"workers": self.count}
        command = [sys.executable, str(ROOT / "tests" / "web_jobs.py"), "serve"]
        command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        with open(self.root / "logs", "ab") as logs:
            self.process = subprocess.Popen(command, stderr=logs, env=environment(self.real))
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
                kill(worker)
        if whom != "worker":
            self.process.kill()
            self.process.wait()
            self.begin()

    def files(self) -> Any:
        return self.ask("GET", "/api/files").json()

    def jobs(self) -> list[Any]:
        return [job for found in self.files() for job in found["jobs"]]

    def arrived(self, place: str) -> int:
        return int(self.ask("HEAD", place, headers=self.headers).headers["upload-offset"])

    def enlarge(self, identity: str) -> None:
        said = {"network": "bicubic", "scale": "2"}
        assert self.ask("POST", f"/uploads/{identity}/enlarge", data=said, headers=self.headers).status_code == 202


@contextlib.contextmanager
def serving(root: Path, **how: Any) -> Iterator[Server]:
    made = Server(root, **how)
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True], ids=["stand-ins", "real"])
def test_twenty_kills_of_server_worker_or_both_during_thirty_jobs(tmp_path, seed, real):
    """0 lost, 0 done twice, 0 orphan files; and an upload that goes on all the while arrives whole."""
    chance, film, root = random.Random(seed), film_of(tmp_path), tmp_path / "service"
    root.mkdir()
    with serving(root, real=real) as server:
        identities = [upload(server, "film.mkv", film), upload(server, "a.png", encode_png(drawn.texture(2, 40, 40)))]
        for identity in identities:
            await_state(server, identity, "ready")
        for number in range(30):
            server.enlarge(identities[number % 2])
        long = os.urandom(8 * 2**20)
        place = create(server, "long.mp4", len(long))
        for number in range(20):
            arrived = server.arrived(place)
            send(server, place, long[arrived : arrived + 2**18], arrived)
            await_moment(root, chance) if real else time.sleep(chance.uniform(0.5, 3))
            server.kill(("worker", "server", "both")[number % 3])
        while (arrived := server.arrived(place)) < len(long):
            send(server, place, long[arrived : arrived + 2**20], arrived)
        assert (server.data / "uploads" / place.rpartition("/")[2] / "content").read_bytes() == long
        await_that(lambda: {job["state"] for job in server.jobs()}.isdisjoint((QUEUED, RUNNING)), until=900)
        assert [job["state"] for job in server.jobs()] == [DONE] * 30
        made = {job["id"]: [file["name"] for file in job["result"]["files"]] for job in server.jobs()}
        await_that(lambda: not decoders(root))  # one looks at the long upload
        require_whole(root, made)
        assert {path.name for path in root.iterdir()} == {"data", "logs", "journal"}
        assert not events(root, "request failed")
    if real:
        assert require_resumed(root, made)
        require_films(root, film, made)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_a_film_that_is_given_up_gives_its_process_and_the_disk_back(tmp_path, how):
    """The state within 1 s, the disk within 5 s: by its own clock, and longer on a machine with more to do."""
    with serving(tmp_path, real=True) as server:
        identity = upload(server, "film.mkv", film_of(tmp_path, 50 * CHUNK))
        await_state(server, identity, "ready")
        server.enlarge(identity)
        [job] = server.jobs()
        folder = server.data / "jobs" / job["id"]
        await_that(lambda: len(list(folder.glob(".work_*/*.nut"))) > 1)
        [decoder] = decoders(tmp_path)
        begun = time.time()
        if how == "cancelled":
            server.ask("POST", f"/jobs/{job['id']}/cancel", headers=server.headers)
            assert [job["state"] for job in server.jobs()] == [CANCELLED]
        else:
            server.ask("DELETE", f"/uploads/{identity}", headers=server.headers)
            assert server.files() == []
        stated = time.time() - begun
        [ended] = await_that(lambda: [line for line in events(tmp_path, "job ends") if line["job"] == job["id"]])
        assert ended["state"] == "gone" and not lives(decoder) and not folder.exists()
        assert (server.data / "uploads" / identity).exists() == (how == "cancelled")
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        print(f"{how}: state after {stated:.2f} s, process and disk after {ended['time'] - begun:.2f} s, load {busy}")
        assert stated < busy and ended["time"] - begun < 5 * busy


def test_bytes_that_a_killed_server_could_not_check_have_not_arrived(tmp_path):
    """Those that came without checksum have."""
    content, part = os.urandom(4 * 2**20), slice(1000, 3 * 2**20)
    checksum = base64.b64encode(hashlib.sha256(content[1000:]).digest()).decode()
    with serving(tmp_path, workers=0) as server:
        places = [create(server, name, len(content)) for name in ("checked.mp4", "plain.mp4")]
        for place in places:
            send(server, place, content[:1000], 0)
        process = psutil.Process(server.process.pid)
        before = process.io_counters().write_chars
        said = [{"Upload-Checksum": f"sha256 {checksum}"}, {}]
        begun = [
            begin_patch(server, place, 1000, len(content), **more) for place, more in zip(places, said, strict=True)
        ]
        for connection in begun:
            connection.sendall(content[part])
        await_that(lambda: process.io_counters().write_chars - before > 4 * 2**20)  # two blocks of either
        assert server.arrived(places[0]) == 1000
        server.kill("server")
        for connection in begun:
            connection.close()
        checked, plain = map(server.arrived, places)
        assert checked == 1000 and plain > 2 * 2**20
        assert server.ask("DELETE", places[0], headers=server.headers).status_code == 204
        send(server, places[1], content[plain:], plain)
        kept = [path for path in (server.data / "uploads").rglob("*") if path.is_file()]
        assert [path.read_bytes() for path in kept] == [content]


def create(server: Server, name: str, size: int) -> str:
    said = {"Upload-Length": str(size), "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    return str(server.ask("POST", "/files", headers={**server.headers, **said}).headers["location"])


def send(server: Server, place: str, content: bytes, offset: int) -> None:
    said = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    server.ask("PATCH", place, headers={**server.headers, **said}, content=content)


def begin_patch(server: Server, place: str, offset: int, size: int, **more: str) -> socket.socket:
    """A request whose body, the bytes from `offset` to `size`, is still to come."""
    said = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    said |= {"Host": f"127.0.0.1:{server.port}", "Cookie": f"owner={server.http.cookies['owner']}"}
    said |= {"Content-Length": str(size - offset), **server.headers, **more}
    lines = [f"PATCH {place} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall("\r\n".join(lines).encode())
    return connection


def upload(server: Server, name: str, content: bytes) -> str:
    place = create(server, name, len(content))
    send(server, place, content, 0)
    return place.rpartition("/")[2]


def await_state(server: Server, identity: str, state: str) -> None:
    await_that(lambda: [found["state"] for found in server.files() if found["id"] == identity] == [state])
