"""Why a file or a job was refused, in the visitor's language: the engine's own sentence is the key, as in gettext."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from competition.web.wording import say

CATALOGUE: Mapping[str, str] = yaml.safe_load(Path(__file__).with_name("reasons.yaml").read_text("utf-8"))
"""Korean by English."""
_VALUE = re.compile(r"\{(\w+)\}")
_NAMES = ("subject", "other")  # of files: kept as visitors wrote them, whatever the words


def _patterns() -> Iterator[tuple[re.Pattern[str], str]]:
    """What finds each sentence of the catalogue whatever its values are, those that say most by themselves first."""
    for english in sorted(CATALOGUE, key=lambda english: len(_VALUE.sub("", english)), reverse=True):
        yield re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(english))), CATALOGUE[english]


_PATTERNS = tuple(_patterns())


@lru_cache(1000)
def explain(language: str, reason: str) -> str:
    """A reason of the table of jobs, one fault a line, or a note on a result, in a language.

    It is plain text that may hold a visitor's file name. What the catalogue lacks stays English behind Korean words.
    """
    known = say(language, reason)
    if language == "en" or known != reason:
        return known
    return "\n".join(_korean(line) or say(language, "in English", reason=line) for line in reason.splitlines())


def _korean(sentence: str) -> str | None:
    """A sentence in Korean, and so are its values where they are words of the engine; None where it is unknown."""
    for pattern, korean in _PATTERNS:
        if found := pattern.fullmatch(sentence):
            values = found.groupdict()
            return korean.format(
                **{name: value if name in _NAMES else _korean(value) or value for name, value in values.items()}
            )
    return None
