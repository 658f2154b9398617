"""The list of pairs that training leaves out: written by the audit, edited by people."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from competition.errors import BadInput, Fault
from competition.files import printable, write_atomic

FILE_NAME = "excluded.txt"
HEAD = "# Pictures that training leaves out, one name a line; take a line away to use the picture again."


def add_exclusions(path: Path, causes: Mapping[str, Iterable[str]]) -> None:
    """Add the names of pictures to a list, sorted, each below comment lines that give its causes; what stands stays.

    The grammar, UTF-8: an empty line or one that begins with `#` says nothing; a line that begins with `"` is a name
    as a JSON string; every other line is a name as it is, spaces included. Raises BadInput when the list that stands
    cannot be understood.
    """
    listed = read_exclusions(path)
    lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n") if path.exists() else [HEAD]
    for name in sorted(causes.keys() - listed):
        lines += [f"# {printable(cause)}" for cause in causes[name]]
        lines.append(_line(name))
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())


def read_exclusions(path: Path) -> set[str]:
    """The names that a list leaves out, none where there is no list; raises BadInput when it cannot be understood."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError) as error:
        cause = f"cannot be read as a list of names ({error})"
        raise BadInput(Fault("unreadable", printable(path), cause, "Write one picture name a line")) from error
    numbered = enumerate((line.removesuffix("\r") for line in lines), 1)
    return {_name(path, number, line) for number, line in numbered if line and not line.startswith("#")}


def _line(name: str) -> str:
    plain = name.isprintable() and name == name.strip() and not name.startswith(("#", '"'))
    return name if plain else json.dumps(name)


def _name(path: Path, number: int, line: str) -> str:
    if not line.startswith('"'):
        return line
    try:
        return str(json.loads(line))
    except ValueError as error:
        fault = Fault("bad list", f"{printable(path)}:{number}", "not a JSON string", "Close the quotes")
        raise BadInput(fault) from error
