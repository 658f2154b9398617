"""Everything a report shows of one or several runs, gathered from their folders; what is missing is named."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from competition.analysis.diagnosis.findings import Findings
from competition.analysis.series import History
from competition.analysis.training import stages, time_spent
from competition.analysis.unseen import Unseen


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
