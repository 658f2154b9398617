"""Make a contest of videos: one picture every so often, its low version, and validation pictures far from training."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.data.degrade import Degradation, degrade
from competition.errors import BadInput, UsageError
from competition.files import delete, rename, undone, write_atomic
from competition.images import Bytes, write_png
from competition.media.films import opened, seconds_of, stamp_of
from competition.progress import console, progress


class Split(NamedTuple):
    """The last share of a clip's time is for validation; `gap` seconds before it are for nothing."""

    held: Fraction
    gap: Fraction

    def side(self, seconds: Fraction, length: Fraction) -> str:
        """`training`, `validation` or `gap`."""
        border = length * (1 - self.held)
        return "validation" if seconds >= border else "training" if seconds < border - self.gap else "gap"


class Frame(NamedTuple):
    """A picture, uint8 RGB (H, W, 3), and its time in seconds since the video's first one."""

    seconds: Fraction
    picture: Bytes


class Images(NamedTuple):
    """The pictures of a pair, uint8 RGB: `low` is (h, w, 3), `high` is (scale * h, scale * w, 3)."""

    low: Bytes
    high: Bytes


def make_contest(clips: Sequence[Path], output: Path, every: Fraction, split: Split, scale: int) -> None:
    """Write the pairs of all clips into a new folder, all of it or nothing; `every` is in seconds.

    Low pictures are MATLAB's bicubic of the high ones, which are cut to a multiple of the scale. Raises BadInput for a
    file that is no video or too short to be split, UsageError for a folder that is there and clips of the same name.
    """
    if output.exists():
        raise UsageError(f"{output}: is there already. Choose another folder or remove it")
    stems = [clip.stem.casefold() for clip in clips]
    if len(set(stems)) < len(stems):
        raise UsageError(f"clips: {', '.join(map(str, clips))} give pictures of the same names. Rename one of them")
    temporary = output.with_name(f".tmp_{output.name}")
    delete(temporary)  # of a killed process
    sides: list[tuple[str, str]] = []
    with undone(temporary):
        for clip in clips:
            sides += _write_pairs(clip, temporary / "train", every, split, scale)
        held = "".join(f"{name}\n" for name, side in sides if side == "validation")
        write_atomic(temporary / "validation.txt", held.encode())
        rename(temporary, output)
    found = [side for _, side in sides]
    counts = {side: found.count(side) for side in ("training", "validation", "gap")}
    between = f"{counts['gap']} left out between them"
    console.print(f"{output}: {counts['training']} training and {counts['validation']} validation pictures, {between}")


def _write_pairs(clip: Path, folder: Path, every: Fraction, split: Split, scale: int) -> list[tuple[str, str]]:
    """The names of a clip's pictures, CLIP_MILLISECONDS.png, and on which side of the split each is."""
    length, sides = _length(clip), []
    with progress() as bar:
        task = bar.add_task(clip.name, total=float(length))
        for frame in read_frames(clip, every):
            name, side = f"{clip.stem}_{round(frame.seconds * 1000):09d}.png", split.side(frame.seconds, length)
            sides.append((name, side))
            bar.update(task, completed=float(frame.seconds))
            if side != "gap":
                pair = pair_of(frame.picture, scale)
                write_png(folder / "hr" / name, pair.high)
                write_png(folder / "lr" / name, pair.low)
    found = [side for _, side in sides]
    if lacking := [side for side in ("training", "validation") if side not in found]:
        told = f"its {float(length):.1f} s leave no {lacking[0]} picture"
        raise BadInput(f"{clip}: {told}. Take a longer clip, or a smaller --every or --gap")
    return sides


def pair_of(picture: Bytes, scale: int) -> Images:
    """A picture without the last lines and columns that are no multiple of the scale, and MATLAB's bicubic of it."""
    height, width = (length - length % scale for length in picture.shape[:2])
    high = np.ascontiguousarray(picture[:height, :width])
    return Images(degrade(high, Degradation(), np.random.default_rng(0), scale), high)


def read_frames(clip: Path, every: Fraction) -> Iterator[Frame]:
    """The first picture at or after each multiple of `every` seconds, by the pictures' own times.

    Raises BadInput where the file is no video that can be read, UsageError without PyAV.
    """
    first, due = None, Fraction(0)
    with opened(clip) as film:
        for frame in film.frames():
            time = seconds_of(frame)
            first = time if first is None else first
            if time - first >= due:
                due = ((time - first) // every + 1) * every
                yield Frame(time - first, frame.to_ndarray(format="rgb24"))


def _length(clip: Path) -> Fraction:
    """Seconds from the first picture to the last, without decoding one."""
    with opened(clip) as film:
        stamps = list(map(stamp_of, film.packets(film.stream)))
        return Fraction((max(stamps) - min(stamps)) * film.stream.time_base)
