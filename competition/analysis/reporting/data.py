"""The section on the data: what the audit found, how pictures were degraded, what training pictures are near."""

from collections.abc import Iterator

import pandas as pd

from competition.analysis.background import hurt, likeness_gain
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.figures import errors as draw
from competition.analysis.figures.crops import jpeg
from competition.analysis.reporting import columns
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.parts import Figure, Part, Prose, Section, Sheet, Table
from competition.errors import BadInput
from competition.images import Bytes, read_rgb

# Pictures shown, and their largest side in pixels.
SHEETS, SIDE = 4, 360


def data(dossier: Dossier, findings: Findings) -> Section | None:
    """None where neither an audit nor the nearest training pictures are known."""
    table, audit = dossier.background, findings.sources.audit
    if not audit and not table["nearest"].notna().any():
        return None
    parts: list[Part] = []
    found = hurt(audit, table)
    if len(found):
        parts.append(
            Table(found, columns.HURT, "What the audit found, and how the validation pictures it concerns fare.")
        )
    elif audit:
        parts.append(Prose(["The audit found nothing wrong with any pair."], muted=False))
    if len(findings.clusters):
        parts.append(Table(findings.clusters, columns.CLUSTERS, "By the audit's degradation."))
        if findings.clusters["gain"].notna().any():
            parts.append(Figure(draw.clusters(findings.clusters), "Gain over bicubic by degradation"))
    if halves := likeness_gain(table):
        near, far = halves
        line = (
            f"The half of the pictures most like a training picture gains {near:+.3f} dB, the other half {far:+.3f} dB."
        )
        parts.append(Prose([line], muted=False))
    parts.append(Table(table, columns.BACKGROUND, "Validation pictures, the lowest gain first."))
    return Section("data", "Data", [*parts, *_sheets(findings, table)])


def _sheets(findings: Findings, table: pd.DataFrame) -> Iterator[Sheet]:
    """Pictures that the audit found something of, then those of the lowest gain, and what in training is nearest."""
    for row in table.sort_values("found", na_position="last", kind="stable").head(SHEETS).itertuples():
        views = [("truth", str(row.name))]
        if isinstance(row.nearest, str):
            views.append((f"nearest in training: {row.nearest}, likeness {row.likeness:.2f}", row.nearest))
        shown = [(what, jpeg(picture, SIDE)) for what, name in views if (picture := _truth(findings, name)) is not None]
        yield Sheet(f"{row.name}: gain {row.gain:+.3f} dB{f'; {row.found}' if row.found else ''}", shown, whole=True)


def _truth(findings: Findings, name: str) -> Bytes | None:
    try:
        return read_rgb(findings.sources.truths[name])
    except (BadInput, KeyError):  # named among what the findings lack, or no longer there
        return None
