"""A worker process: takes jobs from both lanes, and keeps the house in order every few seconds."""

import logging
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from competition.files import make_folder
from competition.web import jobs
from competition.web.logs import log
from competition.web.queues import Queue, open_queue
from competition.web.runner import Runner
from competition.web.settings import Settings
from competition.web.storage import Storage, remove
from competition.web.tables import LANES, LONG, QUICK, open_database

_AT_ONCE = {QUICK: 2, LONG: 1}  # jobs of one worker: a preview does not keep looks waiting
_TICK = 1.0  # seconds between two looks for jobs that nobody works at
_SWEEP = 60.0  # seconds between two looks for files that nobody needs


def work(settings: Settings) -> None:
    """Work until told to end; then jobs at hand go back to the queue, with whatever is finished of them kept."""
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)  # of the limited processes
    engine = open_database(settings.database_url)
    storage = Storage(settings, engine)
    scratch = storage.scratch / jobs.name_of()
    make_folder(scratch)
    tempfile.tempdir = str(scratch)  # so that nothing of ours is ever outside the data folder
    end = threading.Event()
    lanes = {lane: open_queue(settings, lane, _labour(engine, storage, lane, end)) for lane in LANES}
    consumers = [
        queue.huey.create_consumer(workers=_AT_ONCE[lane], periodic=False, max_delay=0.5)
        for lane, queue in lanes.items()
    ]
    for consumer in consumers:
        consumer.start()
    _heed_signals(end)  # after Huey, which has handlers of its own
    log("worker begins", worker=jobs.name_of())
    _keep_house(settings, storage, lanes, end)
    for consumer in consumers:
        consumer.stop(graceful=True)
    remove(scratch)
    log("worker ends", worker=jobs.name_of())


def _labour(engine: Engine, storage: Storage, lane: str, end: threading.Event) -> Callable[[], None]:
    runner = Runner(engine, storage, end.is_set)

    def labour() -> None:
        """Work at jobs of the lane while there are some: a message may have been lost with its worker."""
        while not end.is_set() and (job := jobs.claim(engine, lane, jobs.name_of())):
            runner.run(job)

    return labour


def _heed_signals(end: threading.Event) -> None:
    def heed(number: int, frame: FrameType | None) -> None:
        end.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heed)
    if not sys.stdin.closed and stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_parent, args=(end,), daemon=True).start()


def _end_with_parent(end: threading.Event) -> None:
    """End when the page process that holds the other end of our stdin is gone."""
    os.read(0, 1)
    end.set()


def _keep_house(settings: Settings, storage: Storage, lanes: dict[str, Queue], end: threading.Event) -> None:
    """Queue lost jobs again, wake for waiting ones, delete what is expired; until told to end.

    A table that is away for a while is asked again.
    """
    swept = -_SWEEP
    while not end.wait(_TICK):
        try:
            if again := jobs.recover(storage.engine, settings.patience, settings.attempts):
                log("jobs queued again", count=again)
            for lane, queue in lanes.items():
                if jobs.waiting(storage.engine, lane):
                    queue.remind()
            if time.monotonic() - swept > _SWEEP:
                swept = time.monotonic()
                _sweep(storage)
        except DBAPIError as error:
            log("table does not answer", logging.WARNING, cause=str(error.orig))


def _sweep(storage: Storage) -> None:
    """Delete what nobody needs any more."""
    for folder in storage.scratch.iterdir():
        if jobs.is_gone(folder.name):
            remove(folder)
    log("swept", expired=storage.expire(), folders=storage.sweep())
