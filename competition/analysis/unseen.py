"""What can be said of test pictures whose truth is hidden: how far predictions disagree, what scores to expect."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from competition.agreement import disagreement, distances, gram
from competition.ensemble import bicubic
from competition.errors import BadInput
from competition.images import Bytes, Words, list_pictures, read_prediction, read_rgb, to_bytes
from competition.metrics import MetricConfig
from competition.parts import PARTS
from competition.predictions import read_record
from competition.weighting import diversity

# A prediction this many times as far from its low picture as the middle one deserves a look.
UNFAITHFUL = 3.0
# And so does the one on which predictions disagree most, if it is this many times as much as on the middle one.
DISAGREED = 1.2
_COLUMNS = [
    *("name", "height", "width", "psnr_half", "psnr_expected", "low", "high"),
    *("unfaithful", "symmetries", "members", "farthest", "saved"),
]


class Unseen(NamedTuple):
    """The hidden pictures of a contest, in a table, and what the table could not be made of.

    By name: name, height, width; psnr_half (dB: the low picture halved and enlarged again by bicubic, against itself:
    the smaller, the harder); psnr_expected, low, high (dB, with a 95 % interval, from the validation pictures' relation
    of psnr_half to score); unfaithful (root mean square of the low picture minus the prediction reduced to it by area,
    8-bit levels); symmetries (the spread of the eight predictions of a self-ensemble about their mean, as a standard
    deviation in 8-bit levels); members (the same of the members); farthest (the member farthest from the others);
    saved (squared levels by which the mean's MSE lies below the members' mean MSE, whatever the truth is).
    """

    table: pd.DataFrame
    lacks: tuple[str, ...]


def psnr_half(low: Bytes) -> float:
    """How well bicubic enlarges a picture's own half, in dB: a score that needs no truth."""
    height, width = (side // 2 * 2 for side in low.shape[:2])
    even = low[:height, :width]
    half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return MetricConfig().psnr(bicubic(np.asarray(half, np.uint8), 2), even)


def look(lows: Mapping[str, Path], members: Sequence[Path], known: pd.DataFrame) -> Unseen:
    """Look at the hidden pictures `lows` by name, each member being a folder with their predictions.

    known: psnr_half and psnr of pictures whose truth is known. Predictions that are missing or unreadable are named.
    """
    lacks: list[str] = []
    rows = [_row(name, low, members, lacks) for name, path in lows.items() if (low := _read(path, lacks)) is not None]
    table = pd.DataFrame(rows).reindex(columns=_COLUMNS)
    notes = _spreads(members[0]) if members else {}
    table["symmetries"] = np.sqrt(table["name"].map(notes).astype(float))
    expected = expect(known, table["psnr_half"].to_numpy(float))
    table["psnr_expected"], table["low"], table["high"] = expected
    if members and not notes:
        cause = "its record tells no spread of the symmetries"
        lacks.append(f"{members[0]}: {cause}. Predict into a new folder with --self-ensemble mean")
    if len(members) < 2:
        lacks.append("members: one alone disagrees with nobody. Give other runs with ADD=…")
    return Unseen(table.sort_values("name", ignore_index=True), tuple(lacks))


def _read(path: Path, lacks: list[str]) -> Bytes | None:
    try:
        return read_rgb(path)
    except BadInput as error:
        lacks += error.lines
        return None


def _row(name: str, low: Bytes, members: Sequence[Path], lacks: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "psnr_half": psnr_half(low)}
    predictions = _predictions(name, low, members, lacks)
    if predictions:
        first = next(iter(predictions.values()))
        row |= {"height": first.shape[0], "width": first.shape[1], "unfaithful": _unfaithful(first, low)}
    return row | (_between(predictions) if len(predictions) > 1 else {})


def _predictions(name: str, low: Bytes, members: Sequence[Path], lacks: list[str]) -> dict[Path, Words]:
    """By member, those that are there and of the first one's size."""
    found: dict[Path, Words] = {}
    for member in members:
        try:
            prediction = read_prediction(member / name)
        except BadInput as error:
            lacks += error.lines
            continue
        if all(prediction.shape == other.shape for other in found.values()):
            found[member] = prediction
        else:
            lacks.append(f"{member / name}: of another size than the other members'. Predict it again")
    return found


def _between(predictions: Mapping[Path, Words]) -> dict[str, Any]:
    """How the members' predictions of one picture lie to each other."""
    members = list(predictions.values())
    plain = PARTS["all"]
    labels = np.zeros(members[0].shape[:2], np.uint8)
    grams = gram(members, members[0], MetricConfig(), plain, labels)[None]
    saved = float(diversity(grams, np.full((1, len(members)), 1 / len(members)))[0])
    apart = distances(grams)[0].sum(1)
    row: dict[str, Any] = {"members": max(saved, 0.0) ** 0.5, "saved": saved}
    return row | ({"farthest": str(list(predictions)[int(apart.argmax())])} if len(members) > 2 else {})


def _unfaithful(prediction: Words, low: Bytes) -> float:
    reduced = cv2.resize(prediction.astype(np.float32) / 257, low.shape[1::-1], interpolation=cv2.INTER_AREA)
    return float(np.sqrt(np.mean((reduced - low) ** 2)))


def _spreads(folder: Path) -> dict[str, float]:
    """Variance of the symmetries by picture, in squared 8-bit levels, as `infer` recorded it."""
    pictures = read_record(folder).get("pictures", {})
    entries = pictures.items() if isinstance(pictures, dict) else ()
    return {
        name: float(entry["spread"])
        for name, entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("spread"), float | int)
    }


# ---- expectations ---------------------------------------------------------------------------------------------------


def expect(known: pd.DataFrame, halves: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Score, and the ends of its 95 % interval, of pictures with these `psnr_half`: a line through the known ones.

    known: psnr_half and psnr. All NaN where fewer than four pictures are known.
    """
    use = known[np.isfinite(known[["psnr_half", "psnr"]].astype(float)).all(axis=1)]
    count = len(use)
    x, y = use["psnr_half"].to_numpy(float), use["psnr"].to_numpy(float)
    if count < 4 or np.ptp(x) == 0:
        nothing = np.full(len(halves), np.nan)
        return nothing, nothing, nothing
    slope, offset = np.polyfit(x, y, 1)
    around = np.sum((y - offset - slope * x) ** 2) / (count - 2)
    leverage = 1 / count + (halves - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    reach = stats.t.ppf(0.975, count - 2) * np.sqrt(around * (1 + leverage))
    centre = np.asarray(offset + slope * halves)
    return centre, centre - reach, centre + reach


# ---- what to look at ------------------------------------------------------------------------------------------------


def first_two(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The two hidden pictures to look at first, each with the reason.

    One whose prediction does not match its low picture goes first, then the one of which predictions disagree most,
    then those that promise the lowest scores.
    """
    chosen: dict[str, str] = {}
    for name, reason in _reasons(table):
        chosen.setdefault(name, reason)
    return list(chosen.items())[:2]


def _reasons(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    if not len(table):
        return
    wrong = table["unfaithful"] / table["unfaithful"].median()
    if wrong.max() > UNFAITHFUL:
        row = table.loc[wrong.idxmax()]
        yield row["name"], f"its prediction lies {wrong.max():.1f} times as far from the low picture as the middle one"
    for kind, whose in (("members", "the members"), ("symmetries", "the eight symmetries")):
        if table[kind].notna().any():
            row = table.loc[table[kind].idxmax()]
            middle = table[kind].median()
            if row[kind] > DISAGREED * middle:
                yield row["name"], f"{whose} disagree most: {row[kind]:.2f} levels, the middle picture's {middle:.2f}"
            break
    hardest = "psnr_expected" if table["psnr_expected"].notna().any() else "psnr_half"
    means = {"psnr_expected": "expected score", "psnr_half": "score of bicubic on its own half"}[hardest]
    for number in table[hardest].sort_values().index[:2]:
        row = table.loc[number]
        yield row["name"], f"the {means} is among the lowest: {row[hardest]:.1f} dB"


def disagreement_of(name: str, members: Sequence[Path]) -> tuple[Bytes, npt.NDArray[np.float32]] | None:
    """The first member's prediction, uint8 (H, W, 3), and the members' standard deviation, (H, W) in 8-bit levels.

    None where fewer than two of them predicted the picture.
    """
    predictions = list(_predictions(name, np.empty(0, np.uint8), members, []).values())
    if len(predictions) < 2:
        return None
    shares = np.full(len(predictions), 1 / len(predictions))
    return to_bytes(predictions[0]), disagreement(predictions, shares)


def find_members(runs: Sequence[Path]) -> list[Path]:
    """The folders with the runs' predictions of the test pictures, the one that is handed in first for each run."""
    members = []
    for run in runs:
        places = [run / "predictions" / way / "test" for way in ("self_ensemble", "model")] + [run / "test", run]
        members += next(([place] for place in places if _has_pictures(place)), [])
    return members


def _has_pictures(folder: Path) -> bool:
    try:
        return bool(list_pictures(folder))
    except BadInput:
        return False
