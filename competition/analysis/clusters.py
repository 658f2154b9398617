"""Sorts pairs by how their low picture was made."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from competition.analysis.report import Measured, PairRecord
from competition.data.degrade import Degradation

STRENGTHS = tuple(setting for setting in Degradation.model_fields if setting != "resize")


def cluster(records: Sequence[PairRecord]) -> tuple[list[PairRecord], list[Measured]]:
    """The records with the number of their cluster, and the clusters, the largest first.

    A cluster holds the pairs of one kind of degradation (see `competition.data.degrade.Degradation.kind`):
    kind, count, names, and for each strength its smallest, median and largest value, or None where it is not used.
    """
    kinds: defaultdict[str, list[PairRecord]] = defaultdict(list)
    for record in records:
        if record.degradation:
            kinds[record.degradation["kind"]].append(record)
    largest_first = sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))
    numbers = {record.name: number for number, kind in enumerate(largest_first) for record in kinds[kind]}
    numbered = [replace(record, cluster=numbers.get(record.name)) for record in records]
    return numbered, [_describe(kind, kinds[kind]) for kind in largest_first]


def _describe(kind: str, records: Sequence[PairRecord]) -> Measured:
    described: dict[str, Any] = {"kind": kind, "count": len(records), "names": [record.name for record in records]}
    for strength in STRENGTHS:
        values = [record.degradation[strength] for record in records if record.degradation]
        used = [value for value in values if value]
        described[strength] = [float(f(used)) for f in (np.min, np.median, np.max)] if used else None
    return described
