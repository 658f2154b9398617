"""What a section is made of, each part knowing its HTML; a notebook shows sections as they stand on the page."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import pandas as pd

# Rows from which on a table scrolls within its own frame.
LONG = 25
# Letters from which on a cell's text may break.
WIDE = 40


class Part(Protocol):
    """Anything that stands in a section."""

    def html(self) -> str:
        """As HTML, every text of it escaped."""


@dataclass(frozen=True)
class Prose:
    """A paragraph, or a list of several; `muted` where it only explains."""

    lines: Sequence[str]
    muted: bool = True

    def html(self) -> str:
        style = ' class="muted"' if self.muted else ""
        if len(self.lines) == 1:
            return f"<p{style}>{escape(self.lines[0])}</p>"
        return f"<ul{style}>{''.join(f'<li>{escape(line)}</li>' for line in self.lines)}</ul>"


@dataclass(frozen=True)
class Verdict:
    """Sentences in their order, each with the rule that let it be said."""

    sentences: Sequence[tuple[str, str]]

    def html(self) -> str:
        items = (
            f"<li>{escape(sentence)} <small title='{escape(rule)}'>({escape(rule)})</small></li>"
            for sentence, rule in self.sentences
        )
        return f'<ol class="verdict">{"".join(items)}</ol>'


@dataclass(frozen=True)
class Table:
    """A frame's columns under heads, each with its format; NaN is a dash. Sortable by a click where there is script."""

    frame: pd.DataFrame
    columns: Mapping[str, tuple[str, str]]
    """Head and format by the frame's column, in the order shown."""
    caption: str = ""

    def html(self) -> str:
        shown = {key: column for key, column in self.columns.items() if self.frame[key].replace("", None).notna().any()}
        heads = "".join(f'<th scope="col" tabindex="0">{escape(head)}</th>' for head, _ in shown.values())
        rows = "".join(
            f"<tr>{''.join(_cell(value, form) for value, (_, form) in zip(row, shown.values(), strict=True))}</tr>"
            for row in self.frame[list(shown)].itertuples(index=False, name=None)
        )
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        style = "scroll long" if len(self.frame) > LONG else "scroll"
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return f'<figure class="table">{caption}<div class="{style}" tabindex="0">{table}</div></figure>'


@dataclass(frozen=True)
class Figure:
    """A PNG with what it shows in words."""

    png: bytes
    alt: str
    small: bool = False

    def html(self) -> str:
        style = "bar" if self.small else "figure"
        return f'<figure class="{style}"><img src="{uri(self.png)}" alt="{escape(self.alt)}"></figure>'


@dataclass(frozen=True)
class Row:
    """Parts beside each other where the screen is wide enough."""

    parts: Sequence[Part]

    def html(self) -> str:
        return f'<div class="row">{"".join(part.html() for part in self.parts)}</div>'


@dataclass(frozen=True)
class Sheet:
    """Crops of one place, beside each other: (what, JPEG or PNG)."""

    title: str
    crops: Sequence[tuple[str, bytes]]
    whole: bool = False
    """Whether they are whole pictures, which need more room."""

    def html(self) -> str:
        figures = "".join(
            f'<figure><img src="{uri(content)}" alt="{escape(what)}"><figcaption>{escape(what)}</figcaption></figure>'
            for what, content in self.crops
        )
        style = "crops whole" if self.whole else "crops"
        return f'<div class="sheet"><h4>{escape(self.title)}</h4><div class="{style}">{figures}</div></div>'


@dataclass(frozen=True)
class Slider:
    """Two pictures of one size over each other, the second shown right of a line that a finger moves."""

    title: str
    before: tuple[str, bytes]
    after: tuple[str, bytes]

    def html(self) -> str:
        under, over = (
            f'<img class="{side}" src="{uri(content)}" alt="{escape(what)}">'
            for side, (what, content) in (("under", self.before), ("over", self.after))
        )
        label = escape(f"{self.before[0]} or {self.after[0]}")
        names = f"<span>{escape(self.before[0])}</span><span>{escape(self.after[0])}</span>"
        control = f'<input type="range" min="0" max="100" value="50" aria-label="{label}">'
        return (
            f'<figure class="slider"><div class="both">{under}{over}</div>{control}'
            f"<figcaption>{names}<b>{escape(self.title)}</b></figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """One topic of the report; `tables` are written as CSV beside it."""

    key: str
    title: str
    parts: Sequence[Part]

    def html(self) -> str:
        """With its heading."""
        parts = "\n".join(part.html() for part in self.parts)
        return f'<section id="{self.key}">\n<h2>{escape(self.title)}</h2>\n{parts}\n</section>'

    def _repr_html_(self) -> str:
        """As a notebook shows it, in the page's style."""
        from competition.analysis.reporting.page import style

        return f'<style>{style()}</style><div class="report">{self.html()}</div>'


def uri(content: bytes) -> str:
    """A PNG or JPEG as a data URI."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _cell(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '<td class="none">–</td>'
    if isinstance(value, str):
        return f'<td class="wide">{escape(value)}</td>' if len(value) > WIDE else f"<td>{escape(value)}</td>"
    return f'<td class="number">{escape(form.format(value))}</td>'
