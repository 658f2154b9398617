"""The way in: analyse a run's validation predictions, one picture at a time, into tables."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from competition.analysis.diagnosis import comparing, crops, tables, votes
from competition.analysis.diagnosis.case import Case
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.diagnosis.looking import METRIC, Look, Score, look
from competition.analysis.diagnosis.sources import Sources, find, some
from competition.analysis.diagnosis.verdict import verdict
from competition.predictions import record_path
from competition.progress import progress as show

# Pictures that are looked at closely; all are scored.
SAMPLE = 64
# Each holds the arrays of one picture, about 550 MB at 2048 x 2048.
_THREADS = min(2, os.cpu_count() or 1)


def analyse(
    run: Path,
    data: Path,
    *,
    members: Sequence[Path] = (),
    previous: Path | None = None,
    audit: Path | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: bool = True,
) -> Findings:
    """What the predictions of a run get wrong, measured against the truth of a contest folder.

    run: a run's folder, or one of PNGs named like the truths. members: folders that vote together, found like `run`.
    previous: an earlier run to compare with. audit: the audit's JSON, by default RUN/../audit/DATA.json. `sample`
    pictures, drawn with `seed`, are looked at closely; all are scored. Raises BadInput where there are no predictions;
    anything else that is missing, or cannot be read, is named in the findings.
    """
    sources = find(run, data, members, previous, audit)
    scores, looks = _look_at_all(sources, set(_draw(sources.names, sample, seed)), progress)
    found = _tables(sources, scores, looks)
    lacks = (*sources.lacks, *_lacks(sources, scores, found))
    judged = verdict(Case(looks, found))
    looked = tuple(one.name for one in looks)
    return Findings(sources, METRIC.definition(), looked, seed, lacks, **found, verdict=judged)


def _tables(sources: Sources, scores: Sequence[Score], looks: Sequence[Look]) -> dict[str, pd.DataFrame]:
    """All but the verdict."""
    pictures = tables.pictures(sources, scores, looks)
    return {
        "pictures": pictures,
        "tiles": crops.tiles(looks),
        "concentration": crops.concentration(looks),
        "bands": tables.bands(looks),
        "textures": tables.textures(looks),
        "brightness": tables.brightness(looks),
        "channels": tables.channels(looks),
        "border": tables.border(looks),
        "clusters": tables.clusters(sources, pictures),
        "budget": tables.budget(looks),
        "members": votes.members(sources, looks),
        "spread": votes.spread(looks),
        "symmetries": votes.symmetries(sources),
        "comparison": comparing.comparison(pictures),
    }


def _lacks(sources: Sources, scores: Sequence[Score], found: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """What single pictures lack, and what nobody gave."""
    if not sources.names:
        yield f"{sources.folder}: no picture has a truth, so nothing can be scored. Give the folder of a contest's data"
        return
    without = [one.name for one in scores if not one.fault and math.isnan(one.psnr_bicubic)]
    if without:
        yield f"{some(without)}: no low picture, so no gain over bicubic. Put it into train/lr"
    yield from sorted({one.fault_previous for one in scores} - {""})
    if len(sources.members) and found["members"].empty:
        yield "members: no picture was predicted by all of them. Predict the same ones"
    elif not sources.members:
        yield "members: none given, so no bias and variance. Name the folders that vote"
    if found["symmetries"].empty:
        yield f"{record_path(sources.folder)}: no scores of the symmetries. Predict again with make infer"


def _draw(names: Sequence[str], sample: int, seed: int) -> list[str]:
    """That many of the names, without replacement."""
    generator = np.random.default_rng(seed)
    return [names[index] for index in generator.permutation(len(names))[:sample]]


def _look_at_all(sources: Sources, chosen: set[str], progress: bool) -> tuple[list[Score], list[Look]]:
    """Read every picture once; only those at hand are in memory."""
    scores, looks = [], []
    with show(progress) as bar, ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda name: look(sources, name, name in chosen), sources.names)
        for score, close in bar.track(found, total=len(sources.names), description="analyse"):
            scores.append(score)
            looks += [close] if close else []
    return scores, looks
