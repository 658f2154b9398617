"""Uploads as they arrive: made with room for them, appended to by one at a time, looked at when whole."""

import contextlib
import errno
import fcntl
import os
import time
import unicodedata
from collections.abc import Iterator
from typing import IO

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from competition.files import make_folder, sync_folder
from competition.web.choices import QUICK_ONES
from competition.web.settings import Settings
from competition.web.storage import Storage
from competition.web.tables import LONG, LOOK, LOOKING, QUEUED, QUICK, UPLOADING, Job, Upload, new_id

_LONGEST_NAME = 200


class Refused(Exception):
    """A request that is refused: its HTTP status, and a word for `wording.py`."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word


class Uploads:
    """All uploads of the service."""

    def __init__(self, settings: Settings, engine: Engine, storage: Storage) -> None:
        self.settings, self.engine, self.storage = settings, engine, storage

    def create(self, owner: str, name: str, size: int, *, consent: bool) -> Upload:
        """Make room for a file; raises Refused before a byte of it is read, where there is none."""
        if size > self.settings.upload:
            raise Refused(413, "file too large")
        if self.storage.used(owner) + size > self.settings.quota:
            raise Refused(413, "quota used up")
        with Session(self.engine) as session:
            count = session.scalar(select(func.count()).select_from(Upload).where(Upload.owner == owner)) or 0
        if count >= self.settings.files:
            raise Refused(413, "too many files")
        if size > self.storage.free() - self.storage.promised():
            raise Refused(507, "disk full")
        upload = Upload(id=new_id(), owner=owner, name=shown(name), size=size, consent=consent)
        with _disk():
            make_folder(self.storage.upload(upload.id))
            self.storage.content(upload.id).touch()
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.add(upload)  # behind its folder, which is swept where this process ends between the two
        return upload

    def find(self, owner: str, identity: str) -> Upload:
        """An owner's upload; raises Refused 404 for one that is not there or somebody else's."""
        with Session(self.engine) as session:
            upload = session.get(Upload, identity)
        if upload is None or upload.owner != owner:
            raise Refused(404, "not found")
        return upload

    @contextlib.contextmanager
    def appending(self, upload: Upload, offset: int) -> Iterator[IO[bytes]]:
        """The file of an upload at its end, for one writer; raises Refused where `offset` is not there."""
        with _disk(), open(self.storage.content(upload.id), "r+b", 0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refused(423, "upload is busy") from error
            if file.seek(0, os.SEEK_END) != offset:
                raise Refused(409, "wrong offset")
            if upload.size - offset > self.storage.free():
                raise Refused(507, "disk full")
            yield file

    def settle(self, upload: Upload) -> bool:
        """Have an upload looked at once it is whole; whether this call is the one that found it so."""
        if upload.state != UPLOADING or self.storage.arrived(upload.id) < upload.size:
            return False
        with open(self.storage.content(upload.id), "rb") as file:
            os.fsync(file.fileno())
        sync_folder(self.storage.upload(upload.id))
        whole = update(Upload).where(Upload.id == upload.id, Upload.state == UPLOADING).values(state=LOOKING)
        with Session(self.engine) as session, session.begin():
            if session.execute(whole).rowcount == 0:  # type: ignore[attr-defined]
                return False
            session.add(Job(owner=upload.owner, upload=upload.id, operation=LOOK, lane=QUICK))
        upload.state = LOOKING
        return True

    def touch(self, upload: Upload) -> None:
        """Note that more of an upload has come, so that it does not expire."""
        with Session(self.engine) as session, session.begin():
            session.execute(update(Upload).where(Upload.id == upload.id).values(changed=time.time()))


def new_job(engine: Engine, limit: int, upload: Upload, operation: str, settings: dict[str, object]) -> Job:
    """Queue an operation on an upload; raises Refused where too many wait already."""
    lane = QUICK if operation in QUICK_ONES else LONG
    job = Job(owner=upload.owner, upload=upload.id, operation=operation, settings=settings, lane=lane)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        waiting = session.scalar(select(func.count()).select_from(Job).where(Job.state == QUEUED)) or 0
        if waiting >= limit:
            raise Refused(503, "too much waits")
        session.add(job)
    return job


def shown(name: str) -> str:
    """A visitor's file name as it is shown: its last part, on one line, without marks that turn text around."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in last if letter.isprintable() and unicodedata.category(letter) != "Cf")
    stem, dot, ending = plain.strip().rpartition(".")
    return (stem[:_LONGEST_NAME] + dot + ending[:20]) or "file"


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """A full disk, or an upload that is deleted meanwhile, as what it means to the visitor."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Refused(507, "disk full") from error
        if error.errno == errno.ENOENT:
            raise Refused(404, "not found") from error
        raise
