"""The platform with conversions whose work is noted in a journal: quick ones in their place, or the real ones."""

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNKS = 4
REAL = "REAL_CONVERSIONS"
"""Set in the environment where they are not replaced."""
Report = Callable[[float, float], None]


def write_chunks(
    sources: list[tuple[Path, str]], folder: Path, settings: dict[str, Any], report: Report
) -> dict[str, Any]:
    """Stands for a film's chunks; every one that is made is noted."""
    for number in range(CHUNKS):
        chunk = folder / f".work_{number}"
        if not chunk.exists():
            time.sleep(settings.get("pause", 0.05))
            _note(folder, number)
            chunk.write_bytes(sources[0][0].read_bytes())
        report(number + 1, CHUNKS)
    (folder / "result.txt").write_bytes(b"".join((folder / f".work_{number}").read_bytes() for number in range(CHUNKS)))
    for number in range(CHUNKS):
        (folder / f".work_{number}").unlink()
    size = (folder / "result.txt").stat().st_size
    return {"files": [{"name": "result.txt", "type": "text/plain", "bytes": size}], "bytes": size}


def find_no_room(sources: list[tuple[Path, str]], folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Stands for work amid which the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "thumbnail.jpg"))


def enlarge(sources: list[tuple[Path, str]], folder: Path, settings: dict[str, Any], report: Report) -> dict[str, Any]:
    """What is really done; every frame is noted once it was taken care of."""
    from competition.web import conversions

    def noted(done: float, total: float) -> None:
        _note(folder, round(done))
        report(done, total)

    return conversions.enlarge(sources, folder, settings, noted)


def _note(folder: Path, number: int) -> None:
    """A line of the journal beside the service's folder: job, process, what was made."""
    with open(folder.parents[2] / "journal", "a") as journal:
        journal.write(f"{folder.name} {os.getpid()} {number}\n")


if __name__ == "__main__":
    import web_jobs  # by the name that the limited process imports it by

    from competition.web import __main__, conversions

    conversions.OPERATIONS["enlarge"] = web_jobs.enlarge if REAL in os.environ else web_jobs.write_chunks
    __main__.WORKER = (sys.executable, __file__, "work")
    __main__.main(sys.argv[1:])
