"""What lies in a contest folder: pictures by name, and every fault that names alone can show."""

import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from competition.analysis.report import Finding
from competition.data.pairs import Pair
from competition.errors import BadInput, Fault
from competition.files import printable
from competition.images import scan_pictures


class Folder(NamedTuple):
    """The pictures of one folder by name, and its faults with the names they belong to."""

    pictures: dict[str, Path]
    faults: list[tuple[str | None, Fault]]


class Survey(NamedTuple):
    """The pictures of a contest; `alone` are training pictures without partner."""

    pairs: list[Pair]
    alone: list[Path]
    test: list[Path]
    findings: list[Finding]


def survey(root: Path, excluded: Collection[str] = ()) -> Survey:
    """List ROOT/train/lr and ROOT/train/hr without the `excluded` names and, if it is there, ROOT/test/lr.

    Raises BadInput where there is no folder train.
    """
    if not (root / "train").is_dir():
        cause = "holds no folder train" if root.is_dir() else "no such folder"
        raise BadInput(Fault("missing folder", printable(root), cause, "Give a folder with train/lr and train/hr"))
    lows, highs = (_look_into(root / "train" / side, excluded) for side in ("lr", "hr"))
    test = _look_into(root / "test" / "lr") if (root / "test").exists() else Folder({}, [])
    alone: list[Path] = []
    findings = [Finding("error", fault, (name,) if name else ()) for name, fault in lows.faults + highs.faults]
    findings += [Finding("error", fault, test=(name,) if name else ()) for name, fault in test.faults]
    if lows.pictures and highs.pictures:  # else every picture would be reported for the one folder that is missing
        for side, other in ((lows, highs), (highs, lows)):
            without = [path for name, path in side.pictures.items() if name not in other.pictures]
            nearly = {_folded(name): name for name in (*other.pictures, *filter(None, dict(other.faults)))}
            findings += [_lonely(path, nearly.get(_folded(path.name))) for path in without]
            alone += without
    both = (lows.pictures, highs.pictures)
    findings += [_dashed(path) for pictures in both for path in pictures.values() if path.name.startswith("-")]
    findings += _strangers(root)
    pairs = [Pair(name, low, highs.pictures[name]) for name, low in lows.pictures.items() if name in highs.pictures]
    return Survey(pairs, alone, list(test.pictures.values()), findings)


def _look_into(folder: Path, excluded: Collection[str] = ()) -> Folder:
    return Folder(*scan_pictures(folder, excluded))


def _lonely(path: Path, nearly: str | None) -> Finding:
    cause = "has no partner of the same name on the other side"
    if nearly:
        cause += f", only {printable(nearly)}"
    fault = Fault("missing partner", printable(path), cause, "Add it or remove this one")
    return Finding("error", fault, (path.name,))


def _folded(name: str) -> str:
    """What careless systems and people take for one name: without suffix, case, Unicode form."""
    return unicodedata.normalize("NFC", Path(name).stem).casefold()


def _dashed(path: Path) -> Finding:
    fault = Fault("leading dash", printable(path), "shell commands take the name for an option", "Mind it")
    return Finding("note", fault, (path.name,))


def _strangers(root: Path) -> Iterator[Finding]:
    """Folders that no command reads."""
    known = {root: {"train", "test", "store"}, root / "train": {"lr", "hr"}, root / "test": {"lr"}}
    for folder, names in known.items():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_dir() and path.name not in names and not path.name.startswith("."):
                fault = Fault("extra folder", printable(path), "is no part of a contest and not looked at", "Move it")
                yield Finding("note", fault)
