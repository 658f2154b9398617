"""YAML as plain data with the line of every key; whatever could surprise, such as tags and anchors, is refused."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from competition.errors import UsageError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

# Digits may be grouped as in Python: 200_000.
_INTEGER = r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)"
_FLOAT = r"[-+]?([0-9]+(_[0-9]+)*(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
_OCTAL = r"[-+]?0[0-9_]+"

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, str]


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping that a YAML file holds, empty for an empty file, and FILE:LINE of its keys by their paths.

    Raises UsageError, with the line, for whatever is no YAML file, not a mapping, too long, too deep, or refused.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file. Give the path of a YAML configuration")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Give the path of a readable YAML configuration") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES:,} bytes. A configuration lists only what differs")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8") from error
    lines: Lines = {}
    data = parse_yaml(text, str(path), lines)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UsageError(f"{path}: holds a {type(data).__name__}. Write `key: value` lines")
    return data, lines


def parse_yaml(text: str, origin: str, lines: Lines) -> Any:
    """Plain data of one YAML document, None for an empty one; ORIGIN:LINE of every key goes into `lines`.

    Raises what `read_yaml` raises.
    """
    where = f"{origin}:1"
    try:
        # Events come from a loop, not from recursion: depth and aliases are refused before anything is built.
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            where = _where(origin, event.start_mark)
            if depth > MAX_DEPTH:
                raise UsageError(f"{where}: nested deeper than {MAX_DEPTH} levels. Flatten it")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise UsageError(f"{where}: anchors and aliases are not allowed. Write the values out")
            if tag := getattr(event, "tag", None):
                raise UsageError(f"{where}: tag {tag} is not allowed. Write plain values")
            if isinstance(event, yaml.ScalarEvent) and not event.value.isprintable():
                raise UsageError(f"{where}: unprintable characters in {event.value[:80]!a}. Remove them")
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise UsageError(f"{_where(origin, error.problem_mark)}: {error.problem}. Mend the YAML") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(f"{origin}:{line}: unprintable character {text[error.position]!a}. Remove it") from error
    except (ValueError, OverflowError) as error:  # an escape beyond the last character, such as "\UFFFFFFFF"
        raise UsageError(f"{where}: not YAML ({error}). Mend the YAML") from error
    return None if node is None else _construct(node, (), origin, lines)


def _where(origin: str, mark: Any) -> str:
    """FILE:LINE of a PyYAML mark, which counts from 0 and can be absent."""
    return f"{origin}:{mark.line + 1 if mark else 1}"


def _construct(node: yaml.Node, path: KeyPath, origin: str, lines: Lines) -> Any:
    lines[path] = _where(origin, node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, index), origin, lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    result: dict[str, Any] = {}
    for key_node, value in node.value:
        where = _where(origin, key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise UsageError(f"{where}: a key is not a plain word. Write `key: value`")
        key: str = key_node.value
        inner = (*path, key)
        if key in result:
            raise UsageError(f"{where}: {dotted(inner)}: given twice. Remove one of the two")
        result[key] = _construct(value, inner, origin, lines)
        lines[inner] = where
    return result


def _scalar(node: yaml.ScalarNode) -> Any:
    """A plain word by the YAML 1.2 core schema: `1e-4` is a number, `no` and `010` are words (and then refused)."""
    word = node.value
    if node.style is not None:
        return word
    if word in ("", "~", "null"):
        return None
    if word in ("true", "false"):
        return word == "true"
    if re.fullmatch(_INTEGER, word) and len(word) <= 30:  # Python refuses to convert thousands of digits
        return int(word)
    if re.fullmatch(_FLOAT, word) and not re.fullmatch(_OCTAL, word):
        return float(word)
    return {".nan": float("nan"), ".inf": float("inf"), "-.inf": float("-inf")}.get(word, word)


def dotted(path: KeyPath) -> str:
    """A key path as overrides and errors write it."""
    return ".".join(map(str, path))
