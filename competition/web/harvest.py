"""Training pairs of the pictures that visitors gave for learning, with a record of where each came from."""

import json
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from competition.errors import CompetitionError
from competition.files import make_folder, write_atomic
from competition.locks import locked
from competition.media import sandbox
from competition.web.logs import log
from competition.web.settings import Settings
from competition.web.storage import Storage, remove
from competition.web.tables import READY, Upload, open_database

SCALE = 4
_LEAST = 64  # pixels on the shorter side of a high picture; less teaches nothing


def harvest(settings: Settings) -> None:
    """Make DATA/harvest a folder that `train` can use: a pair of every picture given, and no other.

    Pairs whose upload is gone, or whose consent was taken back, are deleted; those that stand are kept.
    """
    engine = open_database(settings.database_url)
    storage = Storage(settings, engine)
    with Session(engine) as session:
        given = session.scalars(select(Upload).where(Upload.consent, Upload.state == READY)).all()
    pictures = {upload.id: upload for upload in given if upload.info["media"] == "picture"}
    known = read_record(storage.harvest)
    for identity in known.keys() - pictures.keys():
        forget(storage.harvest, identity)
    refused = 0
    for identity in pictures.keys() - known.keys():
        refused += not _add(storage, pictures[identity])
    count = len(read_record(storage.harvest))
    log("harvested", pairs=count, refused=refused, folder=str(storage.harvest))


def make_pair(path: Path, name: str, folder: Path, identity: str) -> tuple[int, int]:
    """Write a picture's pixels and its bicubic quarter; width and height of the former. For the limited process.

    What the file says beside its pixels (where it was taken, with what) is left out. Raises BadInput for pictures
    too small to learn from.
    """
    import numpy as np

    from competition.data.degrade import Degradation, degrade
    from competition.errors import BadInput
    from competition.media.limits import STRANGERS
    from competition.media.pictures import Picture, encode_picture, read_picture

    pixels = read_picture(path, STRANGERS, name).pixels
    height, width = (side - side % SCALE for side in pixels.shape[:2])
    if min(height, width) < _LEAST:
        raise BadInput(f"{name}: has {width}x{height} pixels, less than {_LEAST} on a side. Give a larger one")
    high = np.ascontiguousarray(pixels[:height, :width])
    low = degrade(high, Degradation(), np.random.default_rng(0), SCALE)
    for side, picture in (("lr", low), ("hr", high)):
        write_atomic(folder / side / f"{identity}.png", encode_picture(Picture(picture, None, b"", b""), "png"))
    return width, height


def read_record(folder: Path) -> dict[str, Any]:
    """Where each pair came from, by its name without ending."""
    path = folder / "origins.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def forget(folder: Path, identity: str) -> None:
    """Delete the pair of an upload, and the record of it."""
    if not folder.is_dir():
        return
    for side in ("lr", "hr"):
        remove(folder / "train" / side / f"{identity}.png")
    _note(folder, identity, None)


def _add(storage: Storage, upload: Upload) -> bool:
    """Make the pair of an upload; whether it could be made."""
    train = storage.harvest / "train"
    for side in ("lr", "hr"):
        make_folder(train / side)
    path = storage.content(upload.id)
    try:
        size = sandbox.run(make_pair, path=str(path), name=upload.name, folder=str(train), identity=upload.id)
    except CompetitionError as error:
        log("not harvested", upload=upload.id, reason=" ".join(error.lines))
        return False
    said = {"name": upload.name, "owner": upload.owner, "uploaded": upload.created, "harvested": time.time()}
    _note(storage.harvest, upload.id, said | {"size": size, "degradation": "bicubic"})
    return True


def _note(folder: Path, identity: str, said: dict[str, Any] | None) -> None:
    with locked(folder, waiting=lambda holder: None):
        record = read_record(folder)
        record.pop(identity, None)
        if said is not None:
            record[identity] = said
        write_atomic(folder / "origins.json", json.dumps(record, indent=1).encode())
