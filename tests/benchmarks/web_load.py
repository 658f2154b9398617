"""The platform under load: python web_load.py [SECONDS]. Uploads, pages and two conversions at a time, then a table.

A page process with two workers, of a thread each: of the four visitors two enlarge films and two pictures with the
shipped weights, again and again, so that two conversions run at any time while all four look at their pages ten times
a second, and 64 others send files at 100 kB/s each. Memory and open files are the page process's: the median of the
second half of the time against that of the first, after a tenth to begin in and before another to end in.
"""

import asyncio
import base64
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import numpy as np
import psutil
from measure import ROOT, keep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from film_files import make_film

from competition.images import encode_png

_VISITORS = 4
_SENDERS = 64
_PIECE, _PAUSE = bytes(25_000), 0.25  # of a sender
_OPTIONS = {"network": "mini_x4", "scale": "4"}


def main(seconds: float) -> None:
    """Load a server of our own, and keep what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        process, page = _serve(Path(folder))
        taken: dict[str, list[float]] = {}
        end = time.monotonic() + seconds
        files = _files(Path(folder)) * (_VISITORS // 2)
        threads = [threading.Thread(target=_visit, args=(page, end, taken, path)) for path in files]
        senders = multiprocessing.get_context("spawn").Process(target=send, args=(page, seconds))
        for one in (senders, *threads):
            one.start()
        time.sleep(seconds / 10)
        early, late = _watched(process.pid, seconds * 0.4), _watched(process.pid, seconds * 0.4)
        for one in (senders, *threads):
            one.join()
        process.terminate()
        process.wait(60)
    rows = [_row(what, times) for what, times in taken.items()]
    for row in rows:
        print(*row)
    growth = f"{100 * (late.memory / early.memory - 1):+.1f} % of {early.memory / 2**20:.0f} MiB"
    files = f"open files {early.files:.0f} and {late.files:.0f}"
    print("memory", growth, files, "load", os.getloadavg())
    busy = f"on a machine with a load average of {os.getloadavg()[1]:.0f}"
    load = f"{_VISITORS} visitors, {_SENDERS} uploads and two conversions"
    title = f"The platform for {seconds:.0f} s with {load} {busy}, memory {growth}, {files}"
    columns = ["request", "number", "median [ms]", "p99 [ms]"]
    keep("web_load", title, f"python tests/benchmarks/web_load.py {seconds:.0f}", columns, rows, "docs/web.md")


def _serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    flags = ["--port", "0", "--data", folder / "data", "--networks", ROOT, "--workers", "2", "--threads", "1"]
    with open(folder / "logs", "wb") as logs:
        process = subprocess.Popen([sys.executable, "-m", "competition.web", "serve", *map(str, flags)], stderr=logs)
    while not (found := re.search(r'"page": "([^"]+)"', (folder / "logs").read_text())):
        time.sleep(0.1)
    return process, found[1]


class _Used(NamedTuple):
    """Bytes of memory and open files."""

    memory: float
    files: float


def _watched(process: int, seconds: float) -> _Used:
    """What a process uses, each the median over a time: the system takes some pages and gives them back."""
    found, taken, end = psutil.Process(process), [], time.monotonic() + seconds
    while time.monotonic() < end:
        taken.append((found.memory_info().rss, found.num_fds()))
        time.sleep(1)
    return _Used(*np.median(taken, 0))


def send(page: str, seconds: float) -> None:
    """Many visitors whose uploads go on all the time, each over a slow line."""

    async def all_of_them() -> None:
        await asyncio.gather(*(_send(page, seconds) for _ in range(_SENDERS)))

    asyncio.run(all_of_them())


async def _send(page: str, seconds: float) -> None:
    count = int(seconds / _PAUSE)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(_PAUSE)
            yield _PIECE

    async with httpx2.AsyncClient(base_url=page, timeout=60) as http:
        headers = {"X-Token": (await http.get("/api/session")).json()["token"], "Tus-Resumable": "1.0.0"}
        size = {"Upload-Length": str(2 * count * len(_PIECE))}  # so that it is never whole
        place = (await http.post("/files", headers=headers | size)).headers["location"]
        part = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert (await http.patch(place, headers=headers | part, content=body())).status_code == 204
        await http.delete(place, headers=headers)


def _files(folder: Path) -> list[Path]:
    """A picture of 256x256 and a film of a second."""
    picture, film = folder / "a.png", folder / "a.mp4"
    picture.write_bytes(encode_png(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)))
    make_film(film, 25, (64, 96))
    return [picture, film]


def _visit(page: str, end: float, taken: dict[str, list[float]], path: Path) -> None:
    """One visitor: adds a file, enlarges it, looks at the pages, deletes it, and begins again."""
    content = path.read_bytes()
    with httpx2.Client(base_url=page, timeout=60) as http:

        def ask(what: str, method: str, path: str, **more: object) -> httpx2.Response:
            begin = time.monotonic()
            answer = http.request(method, path, **more)  # type: ignore[arg-type]
            taken.setdefault(what, []).append(time.monotonic() - begin)
            assert answer.status_code < 400, (method, path, answer.text)
            return answer

        ask("page", "GET", "/")
        headers = {"X-Token": ask("session", "GET", "/api/session").json()["token"], "Tus-Resumable": "1.0.0"}
        while time.monotonic() < end:
            name = base64.b64encode(path.name.encode()).decode()
            said = {"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
            place = ask("upload begun", "POST", "/files", headers={**headers, **said}).headers["location"]
            part = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
            ask("upload", "PATCH", place, headers={**headers, **part}, content=content)
            identity = place.rpartition("/")[2]
            asked = False
            while time.monotonic() < end:
                ask("page", "GET", "/")
                [found] = ask("status", "GET", "/api/files").json()
                if found["state"] == "ready" and not asked:
                    ask("start", "POST", f"/uploads/{identity}/enlarge", headers=headers, data=_OPTIONS)
                    asked = True
                elif asked and found["jobs"][0]["state"] == "done":
                    break
                time.sleep(0.1)
            ask("delete", "DELETE", f"/uploads/{identity}", headers=headers)


def _row(what: str, times: list[float]) -> list[str]:
    median, late = (1000 * float(np.quantile(times, share)) for share in (0.5, 0.99))
    return [what, str(len(times)), f"{median:.0f}", f"{late:.0f}"]


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 300)
