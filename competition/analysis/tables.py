"""An audit on the terminal: counts, findings, measurements."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from competition.analysis.report import Report
from competition.analysis.summary import Section, sections

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
FINDINGS = 200


def render(report: Report) -> Iterator[Table | Text]:
    """What to print, one thing after the other."""
    if report.findings:
        yield _kinds(report)
    for finding in report.findings[:FINDINGS]:
        # Text, not markup: a file may be called [red].
        yield Text.assemble((f"{finding.severity:7} ", COLOURS[finding.severity]), str(finding.fault))
    if len(report.findings) > FINDINGS:
        yield Text(f"… and {len(report.findings) - FINDINGS} more, see --json or --html")
    for section in sections(report):
        yield from _section(section)


def _kinds(report: Report) -> Table:
    table = Table(title=f"{len(report.pairs)} pairs, {len(report.test)} test pictures")
    table.add_column("severity")
    table.add_column("kind")
    table.add_column("found", justify="right")
    for (severity, kind), count in report.kinds().items():
        table.add_row(Text(severity, COLOURS[severity]), Text(kind), str(count))
    return table


def _section(section: Section) -> Iterator[Table | Text]:
    facts = ", ".join(f"{name} {value}" for name, value in section.facts)
    yield Text.assemble((section.title, "bold"), f": {facts}" if facts else "")
    if section.table:
        table = Table()
        *heads, last = section.table.heads
        for head in heads:
            table.add_column(head, no_wrap=True)
        table.add_column(last)
        for row in section.table.rows:
            table.add_row(*map(Text, row))
        yield table
