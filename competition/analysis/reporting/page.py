"""The sections of a report as one HTML file that needs nothing beside it, on a wide screen, a phone and paper."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from competition.analysis.reporting.parts import Section

_HERE = files(__package__)


def render(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """The page; its policy lets nothing run but our own script, and nothing be fetched."""
    script = (_HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    links = "".join(f'<a href="#{section.key}">{escape(section.title)}</a>' for section in sections)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>",
            '<body class="report">',
            f'<h1>{escape(title)}</h1>\n<p class="muted">{escape(" · ".join(facts))}</p>\n<nav>{links}</nav>',
            *(section.html() for section in sections),
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def style() -> str:
    """The page's style sheet."""
    return (_HERE / "style.css").read_text(encoding="utf-8")
