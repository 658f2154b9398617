"""Pictures that come twice: the very same pixels, the same picture processed otherwise; and scenes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from competition.analysis.measure import MeasuredPair, MeasuredTest
from competition.analysis.report import Finding, PairRecord, TestRecord
from competition.data.likeness import SAME_PICTURE, groups, likeness_matrix
from competition.errors import Fault
from competition.files import printable

Likenesses = npt.NDArray[np.float32]


def alike_findings(root: Path, pairs: Sequence[MeasuredPair], tests: Sequence[MeasuredTest]) -> Iterator[Finding]:
    """Warnings on training pictures that come twice, notes on what test and training pictures share.

    Low pictures are compared: of test pictures there are no others.
    """
    records = [pair.record for pair in pairs if pair.signature]
    signatures = [pair.signature for pair in pairs if pair.signature]
    seen = [test for test in tests if test.signature]
    if not signatures:
        return
    rows = likeness_matrix([*signatures, *(test.signature for test in seen if test.signature)], signatures)
    for number, record in enumerate(records):
        yield from _twice(root / "train" / "lr" / record.name, record, records[:number], rows[number, :number])
    for test, row in zip(seen, rows[len(records) :], strict=True):
        yield from _in_train(root / "test" / "lr" / test.record.name, test.record, records, row)


def _twice(path: Path, record: PairRecord, before: Sequence[PairRecord], likenesses: Likenesses) -> Iterator[Finding]:
    """Whether a pair is one of those before it, the one to keep."""
    for side in ("low", "high"):
        digest = f"{side}_sha256"
        original = next((one for one in before if getattr(one, digest) == getattr(record, digest)), None)
        if original:
            cause = f"the {side} picture has the very pixels of {printable(original.name)}"
            fault = Fault("duplicate", printable(path), cause, "Remove one of them")
            yield Finding("warning", fault, (record.name, original.name))
            return
    if len(before) and likenesses.max() >= SAME_PICTURE:
        original, likeness = before[int(likenesses.argmax())], float(likenesses.max())
        cause = f"is {printable(original.name)} processed in another way"
        fault = Fault("near-duplicate", printable(path), cause, "Remove one of them")
        yield Finding("warning", fault, (record.name, original.name), measured={"likeness": likeness})


def _in_train(path: Path, record: TestRecord, train: Sequence[PairRecord], likenesses: Likenesses) -> Iterator[Finding]:
    """Whether a test picture is one of the training pictures; one that shares but a scene is no finding."""
    original, likeness = train[int(likenesses.argmax())], float(likenesses.max())
    if likeness >= SAME_PICTURE:
        same = "has the very pixels of" if record.sha256 == original.low_sha256 else "is"
        cause = f"{same} train/lr/{printable(original.name)}, whose high picture is at hand"
        fault = Fault("test picture in train", printable(path), cause, "Use it or mind it")
        yield Finding("note", fault, (original.name,), (record.name,), {"likeness": likeness})


def with_scenes(
    pairs: Sequence[MeasuredPair], tests: Sequence[MeasuredTest]
) -> tuple[list[PairRecord], list[TestRecord]]:
    """The records with the number of their scene, which training and test pictures share."""
    every = [pair.signature for pair in pairs] + [test.signature for test in tests]
    signatures = [signature for signature in every if signature]
    numbers = iter(groups(signatures) if signatures else [])
    return (
        [replace(one.record, scene=next(numbers) if one.signature else None) for one in pairs],
        [replace(one.record, scene=next(numbers) if one.signature else None) for one in tests],
    )
