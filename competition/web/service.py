"""The service behind the pages: its settings, tables, files, queues and visitors, and who may ask for what."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from competition.web import choices, harvest, jobs
from competition.web.figures import Figures
from competition.web.owners import Owners
from competition.web.queues import open_queue
from competition.web.settings import Settings
from competition.web.storage import Storage, remove
from competition.web.tables import LANES, LOOK, QUICK, Job, Upload, open_database
from competition.web.uploads import Refused, Uploads, new_job


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

    def settle(self, upload: Upload) -> None:
        """Have an upload that is whole looked at."""
        if self.uploads.settle(upload):
            self.queues[QUICK].wake()

    def start(self, upload: Upload, operation: str, settings: dict[str, object]) -> Job:
        """Queue an operation; raises Refused where too many wait, or there is no room for what it makes."""
        if self.storage.used(upload.owner) > self.settings.quota:
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
        """Delete an upload with all that was made of it; its pair first, which no page shows."""
        harvest.forget(self.storage.harvest, upload.id)
        self.storage.forget_upload(upload.id)

    def withdraw(self, upload: Upload) -> None:
        """Take the consent for an upload back."""
        harvest.forget(self.storage.harvest, upload.id)
        with Session(self.engine) as session, session.begin():
            session.execute(update(Upload).where(Upload.id == upload.id).values(consent=False))

    def networks(self) -> dict[str, choices.Network]:
        return choices.networks(self.settings.networks.resolve())

    def listing(self, owner: str, most: int = 200) -> list[tuple[Upload, list[Job]]]:
        """An owner's newest uploads, each with its jobs, oldest first."""
        with Session(self.engine) as session:
            mine = select(Upload).where(Upload.owner == owner).order_by(Upload.created.desc()).limit(most)
            uploads = session.scalars(mine).all()
            made = select(Job).where(Job.owner == owner, Job.operation != LOOK).order_by(Job.created)
            jobs_of: dict[str, list[Job]] = {}
            for job in session.scalars(made):
                jobs_of.setdefault(job.upload, []).append(job)
        return [(upload, jobs_of.get(upload.id, [])) for upload in uploads]


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
