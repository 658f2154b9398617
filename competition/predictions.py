"""Folders of predictions: 16-bit PNGs named like their inputs, and the record that lies beside each folder."""

import json
from pathlib import Path
from typing import Any

from competition.files import write_atomic

Record = dict[str, Any]


def record_path(folder: Path) -> Path:
    """FOLDER.json: beside the folder, so that the folder holds nothing but pictures."""
    return folder.with_name(folder.name + ".json")


def read_record(folder: Path) -> Record:
    """What `infer` noted of a folder: source, settings, input folder and per picture its hash and seconds.

    Empty for a folder that came without one, or with one that cannot be read: it is a convenience, not a truth.
    """
    try:
        record = json.loads(record_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(folder: Path, record: Record) -> None:
    """Write the record beside `folder`, whole or not at all."""
    write_atomic(record_path(folder), json.dumps(record, indent=1).encode())


def seconds(folder: Path) -> float | None:
    """Mean seconds per picture as `infer` measured them; None where it made no record."""
    pictures = read_record(folder).get("pictures", {})
    return sum(entry["seconds"] for entry in pictures.values()) / len(pictures) if pictures else None
