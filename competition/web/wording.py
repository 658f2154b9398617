"""Every sentence of the pages, in English and Korean."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LANGUAGES = ("en", "ko")

_SENTENCES: Mapping[str, Sequence[str]] = yaml.safe_load(Path(__file__).with_name("messages.yaml").read_text("utf-8"))


def say(language: str, key: str, **values: object) -> str:
    """A sentence in a language; what is no key of the table, such as an engine's own sentence, stays as it is."""
    sentences = _SENTENCES.get(key)
    if sentences is None:
        return key
    sentence = sentences[LANGUAGES.index(language)]
    return sentence.format(**values) if values else sentence


def words_of(language: str) -> str:
    """All sentences of a language for the page's own script, as JSON that may stand inside HTML."""
    number = LANGUAGES.index(language)
    return json.dumps({key: sentences[number] for key, sentences in _SENTENCES.items()}).replace("<", "\\u003c")


def language_of(request: Request) -> str:
    """A visitor's language: what the cookie says, else what the browser prefers."""
    chosen = request.cookies.get("language")
    if chosen in LANGUAGES:
        return chosen
    for preferred in request.headers.get("accept-language", "").split(","):
        if (short := preferred.strip()[:2].lower()) in LANGUAGES:
            return short
    return LANGUAGES[0]


def plain(status: int, word: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as a machine reads it: `error` is the key, `says` the sentence in English."""
    return JSONResponse({"error": word, "says": say("en", word)}, status, headers)
