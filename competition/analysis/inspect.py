"""Inspects a whole contest folder: every file, every pair, and the set as a whole."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from competition.analysis.alike import with_scenes
from competition.analysis.clusters import cluster
from competition.analysis.collection import collection_findings, joined
from competition.analysis.measure import measure_alone, measure_pair, measure_test
from competition.analysis.report import SEVERITIES, Finding, Report
from competition.analysis.survey import survey
from competition.data.exclusions import FILE_NAME, read_exclusions
from competition.files import printable
from competition.progress import progress

# Each thread holds one decoded pair and its planes, about 150 MB at 2048x2048.
MOST_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def inspect(root: Path, scale: int, quick: bool = False) -> Report:
    """Look at everything in ROOT that ROOT/excluded.txt does not leave out, and change nothing.

    `quick` leaves out how the low pictures were made, which takes most of the time.

    Pictures are decoded once, by a few threads, and dropped before the next ones, however many there are.
    Raises BadInput where there is no folder train or the list of exclusions cannot be understood.
    """
    seen = survey(root, read_exclusions(root / FILE_NAME))
    pairs = list(_in_parallel(partial(measure_pair, scale=scale, quick=quick), seen.pairs, "pairs"))
    alone = list(_in_parallel(measure_alone, seen.alone, "without partner"))
    tests = list(_in_parallel(measure_test, seen.test, "test pictures"))
    inside = [pair.findings for pair in pairs] + [test.findings for test in tests] + alone
    findings = seen.findings + [finding for one in inside for finding in one]
    findings = joined(root, findings, len(pairs))
    faulty = {name for finding in findings if finding.severity == "error" for name in finding.names}
    healthy = [pair for pair in pairs if pair.record.name not in faulty]
    findings += collection_findings(root, healthy, tests)
    pair_records, test_records = with_scenes(pairs, tests)
    pair_records, clusters = cluster(pair_records)
    return Report(
        root=printable(root),
        scale=scale,
        findings=tuple(sorted(findings, key=_order)),
        pairs=tuple(pair_records),
        test=tuple(test_records),
        clusters=tuple(clusters),
    )


def _order(finding: Finding) -> tuple[int, str, str]:
    return SEVERITIES.index(finding.severity), finding.fault.kind, finding.fault.subject


def _in_parallel(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """Results in the order of the items. Decoders, checksums and filters let other threads run."""
    with progress() as bar, ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield from bar.track(pool.map(function, items), total=len(items), description=description)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the pictures in work, not for all that are left
            raise
