"""How a job moves between its states; each move is one statement, so two processes never both make it."""

import os
import platform
import time
from typing import Any

import psutil
from sqlalchemy import CursorResult, Engine, Update, case, func, or_, select, update
from sqlalchemy.orm import Session

from competition.errors import BadInput
from competition.web.tables import CANCELLED, DONE, FAILED, LOOK, LOOKING, QUEUED, READY, REFUSED, RUNNING, Job, Upload

UNFINISHED = (QUEUED, RUNNING)
WANTED = (*UNFINISHED, DONE)


def submit(engine: Engine, job: Job) -> str:
    """Put a job into the table as queued; returns its id."""
    with Session(engine) as session, session.begin():
        session.add(job)
        session.flush()
        return job.id


def claim(engine: Engine, lane: str, worker: str) -> Job | None:
    """Take the oldest queued job of a lane, those of owners without running jobs first; None where none waits."""
    busy = select(Job.owner).where(Job.state == RUNNING, Job.lane == lane)
    oldest = (
        select(Job.id)
        .where(Job.state == QUEUED, Job.lane == lane)
        .order_by(Job.owner.in_(busy), Job.created)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    now = time.time()
    taken = (
        update(Job)
        .where(Job.id == oldest.scalar_subquery(), Job.state == QUEUED)
        .values(state=RUNNING, attempt=Job.attempt + 1, worker=worker, heartbeat=now, changed=now)
        .values(started=case((Job.started > 0, Job.started), else_=now), resumed=now, resumed_at=Job.progress)
        .returning(Job)
        .execution_options(synchronize_session=False)
    )
    with Session(engine, expire_on_commit=False) as session, session.begin():
        return session.scalars(taken).one_or_none()


def beat(engine: Engine, job: Job, progress: float | None = None) -> bool:
    """Give a sign of life, with progress where there is some; False where the job is no longer this attempt's."""
    values: dict[str, Any] = {"heartbeat": time.time()}
    if progress is None:
        values["changed"] = Job.changed  # nothing that a page would show
    else:
        forward = Job.progress < progress
        values["progress"] = case((forward, progress), else_=Job.progress)
        values["deaths"] = case((forward, 0), else_=Job.deaths)
        # An attempt that does again what an earlier one did tells its rate from where it overtakes that.
        behind = Job.progress > progress
        values["resumed"] = case((behind, values["heartbeat"]), else_=Job.resumed)
        values["resumed_at"] = case((behind, Job.progress), else_=Job.resumed_at)
    return _moved(engine, _running(job).values(values))


def finish(engine: Engine, job: Job, result: dict[str, Any]) -> bool:
    """Mark a job as done; False where it is no longer this attempt's."""
    done = _running(job).values(state=DONE, progress=1.0, result=result)
    return _moved(engine, done, _looked_at(job, state=READY, info=result))


def fail(engine: Engine, job: Job, reason: str) -> bool:
    """Mark a job as failed; False where it is no longer this attempt's."""
    failed = _running(job).values(state=FAILED, reason=reason)
    return _moved(engine, failed, _looked_at(job, state=REFUSED, reason=reason))


def _looked_at(job: Job, **values: Any) -> Update | None:
    """What the end of a look at an upload means for the upload."""
    return update(Upload).where(Upload.id == job.upload).values(values) if job.operation == LOOK else None


def cancel(engine: Engine, owner: str, job: str) -> bool:
    """Cancel an owner's job that waits or runs; its worker notices at its next sign of life."""
    mine = update(Job).where(Job.id == job, Job.owner == owner, Job.state.in_(UNFINISHED))
    return _moved(engine, mine.values(state=CANCELLED))


def release(engine: Engine, job: Job) -> bool:
    """Give a job back to the queue: its worker is told to end."""
    return _moved(engine, _running(job).values(state=QUEUED, worker=""))


def recover(engine: Engine, patience: float, attempts: int) -> int:
    """Queue again what runs without sign of life for `patience` seconds, or whose worker on this machine is gone.

    A job over which `attempts` workers in a row died is given up, and so is the upload that it was to look at. Returns
    how many were queued again.
    """
    with Session(engine) as session:
        running = session.execute(select(Job.worker).where(Job.state == RUNNING).distinct()).scalars().all()
    gone = [worker for worker in running if is_gone(worker)]
    lost = update(Job).where(Job.state == RUNNING, or_(Job.heartbeat < time.time() - patience, Job.worker.in_(gone)))
    again = lost.where(Job.deaths + 1 < attempts).values(state=QUEUED, worker="", deaths=Job.deaths + 1)
    given_up = lost.where(Job.deaths + 1 >= attempts).values(state=FAILED, reason="crashed", deaths=Job.deaths + 1)
    unseen = select(Job.upload).where(Job.operation == LOOK, Job.state == FAILED)
    refused = update(Upload).where(Upload.state == LOOKING, Upload.id.in_(unseen))
    with Session(engine) as session, session.begin():
        if _count(session, given_up):
            _count(session, refused.values(state=REFUSED, reason="crashed"))
        return _count(session, again)


def is_mine(engine: Engine, job: Job) -> bool:
    """Whether a job still is this attempt's."""
    return _state(engine, job.id) == (RUNNING, job.attempt)


def is_wanted(engine: Engine, job: str) -> bool:
    """Whether a job waits, runs or is done, perhaps by another worker: what lies in its folder is then needed."""
    state = _state(engine, job)
    return state is not None and state[0] in WANTED


def _state(engine: Engine, job: str) -> tuple[str, int] | None:
    with Session(engine) as session:
        row = session.execute(select(Job.state, Job.attempt).where(Job.id == job)).one_or_none()
        return None if row is None else (row.state, row.attempt)


def sources(engine: Engine, job: Job) -> list[Upload]:
    """The uploads a job is made of, in its order; raises BadInput where one is gone."""
    with Session(engine) as session:
        found = [session.get(Upload, identity) for identity in (job.upload, *job.settings.get("others", []))]
    uploads = [upload for upload in found if upload is not None]
    if len(uploads) < len(found):
        raise BadInput("file: was deleted meanwhile. Add it again")
    return uploads


def waiting(engine: Engine, lane: str | None = None) -> int:
    """How many jobs wait."""
    with Session(engine) as session:
        query = select(func.count()).select_from(Job).where(Job.state == QUEUED)
        return session.scalar(query if lane is None else query.where(Job.lane == lane)) or 0


def name_of(process: int | None = None) -> str:
    """What a process is called in the table: machine, number and when it began, as numbers come again.

    That is in seconds since the machine did: a clock that is set changes the time of day of both.
    """
    process = os.getpid() if process is None else process
    return f"{platform.node()}:{process}:{psutil.Process(process).create_time() - psutil.boot_time():.2f}"


def is_gone(worker: str) -> bool:
    """Whether a worker was one of this machine and lives no more."""
    machine, number, _ = worker.rsplit(":", 2)
    if machine != platform.node():
        return False
    try:
        return psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE or name_of(int(number)) != worker
    except psutil.NoSuchProcess:
        return True


def _running(job: Job) -> Update:
    return update(Job).where(Job.id == job.id, Job.attempt == job.attempt, Job.state == RUNNING)


def _moved(engine: Engine, change: Update, then: Update | None = None) -> bool:
    """Make a change to one row and, where that was possible, the change that goes with it."""
    with Session(engine) as session, session.begin():
        moved = _count(session, change) == 1
        if moved and then is not None:
            _count(session, then)
        return moved


def _count(session: Session, change: Update) -> int:
    done = session.execute(change.execution_options(synchronize_session=False))
    assert isinstance(done, CursorResult)
    return done.rowcount
