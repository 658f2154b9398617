"""Training pairs of the pictures and films that visitors gave for learning, with a record of where each came from."""

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from competition.errors import CompetitionError
from competition.files import make_folder, sweep_dead, write_atomic
from competition.locks import locked
from competition.media import sandbox
from competition.web.logs import log
from competition.web.pairs import Made, make_pairs
from competition.web.settings import Settings
from competition.web.storage import Storage, remove
from competition.web.tables import READY, Upload, open_database

_SIDES = ("lr", "hr")
_CPU = 1800  # seconds for one upload; half a minute of a film is decoded at most


def harvest(settings: Settings) -> None:
    """Make DATA/harvest a folder that `train` can use: pairs of every picture and film given, and no others.

    Pairs whose upload is gone, or whose consent was taken back, are deleted; those that stand are kept. Whatever a
    killed harvest left, such as pairs without record, is deleted and made again. Raises StorageError where another
    harvest is at it.
    """
    storage = Storage(settings, open_database(settings.database_url))
    with locked(storage.root / "state" / "harvest"):
        given = {upload.id: upload for upload in _given(storage)}
        standing = _standing(storage.harvest)
        for identity in _found(storage.harvest) - (given.keys() & standing):
            forget(storage.harvest, identity)
        refused = 0
        for identity in given.keys() - standing:
            refused += not _add(storage, given[identity])
    count = len(read_record(storage.harvest))
    log("harvested", pairs=count, refused=refused, folder=str(storage.harvest))


def read_record(folder: Path) -> dict[str, Any]:
    """Where each pair came from, by its name without ending."""
    path = folder / "origins.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def forget(folder: Path, identity: str) -> None:
    """Delete all pairs of an upload, also those that a harvest is just making, and the record of them."""
    if not folder.is_dir():
        return
    for side in _SIDES:
        for path in (folder / "train" / side).glob(f"{identity}*.png"):
            remove(path)
    _note(folder, identity, {})


def _given(storage: Storage, only: str | None = None) -> list[Upload]:
    """The uploads that may be learnt from, or one of them."""
    given = select(Upload).where(Upload.consent, Upload.state == READY)
    with Session(storage.engine) as session:
        return list(session.scalars(given if only is None else given.where(Upload.id == only)))


def _upload_of(name: str) -> str:
    """The upload that a pair is of, by the pair's name: all of one upload begin alike."""
    return name.partition("_")[0]


def _found(folder: Path) -> set[str]:
    """Uploads of which there is a pair, half a pair or a record."""
    pictures = [path.stem for side in _SIDES for path in (folder / "train" / side).glob("*.png")]
    return {_upload_of(name) for name in (*pictures, *read_record(folder))}


def _standing(folder: Path) -> set[str]:
    """Uploads whose pairs are all there, both sides, and no others."""
    sides = [{path.stem for path in (folder / "train" / side).glob("*.png")} for side in _SIDES]
    record = read_record(folder).keys()
    return {_upload_of(name) for name in record} - {_upload_of(name) for side in sides for name in side ^ record}


def _add(storage: Storage, upload: Upload) -> bool:
    """Make the pairs of an upload; whether there are any."""
    folder = storage.harvest / "train"
    for side in _SIDES:
        make_folder(folder / side)
        sweep_dead(folder / side)
    try:
        made = sandbox.run(
            make_pairs,
            bounds=sandbox.Bounds(int(storage.settings.memory), _CPU, 2.0 * _CPU),
            path=str(storage.content(upload.id)),
            name=upload.name,
            media=upload.info["media"],
            folder=str(folder),
            identity=upload.id,
        )
    except CompetitionError as error:
        log("not harvested", upload=upload.id, reason=" ".join(error.lines))
        forget(storage.harvest, upload.id)  # what was made before the error
        return False
    _note(storage.harvest, upload.id, _origins(upload, made))
    # It may have been deleted meanwhile; from here on whoever deletes it finds its pairs.
    if not _given(storage, upload.id):
        forget(storage.harvest, upload.id)
    return True


def _origins(upload: Upload, made: Collection[Made]) -> dict[str, Any]:
    """What is recorded of the pairs of an upload, by their names."""
    said = {"upload": upload.id, "name": upload.name, "owner": upload.owner, "uploaded": upload.created}
    said |= {"harvested": time.time(), "degradation": "bicubic"}
    seconds = {one.name: {} if one.second is None else {"second": one.second} for one in made}
    return {one.name: said | seconds[one.name] | {"size": (one.width, one.height)} for one in made}


def _note(folder: Path, identity: str, origins: dict[str, Any]) -> None:
    """Record these pairs of an upload, and no others of it."""
    with locked(folder, waiting=lambda holder: None):
        record = {name: said for name, said in read_record(folder).items() if _upload_of(name) != identity}
        write_atomic(folder / "origins.json", json.dumps(record | origins, indent=1).encode())
