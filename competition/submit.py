"""Vote over members' predictions and write a submission that was read back and checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from competition import statistics, voting
from competition.config import describe, load
from competition.ensemble import bicubic
from competition.errors import ArgumentParser, BadInput, run_command
from competition.files import sha256
from competition.hidden import Hidden
from competition.images import Bytes, Words, list_pictures, quantize, read_header, read_prediction, read_rgb, to_bytes
from competition.judging import Evidence, conclude, judge
from competition.manifest import MANIFEST, ExpectedNote, Manifest, MemberNote, ValidationNote
from competition.metrics import MetricConfig
from competition.packing import alone, faults_of, pack
from competition.predictions import read_record, seconds
from competition.progress import console, progress
from competition.provenance import commit, versions
from competition.submission import Submission


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
    if faults or (faults := _copies(folders, list(sizes))):
        raise BadInput(*faults)
    names = _validation_names([*folders, *(submission.predictions / folder for folder in submission.compare)])
    known = _score(submission, names)
    hidden = Hidden(known.ballot, submission.metric)
    output = submission.submissions / submission.name
    with alone(output.parent):  # to the end: another one's submission shall not be judged in place of this one
        file = pack(output, _votes(submission, list(sizes), known.ballot, hidden), _manifest(submission, known))
        verdict = judge(file, submission.data / "test" / "lr", submission.scale, Evidence(manifest=output / MANIFEST))
        conclude(verdict, content_counts=False)
        if hidden.maps:
            hidden.write(output.with_name(f"{output.name}_disagreement"))
    if hidden.maps:
        console.print("\n".join(hidden.lines(known.grams, [str(member.folder) for member in submission.members])))
    console.print(f"{output}: {len(sizes)} pictures, {file}; read back and checked")
    return known.rows


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


def _copies(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A line for every member that predicted, pixel by pixel, what one before it did: it would vote twice."""
    return [
        f"{second / 'test'}: holds the predictions of {first / 'test'}, which would vote twice. Leave one of them out"
        for number, second in enumerate(folders)
        for first in folders[:number]
        if all(np.array_equal(_test(first, name), _test(second, name)) for name in names)
    ]


def _test(folder: Path, name: str) -> Words:
    return read_prediction(folder / "test" / name)


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


class Known(NamedTuple):
    """What the validation pictures tell."""

    rows: list[Row]
    """Bicubic, the compared folders, the members and the vote."""
    ballot: voting.Ballot
    grams: voting.Array
    """The members' errors, see `competition.weighting`."""
    joint: voting.Array
    """The vote's score on each picture in dB."""


def _score(submission: Submission, names: Sequence[str]) -> Known:
    train, members = submission.data / "train", [member.folder for member in submission.members]
    validation = voting.Validation(names, train / "lr", train / "hr", submission.metric, submission.scale)
    folders = [submission.predictions / folder / "validation" for folder in members]
    evidence = voting.gather(folders, validation, submission.weights_per)
    given = [member.weight for member in submission.members]
    ballot, lines = voting.elect(submission.weights, submission.weights_per, evidence, given)
    ballot = ballot._replace(scale=submission.scale)
    if submission.back_projection != "none":
        ballot, line = voting.with_back_projection(ballot, folders, validation, submission.back_projection)
        lines.append(line)
    compared = [folder for folder in submission.compare if folder not in members]
    scores = {folder: _psnr(submission, folder, validation) for folder in compared}
    scores |= dict(zip(members, evidence.psnr, strict=True))
    joint, plain = voting.scores(ballot, folders, validation), _bicubic_psnr(validation)
    shares = dict(zip(members, map(float, ballot.shares), strict=True))
    times = {folder: seconds(submission.predictions / folder / "validation") for folder in scores}
    total = None if any(times[folder] is None for folder in members) else sum(times[folder] or 0 for folder in members)
    rows = [Row("bicubic", float(plain.mean()), None, None)]
    rows += [Row(str(folder), float(scores[folder].mean()), times[folder], shares.get(folder)) for folder in scores]
    rows.append(Row("vote", float(joint.mean()), total, sum(shares.values())))
    if len(members) > 1:
        lines += _confidence({str(folder): scores[folder] for folder in scores}, map(str, members), joint)
    console.print("\n".join(lines), end="\n" if lines else "")
    return Known(rows, ballot, evidence.grams, joint)


def _confidence(scores: Mapping[str, voting.Array], members: Iterable[str], joint: voting.Array) -> list[str]:
    """How sure the vote's gain over its best member is, and what a public score would tell."""
    best = max(members, key=lambda member: scores[member].mean())
    everything = np.array([*scores.values(), joint])
    if not np.isfinite(everything).all():
        return []
    return [f"vote over {best}: {statistics.compare(joint, scores[best])}", str(statistics.shake(everything))]


def _psnr(submission: Submission, folder: Path, validation: voting.Validation) -> voting.Array:
    base = submission.predictions / folder / "validation"
    pictures = ((name, to_bytes(validation.read(base, name))) for name in validation.names)
    return np.array([submission.metric.psnr(picture, read_rgb(validation.truth / name)) for name, picture in pictures])


def _bicubic_psnr(validation: voting.Validation) -> voting.Array:
    pictures = ((name, bicubic(read_rgb(validation.low / name), validation.scale)) for name in validation.names)
    return np.array([validation.metric.psnr(picture, read_rgb(validation.truth / name)) for name, picture in pictures])


# ---- what is written -------------------------------------------------------------------------------------------------


def _votes(
    submission: Submission, names: Sequence[str], ballot: voting.Ballot, hidden: Hidden
) -> Iterator[tuple[str, Bytes]]:
    folders = [submission.predictions / member.folder for member in submission.members]
    with progress() as bar:
        for name in bar.track(names, description="vote"):
            members = [_test(folder, name) for folder in folders]
            low = read_rgb(submission.data / "test" / "lr" / name)
            if len(members) > 1:
                hidden.add(name, members, low)
            picture = quantize(ballot.join(members, low), 8)
            del members  # before the next ones are read
            yield name, picture


def _manifest(submission: Submission, known: Known) -> Manifest:
    scores = {row.name: row.psnr for row in known.rows}
    members = [
        _member(submission.predictions / member.folder, float(share), scores[str(member.folder)])
        for member, share in zip(submission.members, known.ballot.shares, strict=True)
    ]
    return Manifest(
        name=submission.name,
        format=submission.format,
        scale=submission.scale,
        vote=known.ballot.way,
        members=tuple(members),
        validation=ValidationNote(
            metric=submission.metric.definition(),
            psnr=_finite(known.rows[-1].psnr),
            pictures=len(known.joint),
            rows=tuple({**row._asdict(), "psnr": _finite(row.psnr)} for row in known.rows),
        ),
        expected=_expected(known.joint),
        commit=commit(),
        versions=versions(),
    )


def _expected(scores: voting.Array) -> ExpectedNote | None:
    """None where too few or perfect pictures tell nothing."""
    if len(scores) < 2 or not np.isfinite(scores).all():
        return None
    mean, low, high = statistics.expect(scores)
    return ExpectedNote(psnr=mean, low=low, high=high, level=statistics.CONFIDENCE)


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
