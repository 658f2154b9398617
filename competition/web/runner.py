"""Running one job: a limited process does it, a worker watches, tells the table and heeds it."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from competition.errors import BadInput, CompetitionError, Stopped, StorageError, as_error
from competition.files import make_folder, printable, sweep
from competition.media import sandbox
from competition.web import conversions, jobs
from competition.web.logs import log
from competition.web.storage import Storage, held, remove
from competition.web.tables import LOOK, Job

_TELL = 0.5  # seconds between two words of progress
_GRAPHICS = Path("/dev/nvidiactl")  # where conversions may use a graphics card
_BEAT = 1.0  # seconds between two signs of life without news
Convert = Callable[..., dict[str, Any]]


class Runner:
    """Runs jobs one at a time; once `stopping` says True the job at hand goes back to the queue."""

    def __init__(self, engine: Engine, storage: Storage, stopping: Callable[[], bool]) -> None:
        self.engine, self.storage, self.stopping = engine, storage, stopping

    def run(self, job: Job, convert: Convert | None = None) -> None:
        """Do a claimed job to its end in the table; besides its result nothing stays on disk."""
        begin = time.monotonic()
        log("job begins", job=job.id, operation=job.operation, attempt=job.attempt)
        try:
            state = self._do(job, convert or conversions.OPERATIONS[job.operation])
        except Stopped:
            state = "released" if self.stopping() and jobs.release(self.engine, job) else "gone"
        except (CompetitionError, OSError) as error:
            told = as_error(error)
            if job.operation == LOOK and isinstance(told, StorageError):
                state = "left"  # no fault of the upload: found like a dead worker's job, it is looked at again
            else:
                state = "failed" if self._refuse(job, told) else "gone"
        if not jobs.is_wanted(self.engine, job.id):
            remove(self.storage.folder(job))
        log("job ends", job=job.id, operation=job.operation, state=state, seconds=round(time.monotonic() - begin, 3))

    def _do(self, job: Job, convert: Convert) -> str:
        folder = self.storage.folder(job)
        make_folder(folder)
        sweep(folder)  # of attempts that were killed
        uploads = jobs.sources(self.engine, job)
        room = math.inf if job.operation == LOOK else self.storage.left(job.owner)
        result = sandbox.run(
            convert,
            bounds=self._bounds(job),
            report_to=self._telling(job),
            stop=self._watch(job, room),
            sources=[(str(self.storage.content(upload.id)), upload.name) for upload in uploads],
            folder=str(folder),
            settings={**job.settings, "pixels": self.storage.settings.pixels},
        )
        if result.get("bytes", 0) > room:
            raise _beyond(room)
        return "done" if jobs.finish(self.engine, job, result) else "gone"

    def _telling(self, job: Job) -> sandbox.Report:
        """Tells the table of progress, no more often than pages look."""
        told = 0.0

        def tell(done: float, total: float) -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL:
                told = time.monotonic()
                jobs.beat(self.engine, job, done / total if total > 0 else None)

        return tell

    def _watch(self, job: Job, room: float) -> Callable[[], bool]:
        """Whether to stop: asked five times a second, gives a sign of life now and then.

        Raises StorageError where more is written than an owner has room for, a film's chunks and the film of them.
        """
        beaten = 0.0

        def stop() -> bool:
            nonlocal beaten
            if self.stopping():
                return True
            if time.monotonic() - beaten < _BEAT:
                return not jobs.is_mine(self.engine, job)
            beaten = time.monotonic()
            if held(self.storage.folder(job)) > 2 * room:
                raise _beyond(room)
            return not jobs.beat(self.engine, job)

        return stop

    def _bounds(self, job: Job) -> sandbox.Bounds:
        settings = self.storage.settings
        if job.operation == LOOK:
            return sandbox.GLANCE
        cpu = settings.seconds * settings.threads
        room = max(self.storage.free(), 2**20)
        return sandbox.Bounds(int(settings.memory), cpu, settings.seconds, room, 256, _GRAPHICS.exists())

    def _refuse(self, job: Job, error: CompetitionError) -> bool:
        """Note why a job failed, a fault a line, in words for its visitor: paths of this machine are not for them."""
        reason = "\n".join(map(printable, error.lines))
        for path, name in ((self.storage.content(job.upload), "file"), (self.storage.folder(job), "result")):
            reason = reason.replace(str(path), name)
        if "called" in job.settings:
            reason = reason.replace(job.settings["network"], job.settings["called"])
        reason = reason.replace(str(self.storage.root), "…")
        log("job refused", job=job.id, reason=reason, bad_input=isinstance(error, BadInput))
        return jobs.fail(self.engine, job, reason)


def _beyond(room: float) -> StorageError:
    left = f"{max(room, 0):,.0f} bytes"
    return StorageError(f"result: takes more than the {left} that are left to you. Delete some files")
