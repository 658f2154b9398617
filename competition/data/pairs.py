"""The contest's folder: pairs of low and high pictures by name, and what their names and headers show."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from competition.data.degrade import Degradation
from competition.data.exclusions import FILE_NAME, read_exclusions
from competition.errors import BadInput
from competition.images import list_pictures, read_header


class Recipe(NamedTuple):
    """How the low picture of a synthetic pair is made: the same bytes for the same recipe."""

    degradation: Degradation
    seed: int


class Pair(NamedTuple):
    """Paths of one pair; `name` is the file name both share. With a recipe, `low` is the high picture too."""

    name: str
    low: Path
    high: Path
    recipe: Recipe | None = None


def find_pairs(root: Path, scale: int) -> list[Pair]:
    """The pairs of ROOT/train/lr and ROOT/train/hr, sorted by name, without those that ROOT/excluded.txt names.

    Raises BadInput that lists every picture without partner, with an unusable header, or of the wrong size.
    """
    return match_pairs(root / "train" / "lr", root / "train" / "hr", scale, read_exclusions(root / FILE_NAME))


def match_pairs(low: Path, high: Path, scale: int, excluded: Collection[str] = ()) -> list[Pair]:
    """The pairs of two folders, sorted by name, without the `excluded` names; raises BadInput as `find_pairs` does."""
    lows, highs = _collect(lambda folder: list_pictures(folder, excluded), [low, high], [])
    alone = [path for side, other in ((lows, highs), (highs, lows)) for name, path in side.items() if name not in other]
    faults = [f"{path}: has no partner of the same name on the other side. Add it or remove this one" for path in alone]
    pairs = [Pair(name, lows[name], highs[name]) for name in lows if name in highs]
    _collect(lambda pair: _check_sizes(pair, scale), pairs, faults)
    return pairs


def read_names(path: Path) -> set[str]:
    """The picture names listed in a text file, one a line; raises BadInput when it cannot be read."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file. Write one picture name a line, or give a share of the pairs")
    try:
        return set(path.read_text(encoding="utf-8-sig").splitlines()) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a list of names ({error}). Write one picture name a line") from error


def fingerprint(pairs: Iterable[Pair]) -> str:
    """A hash of the names and file sizes of the pairs: tells whether a run goes on with the same data."""
    lines = [f"{pair.name} {pair.low.stat().st_size} {pair.high.stat().st_size} {pair.recipe or ''}" for pair in pairs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


Item = TypeVar("Item")
Result = TypeVar("Result")


def _collect(check: Callable[[Item], Result], items: Sequence[Item], faults: list[str]) -> list[Result]:
    """Call `check` for every item, in parallel, and raise all faults together."""

    def attempt(item: Item) -> Result | BadInput:
        try:
            return check(item)
        except BadInput as error:
            return error

    results: list[Result] = []
    with ThreadPoolExecutor() as pool:
        for result in pool.map(attempt, items):
            if isinstance(result, BadInput):
                faults.extend(result.lines)
            else:
                results.append(result)
    if faults:
        raise BadInput(*sorted(faults))
    return results


def _check_sizes(pair: Pair, scale: int) -> None:
    faults: list[str] = []
    headers = []
    for path in (pair.low, pair.high):
        try:
            headers.append(read_header(path))
        except BadInput as error:
            faults.extend(error.lines)
    if faults:
        raise BadInput(*faults)
    low, high = headers
    if (high.width, high.height) != (low.width * scale, low.height * scale):
        hint = "Swap the folders lr and hr" if high.width < low.width else "Cut or replace one of the two"
        raise BadInput(
            f"{pair.high}: {high.width}x{high.height} is not {scale} times {pair.low.parent.name}/{pair.name} "
            f"({low.width}x{low.height}). {hint}"
        )
