"""The section on the data: what the audit found, how pictures were degraded, what training pictures are near."""

from competition.analysis.background import hurt, likeness_gain
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.figures import errors as draw
from competition.analysis.reporting import columns
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.parts import Figure, Part, Prose, Section, Table


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
    return Section("data", "Data", parts)
