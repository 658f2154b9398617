"""An audit as one HTML file that needs nothing beside it."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

import numpy as np

from competition.analysis.report import Finding, Report, Severity
from competition.analysis.summary import Histogram, Section, Table, sections

# Should a name ever slip through unescaped, the browser still runs and fetches nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.15rem; margin-top: 2.5rem; border-bottom: 1px solid #d0d7de }
.counts { display: flex; gap: 1rem; margin: 1rem 0 } .counts div { padding: .5rem 1.2rem; border-radius: .5rem }
.counts b { display: block; font-size: 1.6rem; line-height: 1.2 }
.error { background: #ffebe9 } .warning { background: #fff8c5 } .note { background: #ddf4ff }
.none { background: #dafbe1 }
table { border-collapse: collapse; margin: .7rem 0 } td, th { padding: .2rem .9rem .2rem 0; text-align: left }
th { font-weight: 600; border-bottom: 1px solid #d0d7de } td { vertical-align: top; overflow-wrap: anywhere }
details { margin: .6rem 0 } summary { cursor: pointer; padding: .25rem .7rem; border-radius: .4rem; font-weight: 600 }
article { margin: .8rem 0 .8rem .7rem; padding-left: .7rem; border-left: 3px solid #d0d7de }
article p { margin: 0; overflow-wrap: anywhere } .measured { color: #59636e; font-size: .87rem }
figure { display: inline-block; margin: .4rem .6rem 0 0; vertical-align: top }
figcaption { font-size: .8rem; color: #59636e } img { display: block; max-width: 10rem; max-height: 10rem }
svg { display: inline-block; margin: .4rem 1.5rem .4rem 0 } svg text { font-size: 11px; fill: #59636e }
rect { fill: #54aeff }
"""

Thumbnails = Mapping[int, Sequence[tuple[str, str]]]


def render(report: Report, thumbnails: Thumbnails) -> str:
    """The page; thumbnails[number of the finding] are (caption, data URI) of its pictures."""
    parts = [*_header(report), *_findings(report, thumbnails)]
    for section in sections(report):
        parts += _section(section)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Audit of {escape(report.root)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *parts,
            "</body>\n</html>\n",
        ]
    )


def _header(report: Report) -> Iterator[str]:
    yield f"<h1>Audit of {escape(report.root)}</h1>"
    yield f"<p>{len(report.pairs)} pairs, {len(report.test)} test pictures, enlargement {report.scale}</p>"
    yield '<div class="counts">'
    for severity, count in report.counts().items():
        style = severity if count else "none"
        yield f'<div class="{style}"><b>{count}</b>{severity}{"" if count == 1 else "s"}</div>'
    yield "</div>"


# ---- findings -------------------------------------------------------------------------------------------------------


def _findings(report: Report, thumbnails: Thumbnails) -> Iterator[str]:
    if not report.findings:
        return
    yield "<h2>Findings</h2>"
    numbered = enumerate(report.findings)
    for (severity, kind), group in groupby(numbered, lambda item: (item[1].severity, item[1].fault.kind)):
        yield from _kind(severity, kind, list(group), thumbnails)


def _kind(severity: Severity, kind: str, group: Sequence[tuple[int, Finding]], thumbnails: Thumbnails) -> Iterator[str]:
    yield f"<details{' open' if severity == 'error' else ''}>"
    count = f"{len(group)} {severity}{'' if len(group) == 1 else 's'}"
    yield f'<summary class="{severity}">{escape(kind)}: {count}</summary>'
    for number, finding in group:
        yield f"<article><p><b>{escape(finding.fault.subject)}</b><br>{escape(finding.fault.cause)}."
        yield f"{escape(finding.fault.mend)}.</p>"
        if finding.measured:
            yield f'<p class="measured">{escape(_measured(finding))}</p>'
        for caption, uri in thumbnails.get(number, ()):
            yield f'<figure><img src="{escape(uri)}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
        yield "</article>"
    yield "</details>"


def _measured(finding: Finding) -> str:
    values = ((name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in finding.measured.items())
    return ", ".join(f"{name} {value}" for name, value in values)


# ---- measurements ---------------------------------------------------------------------------------------------------


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    if section.facts:
        yield from _table(Table(("", ""), section.facts))
    for histogram in section.histograms:
        yield _histogram(histogram)
    if section.table:
        yield from _table(section.table)


def _table(table: Table) -> Iterator[str]:
    yield "<table>"
    if any(table.heads):
        yield f"<tr>{''.join(f'<th>{escape(head)}</th>' for head in table.heads)}</tr>"
    for row in table.rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</table>"


def _histogram(histogram: Histogram, width: int = 300, height: int = 90, bins: int = 30) -> str:
    """Bars between the smallest and the largest value, as inline SVG."""
    if not histogram.values:
        return ""
    counts, edges = np.histogram(histogram.values, bins)
    bar = width / bins
    heights = counts / counts.max() * height
    bars = "".join(
        f'<rect x="{index * bar:.1f}" y="{height - tall:.1f}" width="{bar - 1:.1f}" height="{tall:.1f}"/>'
        for index, tall in enumerate(heights)
        if tall
    )
    ends = f'<text y="{height + 14}">{edges[0]:.4g}</text><text x="{width}" y="{height + 14}" text-anchor="end">'
    axis = f'{edges[-1]:.4g}</text><text x="{width / 2}" y="{height + 28}" text-anchor="middle">'
    size = f'width="{width}" height="{height + 34}" role="img"'
    return f"<svg {size}>{bars}{ends}{axis}{escape(histogram.axis)}</text></svg>"
