"""The contest's folder: pairs of low and high pictures by name, their checks, and the validation split."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from competition.errors import BadInput
from competition.images import Bytes, list_pictures, read_header, read_rgb

# A shifted pair fits several times better after shifting back; an honest one never does.
SHIFT_GAIN = 2.0
# Correlation of two scenes: honest pairs of photographs have over 0.9, over 0.64 under noise of 30 levels; 1 in 80
# pairs of different photographs has more than this. Pictures that differ less than VISIBLE (rms) may be flat.
SAME_SCENE = 0.6
VISIBLE = 10.0
# What a high picture shows beyond its low one, as a share of what the low one shows beyond its own half: over 0.6 in
# photographs, over 0.033 in photographs out of focus, under 0.026 in bicubic and Lanczos enlargements.
ENLARGED = 0.03

Plane = npt.NDArray[np.float32]


class Pair(NamedTuple):
    """Paths of one pair; `name` is the file name both share."""

    name: str
    low: Path
    high: Path


class Pictures(NamedTuple):
    """Pixels of one pair: uint8 RGB (h, w, 3) and (scale*h, scale*w, 3)."""

    name: str
    low: Bytes
    high: Bytes


def find_pairs(root: Path, scale: int) -> list[Pair]:
    """The pairs of ROOT/train/lr and ROOT/train/hr, sorted by name.

    Raises BadInput that lists every picture without partner, with an unusable header, or of the wrong size.
    """
    lows, highs = _collect(list_pictures, [root / "train" / "lr", root / "train" / "hr"], [])
    alone = [path for side, other in ((lows, highs), (highs, lows)) for name, path in side.items() if name not in other]
    faults = [f"{path}: has no partner of the same name on the other side. Add it or remove this one" for path in alone]
    pairs = [Pair(name, lows[name], highs[name]) for name in lows if name in highs]
    _collect(lambda pair: _check_sizes(pair, scale), pairs, faults)
    return pairs


def split(pairs: Sequence[Pair], validation: Path | float, root: Path, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs.

    `validation` is a text file (relative to `root`) with one name a line, or a share of the pairs, drawn by a hash of
    seed and name. Raises BadInput for a name without pair and for a split that leaves one side empty.
    """
    if isinstance(validation, Path):
        chosen = read_names(root / validation)
        unknown = sorted(chosen - {pair.name for pair in pairs})
        if unknown:
            raise BadInput(*[f"{root / validation}: {name}: no such pair. Remove the line" for name in unknown])
    else:
        count = max(1, round(validation * len(pairs)))
        ranked = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
        chosen = {pair.name for pair in ranked[:count]}
    train = [pair for pair in pairs if pair.name not in chosen]
    held_out = [pair for pair in pairs if pair.name in chosen]
    if not train or not held_out:
        raise BadInput(f"{root}: {len(train)} training and {len(held_out)} validation pairs. Both sides need one")
    return train, held_out


def read_names(path: Path) -> set[str]:
    """The picture names listed in a text file, one a line; raises BadInput when it cannot be read."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file. Write one picture name a line, or give a share of the pairs")
    try:
        return set(path.read_text(encoding="utf-8").splitlines()) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a list of names ({error}). Write one picture name a line") from error


def fingerprint(pairs: Iterable[Pair]) -> str:
    """A hash of the names and file sizes of the pairs: tells whether a run goes on with the same data."""
    lines = [f"{pair.name} {pair.low.stat().st_size} {pair.high.stat().st_size}" for pair in pairs]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def load_pairs(pairs: Sequence[Pair], scale: int) -> list[Pictures]:
    """Decode pairs into memory and check that both pictures of each show the same thing.

    Raises BadInput that lists every damaged, mismatched, shifted or merely enlarged pair.
    """
    return _collect(lambda pair: _load_pair(pair, scale), pairs, [])


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


def _load_pair(pair: Pair, scale: int) -> Pictures:
    pictures = Pictures(pair.name, read_rgb(pair.low), read_rgb(pair.high))
    _check_content(pair, pictures, scale)
    return pictures


def _check_content(pair: Pair, pictures: Pictures, scale: int) -> None:
    height, width = pictures.low.shape[:2]
    if scale == 1 or min(height, width) < 8:
        return
    low, high = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in pictures[1:])
    # Without the finest detail, which degradations alias, blur or drown in noise.
    first, second = _smooth(low), _smooth(_resize(high, width, height))
    errors = {(dy, dx): _shifted_error(first, second, dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    best = min(errors, key=lambda shift: errors[shift])
    if best != (0, 0) and errors[0, 0] > SHIFT_GAIN * errors[best] + 1:
        raise BadInput(f"{pair.low}: shifted by about {best} low pixels against {pair.high}. Align or remove the pair")
    if errors[0, 0] > VISIBLE**2 and _correlation(first, second) < SAME_SCENE:
        raise BadInput(f"{pair.low}: shows another scene than {pair.high}. Replace one of the two")
    beyond_low = np.mean((_resize(low, width * scale, height * scale) - high) ** 2)
    beyond_half = np.mean((_resize(_resize(low, width // 2, height // 2), width, height) - low) ** 2)
    if beyond_low < ENLARGED * beyond_half:
        raise BadInput(f"{pair.high}: is only an enlargement of {pair.low}. Replace it by the real high picture")


def _resize(plane: Plane, width: int, height: int) -> Plane:
    """Area mean where it shrinks, bicubic where it enlarges."""
    method = cv2.INTER_AREA if width < plane.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, (width, height), interpolation=method), np.float32)


def _smooth(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), 1.5), np.float32)


def _correlation(first: Plane, second: Plane) -> float:
    """Pearson's correlation; 0 for a flat picture."""
    first, second = first - first.mean(), second - second.mean()
    spread = float(np.sqrt(np.mean(first**2) * np.mean(second**2)))
    return float(np.mean(first * second)) / spread if spread else 0.0


def _shifted_error(first: Plane, second: Plane, dy: int, dx: int) -> float:
    """Mean squared difference of first[y + dy, x + dx] and second[y, x] inside a border of one pixel."""
    height, width = first.shape
    moved = first[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
    return float(np.mean((moved - second[1:-1, 1:-1]) ** 2))
