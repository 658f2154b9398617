"""The roll call of a submission: which of its entries is which picture, and what is wrong with their names."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from competition.errors import Fault
from competition.files import printable

_SYSTEM_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


class RollCall:
    """Every expected picture shall be there once, and nothing else; `faults` collects what differs.

    `labels` maps what an entry may be called to the picture that it then is.
    """

    def __init__(self, labels: Mapping[str, str], where: Path) -> None:
        self.faults: list[Fault] = []
        self._where = where
        self._labels = {_plain(label): (label, picture) for label, picture in labels.items()}
        self._pictures = dict.fromkeys(labels.values())
        self._present: set[str] = set()
        self._folders: set[str] = set()

    def answer(self, entry: str) -> str | None:
        """The picture that an entry is; None for an entry too many."""
        path = PurePosixPath(entry)
        if "__MACOSX" in path.parts or path.name.lower() in _SYSTEM_FILES or path.name.startswith("._"):
            self._fault("system file", entry, "was put there by the operating system", "Make it without that")
            return None
        if path.is_absolute() or ".." in path.parts:
            self._fault("outside", entry, "leads out of the folder that it is unpacked into", "Remove it")
            return None
        label, picture = self._labels.get(_plain(path.name), ("", ""))
        if not picture:
            self._fault("extra", entry, "is no picture of this contest", "Remove it")
            return None
        if picture in self._present:
            self._fault("twice", entry, f"is there twice, as {printable(label)}", "Remove one of the two")
            return None
        self._present.add(picture)
        self._note_place(path, label)
        return picture

    def missing(self) -> list[Fault]:
        """A fault for every picture that is not there."""
        absent = [picture for picture in self._pictures if picture not in self._present]
        return [Fault("missing", printable(self._where / picture), "missing", "Put it there") for picture in absent]

    def _note_place(self, path: PurePosixPath, label: str) -> None:
        folder = str(path.parent)
        if folder != "." and folder not in self._folders:
            self._folders.add(folder)
            self._fault("folder inside", f"{folder}/", "pictures lie in this folder", "Put them at the top")
        if path.name != label:
            self._fault("wrong name", str(path), f"shall be named {printable(label)}", "Rename it")

    def _fault(self, kind: str, entry: str, cause: str, mend: str) -> None:
        self.faults.append(Fault(kind, f"{printable(self._where)}/{printable(entry.lstrip('/'))}", cause, mend))


def _plain(name: str) -> str:
    """A name as careless systems take it: without case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()
