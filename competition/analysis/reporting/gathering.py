"""Gathers what a report shows from run folders, predictions and an audit; what is missing is named, not fatal."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from competition.analysis.background import background
from competition.analysis.diagnosis.door import SAMPLE, analyse
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.series import History, read_history
from competition.analysis.unseen import Unseen, find_members, look, psnr_half
from competition.errors import BadCheckpoint, BadInput, CompetitionError
from competition.files import printable
from competition.images import list_pictures, read_rgb
from competition.predictions import read_record
from competition.runs import read_record as read_experiment


def gather(
    runs: Sequence[Path],
    data: Path | None = None,
    *,
    members: Sequence[Path] = (),
    audit: Path | None = None,
    sample: int = SAMPLE,
    progress: bool = True,
) -> Dossier:
    """Read and measure everything of `runs`, the first of which is judged.

    data: the contest's folder, by default the one whose pictures the predictions were made of. members: folders that
    vote together, by default all the runs where there are several. audit, sample: as `analyse` takes them. Raises
    BadInput only where there is nothing at all to report: no readable predictions, no log.
    """
    lacks: list[str] = []
    data = data or _recorded_data(runs[0])
    members = members or (runs if len(runs) > 1 else ())
    findings: Findings | None = None
    others: tuple[Findings, ...] = ()
    if data is None:
        lacks.append(f"{runs[0]}: does not tell its data folder. Give it with --data")
    else:
        study = partial(analyse, runs[0], data, audit=audit, progress=progress)
        findings, others = _analyse(study, runs, members, sample, lacks)
    labels = _labels(runs)
    histories = _histories(runs, labels, lacks)
    unseen = _look_at_hidden(members or runs, data, findings, lacks) if data else None
    if not (findings or histories or unseen):
        raise BadInput(*lacks)
    table = background(findings, _nearest(runs[0], lacks)) if findings else pd.DataFrame()
    lacks = [*lacks, *(findings.lacks if findings else ()), *(unseen.lacks if unseen else ())]
    return Dossier(
        runs=tuple(runs),
        labels=labels,
        members=tuple(members or runs),
        data=data,
        findings=findings,
        others=others,
        histories=histories,
        loss=_loss(runs[0]),
        background=table,
        unseen=unseen,
        lacks=tuple(dict.fromkeys(lacks)),
    )


def _analyse(
    study: Callable[..., Findings], runs: Sequence[Path], members: Sequence[Path], sample: int, lacks: list[str]
) -> tuple[Findings | None, tuple[Findings, ...]]:
    """The first run's findings, and those against each further run, of which only the scores are needed."""
    try:
        findings = study(members=members, previous=runs[1] if len(runs) > 1 else None, sample=sample)
    except BadInput as error:
        lacks += error.lines
        return None, ()
    others = tuple(study(previous=run, sample=1) for run in runs[2:])
    lacks += [line for other in others for line in other.lacks]
    return (findings if len(findings.pictures) else None), others


def _recorded_data(run: Path) -> Path | None:
    """The contest folder that `infer` noted beside the run's predictions, if it is still there."""
    for way in ("self_ensemble", "model"):
        for side in ("validation", "test"):
            recorded = read_record(run / "predictions" / way / side).get("input")
            if isinstance(recorded, str) and Path(recorded).is_dir():
                return Path(recorded).parents[1]
    return None


def _labels(runs: Sequence[Path]) -> tuple[str, ...]:
    """The names of the run folders, or their paths where two have the same name."""
    names = [printable(run.resolve().name) for run in runs]
    return tuple(names if len(set(names)) == len(names) else [printable(run) for run in runs])


def _histories(runs: Sequence[Path], labels: Sequence[str], lacks: list[str]) -> tuple[History, ...]:
    histories = []
    for run, label in zip(runs, labels, strict=True):
        try:
            histories.append(read_history(run, label))
        except BadCheckpoint as error:
            lacks += error.lines
    return tuple(histories)


def _loss(run: Path) -> str | None:
    """The one loss of a run's training, where it was recorded and the same throughout."""
    try:
        config = read_experiment(run).config
    except CompetitionError:
        return None
    losses = [part.get("loss") for part in (config, *(config.get("stages") or ())) if isinstance(part, dict)]
    names = {loss["name"] for loss in losses if isinstance(loss, dict) and "name" in loss}
    return str(names.pop()) if len(names) == 1 else None


def _nearest(run: Path, lacks: list[str]) -> dict[str, tuple[str, float]]:
    """The nearest training picture of each validation picture, and their likeness."""
    path = run / "split.json"
    try:
        nearest = json.loads(path.read_bytes())["nearest"]
        return {str(name): (str(other), float(likeness)) for name, other, likeness in nearest}
    except OSError:
        lacks.append(f"{path}: no such file, so nearest training pictures are not known. Runs of make train have one")
    except (ValueError, KeyError, TypeError) as error:
        lacks.append(f"{path}: cannot be read ({error}). Restore it")
    return {}


def _look_at_hidden(members: Sequence[Path], data: Path, findings: Findings | None, lacks: list[str]) -> Unseen | None:
    folders = find_members(members)
    if not folders:
        lacks.append(f"{members[0]}: holds no predictions of test pictures. Predict them with make infer")
        return None
    try:
        lows = list_pictures(data / "test/lr")
    except BadInput as error:
        lacks += error.lines
        return None
    return look(lows, folders, _known(findings))


def _known(findings: Findings | None) -> pd.DataFrame:
    """psnr_half and psnr of the validation pictures looked at."""
    rows = []
    if findings:
        scores = dict(zip(findings.pictures["name"], findings.pictures["psnr"], strict=True))
        for name in findings.looked:
            if path := findings.sources.lows.get(name):
                rows.append({"psnr_half": psnr_half(read_rgb(path)), "psnr": scores[name]})
    return pd.DataFrame(rows, columns=["psnr_half", "psnr"], dtype=float)
