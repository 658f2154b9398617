"""Vote over members' predictions and write a submission that was read back and checked."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from rich.table import Table

from competition.config import Config, describe, load
from competition.ensemble import bicubic, vote
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.files import sha256
from competition.formats import FormatConfig, PngZipConfig
from competition.images import (
    Bytes,
    Words,
    list_pictures,
    quantize,
    read_header,
    read_prediction,
    read_rgb,
    to_bytes,
)
from competition.judging import Evidence, conclude, judge
from competition.manifest import MANIFEST, WEIGHTED_MEAN, Manifest, MemberNote, ValidationNote
from competition.metrics import MetricConfig
from competition.packing import faults_of, pack
from competition.predictions import read_record, seconds
from competition.progress import console, progress
from competition.provenance import commit, versions


class MemberConfig(Config):
    """One voter: a folder whose test/ and validation/ hold predictions; a teammate's will do."""

    folder: Path
    """Folder of the member, relative to `predictions`."""
    weight: float | None = Field(None, ge=0)
    """Its weight in the vote where `weights` is given."""


class Submission(Config):
    """One submission."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the submission: SUBMISSIONS/NAME/ with pictures and manifest, and SUBMISSIONS/NAME.zip or .csv."""
    data: Path
    """Contest folder: test/lr tells names and sizes, train/lr and train/hr score the validation predictions."""
    predictions: Path
    """Folder that holds the members' folders."""
    members: tuple[MemberConfig, ...] = Field(min_length=1)
    compare: tuple[Path, ...] = ()
    """Folders, relative to `predictions`, that stand in the table but do not vote."""
    weights: Literal["uniform", "psnr", "given"] = "psnr"
    """Equal weights, each member's validation PSNR (the winning deck's way), or each member's `weight`."""
    scale: Literal[1, 2, 3, 4] = 4
    """Enlargement factor."""
    submissions: Path = Path("submissions")
    """Folder that receives the submission."""
    format: FormatConfig = PngZipConfig()
    """What the contest wants handed in."""
    metric: MetricConfig = MetricConfig()
    """The contest's score."""

    @model_validator(mode="after")
    def _each_member_once(self) -> "Submission":
        folders = [member.folder for member in self.members]
        if len(set(folders)) < len(folders):
            raise ValueError("a member is listed twice")
        return self


class Row(NamedTuple):
    """One line of the table: mean PSNR on the validation pictures in dB, seconds per picture, share of the vote."""

    name: str
    psnr: float
    seconds: float | None
    weight: float | None


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides."""
    keys = "\n".join(["configuration keys and defaults:", *describe(Submission)])
    parser = ArgumentParser(prog="python -m competition.submit", description=__doc__ or "", epilog=keys)
    parser.add_argument("config", type=Path, help="YAML file that names the members")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example weights=uniform")
    given = parser.parse_intermixed_args(arguments)
    submission = load(given.config, Submission, given.overrides)
    console.print(table(submit(submission), submission.metric))


def submit(submission: Submission) -> list[Row]:
    """Check the members, score them, vote, write folder and file, judge the file; returns the rows of the table.

    Raises BadInput before anything is written when a member lacks a picture, has one too many, or has one of the wrong
    size or mode; and at the end with all faults of the file that the judge finds.
    """
    sizes = _expected_sizes(submission)
    folders = [submission.predictions / member.folder for member in submission.members]
    faults = [line for folder in folders for line in faults_of(folder / "test", sizes, depths=(8, 16))]
    if faults:
        raise BadInput(*faults)
    names = _validation_names([*folders, *(submission.predictions / folder for folder in submission.compare)])
    rows, shares = _score(submission, names)
    output = submission.submissions / submission.name
    file = pack(output, _votes(folders, list(sizes), shares), _manifest(submission, rows, shares, len(names)))
    verdict = judge(file, submission.data / "test" / "lr", submission.scale, Evidence(manifest=output / MANIFEST))
    conclude(verdict, content_counts=False)
    console.print(f"{output}: {len(sizes)} pictures, {file}; read back and checked")
    return rows


def table(rows: Sequence[Row], metric: MetricConfig) -> Table:
    """The table that a user sees after a submission."""
    result = Table(title=f"validation: {metric.definition()}")
    result.add_column("prediction")
    for column in ("PSNR [dB]", "over bicubic [dB]", "seconds per picture", "weight"):
        result.add_column(column, justify="right")
    for row in rows:
        cells = (row.psnr, row.psnr - rows[0].psnr, row.seconds, row.weight)
        formats = ("{:.4f}", "{:+.4f}", "{:.2f}", "{:.4f}")
        texts = ("" if cell is None else form.format(cell) for cell, form in zip(cells, formats, strict=True))
        result.add_row(row.name, *texts)
    return result


# ---- checks ---------------------------------------------------------------------------------------------------------


def _expected_sizes(submission: Submission) -> dict[str, tuple[int, int]]:
    headers = {name: read_header(path) for name, path in list_pictures(submission.data / "test" / "lr").items()}
    scale = submission.scale
    return {name: (header.width * scale, header.height * scale) for name, header in headers.items()}


def _validation_names(folders: Sequence[Path]) -> list[str]:
    """The validation pictures, the same for all; raises BadInput where two members predicted different ones."""
    listed = {folder: set(list_pictures(folder / "validation")) for folder in folders}
    first = folders[0]
    faults = [
        f"{folder / 'validation'}: {name}: not predicted by both it and {first}. Predict the same pictures"
        for folder, names in listed.items()
        for name in sorted(names ^ listed[first])
    ]
    if faults:
        raise BadInput(*faults)
    return sorted(listed[first])


# ---- scores and weights ---------------------------------------------------------------------------------------------


def _score(submission: Submission, names: Sequence[str]) -> tuple[list[Row], list[float]]:
    """Rows for bicubic, the compared folders, the members and the vote; and the members' shares of the vote."""
    members = [member.folder for member in submission.members]
    compared = [folder for folder in submission.compare if folder not in members]
    scores = {folder: _psnr(submission, folder, names) for folder in [*compared, *members]}
    shares = _shares(submission, [scores[folder] for folder in members])
    rows = [Row("bicubic", _bicubic_psnr(submission, names), None, None)]
    times = {folder: seconds(submission.predictions / folder / "validation") for folder in scores}
    for folder, score in scores.items():
        share = shares[members.index(folder)] if folder in members else None
        rows.append(Row(str(folder), score, times[folder], share))
    member_times = [times[folder] for folder in members]
    total = None if None in member_times else sum(time or 0 for time in member_times)
    rows.append(Row("vote", _vote_psnr(submission, names, shares), total, sum(shares)))
    return rows, shares


def _shares(submission: Submission, scores: Sequence[float]) -> list[float]:
    if submission.weights == "given":
        given = [member.weight for member in submission.members]
        if None in given or not sum(weight or 0 for weight in given):
            raise UsageError("members: weights is `given`, but a weight is missing or all are 0. Write them down")
        weights = np.array(given, np.float64)
    else:
        weights = np.array(scores if submission.weights == "psnr" else [1.0] * len(scores))
    return [float(weight) for weight in weights / math.fsum(weights)]


def _psnr(submission: Submission, folder: Path, names: Sequence[str]) -> float:
    base = submission.predictions / folder / "validation"
    return _mean_psnr(submission, ((name, to_bytes(_prediction(submission, base / name))) for name in names))


def _vote_psnr(submission: Submission, names: Sequence[str], shares: Sequence[float]) -> float:
    folders = [submission.predictions / member.folder / "validation" for member in submission.members]
    votes = (vote([_prediction(submission, folder / name) for folder in folders], shares) for name in names)
    return _mean_psnr(submission, zip(names, (quantize(picture, 8) for picture in votes), strict=True))


def _bicubic_psnr(submission: Submission, names: Sequence[str]) -> float:
    lows = submission.data / "train" / "lr"
    return _mean_psnr(submission, ((name, bicubic(read_rgb(lows / name), submission.scale)) for name in names))


def _mean_psnr(submission: Submission, pictures: Iterable[tuple[str, Bytes]]) -> float:
    truth = submission.data / "train" / "hr"
    return float(np.mean([submission.metric.psnr(picture, read_rgb(truth / name)) for name, picture in pictures]))


def _prediction(submission: Submission, path: Path) -> Words:
    picture = read_prediction(path)
    truth = read_header(submission.data / "train" / "hr" / path.name)
    if picture.shape[:2] != (truth.height, truth.width):
        raise BadInput(
            f"{path}: {picture.shape[1]}x{picture.shape[0]}, not {truth.width}x{truth.height}. Predict it again"
        )
    return picture


# ---- what is written -------------------------------------------------------------------------------------------------


def _votes(folders: Sequence[Path], names: Sequence[str], shares: Sequence[float]) -> Iterator[tuple[str, Bytes]]:
    with progress() as bar:
        for name in bar.track(names, description="vote"):
            members = [read_prediction(folder / "test" / name) for folder in folders]
            yield name, quantize(vote(members, shares), 8)


def _manifest(submission: Submission, rows: Sequence[Row], shares: Sequence[float], pictures: int) -> Manifest:
    scores = {row.name: row.psnr for row in rows}
    members = [
        _member(submission.predictions / member.folder, share, scores[str(member.folder)])
        for member, share in zip(submission.members, shares, strict=True)
    ]
    return Manifest(
        name=submission.name,
        format=submission.format,
        scale=submission.scale,
        vote=WEIGHTED_MEAN,
        members=tuple(members),
        validation=ValidationNote(
            metric=submission.metric.definition(),
            psnr=_finite(rows[-1].psnr),
            pictures=pictures,
            rows=tuple({**row._asdict(), "psnr": _finite(row.psnr)} for row in rows),
        ),
        commit=commit(),
        versions=versions(),
    )


def _member(folder: Path, share: float, psnr: float) -> MemberNote:
    record = read_record(folder / "test")
    return MemberNote(
        folder=folder.resolve(),
        weight=share,
        psnr=_finite(psnr),
        **{key: str(record[key]) for key in ("source", "weights", "commit") if record.get(key)},
        predictions={name: sha256(path) for name, path in list_pictures(folder / "test").items()},
    )


def _finite(score: float) -> float | None:
    """A score as JSON can hold it: that of pictures equal to their truth is infinite."""
    return score if np.isfinite(score) else None


if __name__ == "__main__":
    run_command(main)
