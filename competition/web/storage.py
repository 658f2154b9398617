"""The data folder: where the bytes of uploads and jobs lie, how much there is, and what belongs to nobody."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from sqlalchemy import Engine, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from competition.files import delete as delete_files
from competition.files import make_folder
from competition.web.settings import Settings
from competition.web.tables import CANCELLED, FAILED, LOOK, MERGE, QUEUED, REFUSED, RUNNING, UPLOADING, Job, Upload

_REST = 600.0  # seconds without a byte after which an upload has to find room anew when it goes on
_GRACE = 60.0  # seconds that a folder without a row may be one that is just being made


class Storage:
    """Folders `uploads/ID` and `jobs/ID` below the data folder; every ID is one of ours, never a visitor's word."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self.engine = settings, engine
        self.root = settings.data.resolve()
        self.harvest = self.root / "harvest"
        self.scratch = self.root / "state" / "scratch"
        for name in ("uploads", "jobs", "state"):
            make_folder(self.root / name)

    def upload(self, identity: str) -> Path:
        """The folder of an upload; its bytes are in `content`."""
        return self.root / "uploads" / identity

    def content(self, identity: str) -> Path:
        return self.upload(identity) / "content"

    def job(self, identity: str) -> Path:
        """The folder of a job: its results, and until then whatever is half-made."""
        return self.root / "jobs" / identity

    def folder(self, job: Job) -> Path:
        """Where a job writes: a look at an upload beside the upload, every other one into a folder of its own."""
        return self.upload(job.upload) if job.operation == LOOK else self.job(job.id)

    def free(self) -> int:
        """Bytes that may still be written, less those that stay in reserve."""
        return shutil.disk_usage(self.root).free - self.settings.reserve

    def used(self, owner: str) -> int:
        """Bytes of an owner: uploads as promised, less those that were refused and are gone; results as they are."""
        kept = (Upload.owner == owner) & (Upload.state != REFUSED)
        with Session(self.engine) as session:
            promised = session.scalar(select(func.sum(Upload.size)).where(kept)) or 0
            results = session.scalars(select(Job.result).where(Job.owner == owner, Job.state == "done"))
            return int(promised) + sum(int(result.get("bytes", 0)) for result in results)

    def left(self, owner: str) -> int:
        """Bytes that an owner may still have."""
        return int(self.settings.quota) - self.used(owner)

    def promised(self) -> int:
        """Bytes that unfinished uploads of everybody have still to bring; those that rest keep no room from others."""
        with Session(self.engine) as session:
            rows = session.execute(select(Upload.id, Upload.size).where(Upload.state == UPLOADING)).all()
        lately = time.time() - _REST
        return sum(size - self.arrived(identity) for identity, size in rows if not self._quiet_since(identity, lately))

    def arrived(self, identity: str) -> int:
        """Bytes of an upload that are on disk."""
        try:
            return self.content(identity).stat().st_size
        except FileNotFoundError:
            return 0

    def forget_upload(self, identity: str) -> None:
        """Delete an upload, its jobs and all their files: rows first, so that whatever is left has no row."""
        with Session(self.engine) as session, session.begin():
            jobs = session.scalars(select(Job.id).where(Job.upload == identity)).all()
            session.execute(delete(Job).where(Job.upload == identity))
            session.execute(delete(Upload).where(Upload.id == identity))
        for job in jobs:
            remove(self.job(job))
        remove(self.upload(identity))

    def forget_job(self, identity: str) -> None:
        """Delete a job and its files."""
        with Session(self.engine) as session, session.begin():
            session.execute(delete(Job).where(Job.id == identity))
        remove(self.job(identity))

    def expire(self) -> int:
        """Delete uploads that come no further and what is older than the days of the settings; how many.

        Files given for learning stay, unless they were refused, and so do those that a job works at or waits for.
        """
        hours_ago = time.time() - 3600 * self.settings.hours
        days_ago = time.time() - 86400 * self.settings.days
        unfinished = (Upload.state == UPLOADING) & (Upload.changed < hours_ago)
        of_no_use = Upload.consent.is_(False) | (Upload.state == REFUSED)
        wanted = exists().where(Job.upload == Upload.id, or_(Job.state.in_((QUEUED, RUNNING)), Job.changed >= days_ago))
        old = (Upload.state != UPLOADING) & of_no_use & (Upload.changed < days_ago) & ~wanted
        waiting = select(Job.settings).where(Job.operation == MERGE, Job.state.in_((QUEUED, RUNNING)))
        with Session(self.engine) as session:
            expired = session.execute(select(Upload.id, Upload.state).where(or_(unfinished, old))).all()
            others = {other for settings in session.scalars(waiting) for other in settings["others"]}
        # Of a request that still runs, or was cut off, only the file itself tells how long ago bytes came.
        gone = [
            identity
            for identity, state in expired
            if identity not in others and (state != UPLOADING or self._quiet_since(identity, hours_ago))
        ]
        for identity in gone:
            self.forget_upload(identity)
        return len(gone)

    def _quiet_since(self, identity: str, time: float) -> bool:
        """Whether no byte of an upload has come since."""
        try:
            return self.content(identity).stat().st_mtime < time
        except FileNotFoundError:
            return True

    def sweep(self) -> int:
        """Delete folders that no row knows, or only one that was refused, failed or was cancelled; how many."""
        known: dict[str, set[str]] = {}
        with Session(self.engine) as session:
            known["uploads"] = set(session.scalars(select(Upload.id).where(Upload.state != REFUSED)))
            states = {identity: state for identity, state in session.execute(select(Job.id, Job.state))}  # noqa: C416
        known["jobs"] = {identity for identity, state in states.items() if state not in (FAILED, CANCELLED)}
        doomed = [
            folder
            for name, identities in known.items()
            for folder in (self.root / name).iterdir()
            if folder.name not in identities and _age(folder) > _GRACE
        ]
        for folder in doomed:
            remove(folder)
        return len(doomed)


def held(folder: Path) -> int:
    """Bytes of the files in a folder, in which a process may be writing and deleting."""
    total = 0
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def remove(path: Path) -> None:
    """Delete a file or folder, in which a process may still be writing."""
    for _ in range(3):
        try:
            return delete_files(path)
        except (FileNotFoundError, OSError):
            time.sleep(0.02)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
