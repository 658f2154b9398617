"""The service behind the pages: its settings, tables, files, queues and visitors, and who may ask for what."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from competition.web import choices, harvest, jobs
from competition.web.figures import Figures
from competition.web.owners import Owners
from competition.web.queues import open_queue
from competition.web.settings import Settings
from competition.web.storage import Storage, remove
from competition.web.tables import LANES, LOOK, QUICK, READY, Job, Upload, open_database
from competition.web.uploads import Refused, Uploads, new_job

PAGE = 200  # uploads


class Page(NamedTuple):
    """Some of an owner's uploads, newest first: the number of the page, from 1, and whether there is an older one."""

    number: int
    uploads: Sequence[Upload]
    older: bool


class Service:
    """Everything that a request needs; one for each process."""

    def __init__(self, settings: Settings) -> None:
        (settings.data / "state").mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.engine = open_database(settings.database_url)
        self.storage = Storage(settings, self.engine)
        self.uploads = Uploads(settings, self.engine, self.storage)
        self.queues = {lane: open_queue(settings, lane) for lane in LANES}
        password = settings.password.get_secret_value() if settings.password else None
        self.owners = Owners(self.storage.root / "state", password)
        self.figures = Figures()
        self.listening: Counter[str] = Counter()
        """Lines of events that are open, by owner."""

    def settle(self, upload: Upload) -> None:
        """Have an upload that is whole looked at."""
        if self.uploads.settle(upload):
            self.queues[QUICK].wake()

    def start(self, upload: Upload, operation: str, settings: dict[str, object]) -> Job:
        """Queue an operation; raises Refused where too many wait, or there is no room for what it makes."""
        if self.storage.left(upload.owner) < 0:
            raise Refused(413, "quota used up")
        if self.storage.free() <= 0:
            raise Refused(507, "disk full")
        job = new_job(self.engine, self.settings.waiting, upload, operation, settings)
        self.queues[job.lane].wake()
        return job

    def job(self, owner: str, identity: str) -> Job:
        """An owner's job; raises Refused 404 for one that is not there or somebody else's."""
        with Session(self.engine) as session:
            job = session.get(Job, identity)
        if job is None or job.owner != owner or job.operation == LOOK:
            raise Refused(404, "not found")
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job and give the disk back; a worker that is at it does so again once its process is gone."""
        if jobs.cancel(self.engine, job.owner, job.id):
            remove(self.storage.job(job.id))

    def forget(self, upload: Upload) -> None:
        """Delete an upload with all that was made of it; its pairs first, which no page shows."""
        harvest.forget(self.storage.harvest, upload.id)
        self.storage.forget_upload(upload.id)
        harvest.forget(self.storage.harvest, upload.id)  # those that a harvest has just made

    def withdraw(self, upload: Upload) -> None:
        """Take the consent for an upload back."""
        harvest.forget(self.storage.harvest, upload.id)
        with Session(self.engine) as session, session.begin():
            session.execute(update(Upload).where(Upload.id == upload.id).values(consent=False))
        harvest.forget(self.storage.harvest, upload.id)  # those that a harvest has just made

    def networks(self) -> dict[str, choices.Network]:
        return choices.networks(self.settings.networks.resolve())

    def listing(self, owner: str, number: int = 1) -> Page:
        """A page of an owner's uploads; the first has the newest, one beyond the last has none."""
        newest = select(Upload).where(Upload.owner == owner).order_by(Upload.created.desc(), Upload.id)
        with Session(self.engine) as session:
            found = session.scalars(newest.offset((number - 1) * PAGE).limit(PAGE + 1)).all()
        return Page(number, found[:PAGE], len(found) > PAGE)

    def others(self, upload: Upload) -> list[Upload]:
        """What its owner can have merged with an upload: all else of its kind by name, numbers in it by their value."""
        ready = select(Upload).where(Upload.owner == upload.owner, Upload.id != upload.id, Upload.state == READY)
        with Session(self.engine) as session:
            found = session.scalars(ready.order_by(Upload.created, Upload.id)).all()
        return sorted((other for other in found if other.info["media"] == upload.info["media"]), key=_by_name)

    def not_enlarged(self, owner: str) -> Sequence[Upload]:
        """An owner's uploads that are ready and that no job enlarges, waits to or has, the oldest first."""
        enlarged = select(Job.upload).where(Job.operation == "enlarge", Job.state.in_(jobs.WANTED))
        ready = select(Upload).where(Upload.owner == owner, Upload.state == READY, Upload.id.not_in(enlarged))
        with Session(self.engine) as session:
            return session.scalars(ready.order_by(Upload.created, Upload.id)).all()

    def jobs_of(self, uploads: Sequence[Upload]) -> dict[str, list[Job]]:
        """Jobs of uploads by the upload's id, oldest first, without looks."""
        found: dict[str, list[Job]] = {upload.id: [] for upload in uploads}
        made = select(Job).where(Job.upload.in_(found), Job.operation != LOOK).order_by(Job.created)
        with Session(self.engine) as session:
            for job in session.scalars(made):
                found[job.upload].append(job)
        return found


def _by_name(upload: Upload) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", upload.name.casefold())]


def the_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _owner(request: Request) -> str:
    owner = the_service(request).owners.recognise(request)
    if owner is None:
        raise Refused(404, "not found")
    return owner


def _changer(request: Request) -> str:
    owners = the_service(request).owners
    owner = owners.recognise(request)
    if owner is None or not owners.may_change(request, owner):
        raise Refused(403, "token lacks")
    return owner


Owner = Annotated[str, Depends(_owner)]
"""The visitor of a request; 404 for one who has never opened the page."""
Changer = Annotated[str, Depends(_changer)]
"""The same for requests that change something, which must show the page's token; 403 else."""
TheService = Annotated[Service, Depends(the_service)]
