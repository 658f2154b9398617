"""The way in: analyse a run's validation predictions, one picture at a time, into tables."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from competition.analysis.diagnosis import comparing, crops, tables, votes
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.diagnosis.frames import frame
from competition.analysis.diagnosis.looking import METRIC, Look, Score, look
from competition.analysis.diagnosis.sources import Sources, find
from competition.progress import progress as show

# Pictures that are looked at closely; all are scored.
SAMPLE = 100
# Each holds the arrays of one picture, about 600 MB at 2048 x 2048.
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
    pictures = tables.pictures(sources, scores, looks)
    return Findings(
        sources,
        METRIC.definition(),
        tuple(one.name for one in looks),
        seed,
        (*sources.lacks,),
        pictures=pictures,
        tiles=crops.tiles(looks),
        concentration=crops.concentration(looks),
        bands=tables.bands(looks),
        textures=tables.textures(looks),
        brightness=tables.brightness(looks),
        channels=tables.channels(looks),
        border=tables.border(looks),
        clusters=tables.clusters(sources, pictures),
        budget=tables.budget(looks),
        members=votes.members(sources, looks),
        spread=votes.spread(looks),
        symmetries=votes.symmetries(sources),
        comparison=comparing.comparison(pictures),
        verdict=frame("verdict"),
    )


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
