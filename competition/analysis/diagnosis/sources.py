"""Finds what an analysis reads: predictions, truths, low pictures, the audit; and reads one picture of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from competition.data.pairs import read_names
from competition.ensemble import bicubic
from competition.errors import BadInput
from competition.images import Bytes, Words, list_pictures, read_prediction, read_rgb, to_bytes
from competition.predictions import Record, read_record
from competition.scoring import size

# Folders below RUN/predictions, the one that is handed in first.
_WAYS = ("self_ensemble", "model")


@dataclass(frozen=True)
class Picture:
    """One picture as predicted and as it should be; `low` is None where it is not at hand."""

    name: str
    prediction: Words
    """uint16 (H, W, 3), as stored."""
    truth: Bytes
    """uint8 (H, W, 3)."""
    low: Bytes | None
    """uint8 (H / scale, W / scale, 3)."""

    @cached_property
    def shown(self) -> Bytes:
        """The prediction as it is scored, uint8 (H, W, 3)."""
        return to_bytes(self.prediction)

    @cached_property
    def bicubic(self) -> Bytes | None:
        """The low picture enlarged, uint8 (H, W, 3)."""
        return None if self.low is None else bicubic(self.low, self.truth.shape[0] // self.low.shape[0])


@dataclass(frozen=True)
class Sources:
    """What there is of a run, and what it lacks."""

    run: Path
    folder: Path
    """The predictions that are judged: PNGs named like their inputs."""
    names: tuple[str, ...]
    """File names of the pictures that should be there, sorted."""
    truths: Mapping[str, Path]
    lows: Mapping[str, Path]
    previous: Path | None = None
    """Predictions of an earlier run."""
    members: tuple[Path, ...] = ()
    """Folders of predictions of the same pictures that vote together."""
    audit: Mapping[str, Any] = field(default_factory=dict)
    """The audit's JSON, empty where there is none."""
    lacks: tuple[str, ...] = ()

    @cached_property
    def record(self) -> Record:
        """What `infer` noted: file name to its input, its seconds and, where it saw the truth, its members' scores."""
        pictures = read_record(self.folder).get("pictures")
        known = pictures if isinstance(pictures, dict) else {}
        return {name: entry for name, entry in known.items() if isinstance(entry, dict)}

    @cached_property
    def clusters(self) -> Mapping[str, int]:
        """The audit's cluster of each picture that has one."""
        numbers = {str(pair.get("name")): pair.get("cluster") for pair in self._audited("pairs")}
        return {name: number for name, number in numbers.items() if isinstance(number, int)}

    @cached_property
    def cluster_kinds(self) -> Mapping[int, str]:
        """What the clusters are called."""
        return {number: str(cluster.get("kind")) for number, cluster in enumerate(self._audited("clusters"))}

    def seconds(self, name: str) -> float:
        """What it took to predict one picture; NaN where `infer` left no note."""
        noted = self.record.get(name, {}).get("seconds")
        return float(noted) if isinstance(noted, int | float) else float("nan")

    def _audited(self, key: str) -> list[dict[str, Any]]:
        entries = self.audit.get(key)
        return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []

    def read(self, name: str, folder: Path | None = None) -> Picture:
        """One picture, as predicted in another folder if one is given.

        Raises BadInput that names the file where one is missing, unreadable or not of its truth's size.
        """
        path = (folder or self.folder) / name
        prediction, truth = read_prediction(path), read_rgb(self.truths[name])
        if prediction.shape != truth.shape:
            raise BadInput(f"{path}: {size(prediction)}, its truth has {size(truth)}. Predict it again")
        low = read_rgb(self.lows[name]) if name in self.lows else None
        if low is not None and not _enlarges(low, truth):
            raise BadInput(f"{self.lows[name]}: {size(low)} does not divide its truth ({size(truth)}). Replace it")
        return Picture(name, prediction, truth, low)


def find(
    run: Path, data: Path, members: Sequence[Path] = (), previous: Path | None = None, audit: Path | None = None
) -> Sources:
    """Look for everything below a run, or a mere folder of predictions, and a contest folder.

    Raises BadInput where there are no predictions at all; everything else that is missing is named in `lacks`.
    """
    folder = predictions_of(run)
    lacks: list[str] = []
    truths, lows = _pictures(data / "train/hr", lacks), _pictures(data / "train/lr", lacks)
    names = _expected(run, folder)
    strangers = [name for name in names if name not in truths]
    if strangers and truths:
        lacks.append(f"{data / 'train/hr'}: no truth of {some(strangers)}; left out")
    if previous and not (previous := _found(previous, lacks)):
        previous = None
    known = tuple(found for member in members if (found := _found(member, lacks)))
    path = audit or run.parent / "audit" / f"{data.resolve().name}.json"
    kept = tuple(name for name in names if name in truths)
    return Sources(run, folder, kept, truths, lows, previous, known, _read_audit(path, lacks), tuple(lacks))


def predictions_of(run: Path) -> Path:
    """The folder of validation predictions of a run, of one of its members, or the folder itself if it holds PNGs.

    Raises BadInput where there is none.
    """
    places = [run / "predictions" / way / "validation" for way in _WAYS] + [run / "validation", run]
    for place in places:
        if place.is_dir() and any(path.suffix.lower() == ".png" for path in place.iterdir()):
            return place
    raise BadInput(f"{run}: holds no predictions of validation pictures. Predict them with make infer")


def _expected(run: Path, folder: Path) -> list[str]:
    """The pictures that should have been predicted: those the run validates on, else those that are there."""
    listed = run / "validation.txt"
    return sorted(read_names(listed) if listed.is_file() else list_pictures(folder))


def _pictures(folder: Path, lacks: list[str]) -> dict[str, Path]:
    try:
        return list_pictures(folder)
    except BadInput as error:
        lacks.extend(error.lines)
        return {}


def _found(run: Path, lacks: list[str]) -> Path | None:
    try:
        return predictions_of(run)
    except BadInput as error:
        lacks.extend(error.lines)
        return None


def _read_audit(path: Path, lacks: list[str]) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        return content if isinstance(content, dict) else {}
    except OSError:
        lacks.append(f"{path}: no audit, so nothing is told by clusters of degradations. Make one with make audit")
    except ValueError as error:
        lacks.append(f"{path}: cannot be read ({error}). Make it again with make audit")
    return {}


def _enlarges(low: Bytes, truth: Bytes) -> bool:
    scale = truth.shape[0] // low.shape[0]
    return (low.shape[0] * scale, low.shape[1] * scale) == truth.shape[:2]


def some(names: Sequence[str]) -> str:
    """A few of many names."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
