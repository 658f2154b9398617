"""The way in: analyse a run's validation predictions, one picture at a time, into tables."""

from collections.abc import Sequence
from pathlib import Path

from competition.analysis.diagnosis.findings import Findings

# Pictures that are looked at closely; all are scored.
SAMPLE = 100


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
    raise NotImplementedError
