"""Everything a report shows of one or several runs, gathered from their folders; what is missing is named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from competition.analysis.background import background
from competition.analysis.diagnosis.door import SAMPLE, analyse
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.series import History, read_history
from competition.analysis.training import stages, time_spent
from competition.analysis.unseen import Unseen, look, psnr_half, test_members
from competition.errors import BadCheckpoint, BadInput, CompetitionError
from competition.files import printable, write_atomic
from competition.images import list_pictures, read_rgb
from competition.predictions import read_record
from competition.runs import read_record as read_experiment


@dataclass(frozen=True)
class Dossier:
    """One run, judged, and others beside it; each part is None or empty where there is nothing to make it of."""

    runs: tuple[Path, ...]
    """The run judged, then the others."""
    labels: tuple[str, ...]
    members: tuple[Path, ...]
    """Folders that vote together on the hidden pictures: the runs, if no others were named."""
    data: Path | None
    findings: Findings | None
    """Of the first run, with the second as the one before it."""
    others: tuple[Findings, ...]
    """The first run's against each of the others, looked at less closely; only `pictures` and `comparison` count."""
    histories: tuple[History, ...]
    loss: str | None
    """Name of the first run's training loss."""
    background: pd.DataFrame
    unseen: Unseen | None
    lacks: tuple[str, ...]

    @property
    def history(self) -> History | None:
        """The log of the run that is judged."""
        return next((one for one in self.histories if one.label == self.labels[0]), None)

    def comparison(self) -> pd.DataFrame:
        """The first run against bicubic and each of the others by its label, as in `Findings`."""
        if self.findings is None:
            return pd.DataFrame()
        tables = [
            one.comparison.replace({"against": {"previous": label}})
            for one, label in zip((self.findings, *self.others), self.labels[1:] or self.labels, strict=True)
        ]
        return pd.concat(tables, ignore_index=True).drop_duplicates("against", ignore_index=True)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the report by the name of its CSV."""
        tables = dict(self.findings.tables()) if self.findings else {}
        tables |= {"comparison": self.comparison(), "background": self.background}
        if self.history:
            tables |= {"stages": stages(self.history), "time": time_spent(self.history)}
        return tables | ({"hidden": self.unseen.table} if self.unseen else {})

    def write_csv(self, folder: Path) -> None:
        """FOLDER/NAME.csv for every table, numbers to six digits."""
        for name, table in self.tables().items():
            text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_atomic(folder / f"{name}.csv", text.encode("utf-8", "backslashreplace"))


def gather(
    runs: Sequence[Path],
    data: Path | None = None,
    members: Sequence[Path] = (),
    sample: int = SAMPLE,
    progress: bool = True,
) -> Dossier:
    """Read and measure everything of `runs`, the first of which is judged.

    data: the contest's folder, by default the one whose pictures the predictions were made of. members: folders that
    vote together, by default all the runs where there are several. Raises BadInput only where there is nothing at all
    to report: no readable predictions, no log.
    """
    lacks: list[str] = []
    data = data or _recorded_data(runs[0])
    if data is None:
        lacks.append(f"{runs[0]}: does not tell its data folder. Give it with --data")
    members = members or (runs if len(runs) > 1 else ())
    findings, others = _analyse(runs, data, members, sample, progress, lacks)
    labels = _labels(runs)
    histories = _histories(runs, labels, lacks)
    unseen = _look_at_hidden(runs, members, data, findings, lacks)
    if not (findings or histories or unseen):
        raise BadInput(*lacks)
    table = background(findings, _split(runs[0], lacks)) if findings else pd.DataFrame()
    lacks = [*lacks, *(findings.lacks if findings else ()), *(unseen.lacks if unseen else ())]
    named = tuple(dict.fromkeys(lacks))
    return Dossier(
        tuple(runs),
        labels,
        tuple(members or runs),
        data,
        findings,
        others,
        histories,
        _loss(runs[0]),
        table,
        unseen,
        named,
    )


def _analyse(
    runs: Sequence[Path], data: Path | None, members: Sequence[Path], sample: int, progress: bool, lacks: list[str]
) -> tuple[Findings | None, tuple[Findings, ...]]:
    if data is None:
        return None, ()
    previous = runs[1] if len(runs) > 1 else None
    try:
        findings = analyse(runs[0], data, members=members, previous=previous, sample=sample, progress=progress)
    except BadInput as error:
        lacks += error.lines
        return None, ()
    others = []
    for run in runs[2:]:
        others.append(analyse(runs[0], data, previous=run, sample=1, progress=progress))
        lacks += others[-1].lacks
    return (findings if len(findings.pictures) else None), tuple(others)


def _recorded_data(run: Path) -> Path | None:
    """The contest folder that `infer` noted beside the run's predictions, if it is still there."""
    for way in ("self_ensemble", "model"):
        for side, levels in (("validation", 1), ("test", 1)):
            recorded = read_record(run / "predictions" / way / side).get("input")
            if isinstance(recorded, str) and Path(recorded).is_dir():
                return Path(recorded).parents[levels]
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


def _split(run: Path, lacks: list[str]) -> dict[str, tuple[str, float]]:
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


def _look_at_hidden(
    runs: Sequence[Path], members: Sequence[Path], data: Path | None, findings: Findings | None, lacks: list[str]
) -> Unseen | None:
    folders = test_members(members or runs)
    if data is None or not folders:
        if data is not None:
            lacks.append(f"{runs[0]}: holds no predictions of test pictures. Predict them with make infer")
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
