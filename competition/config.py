"""Strict configuration: a pydantic schema, a YAML file with what differs, and `key.path=value` overrides."""

import difflib
import json
import re
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from competition.errors import UsageError
from competition.yamls import MAX_DEPTH, KeyPath, Lines, dotted, parse_yaml, read_yaml


class Config(BaseModel):
    """Every configuration: immutable, no unknown keys, no silent conversions, docstrings as descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Schema = TypeVar("Schema", bound=Config)


def load(path: Path, schema: type[Schema], overrides: Sequence[str] = (), origin: str = "command line") -> Schema:
    """Read `path`, lay `key.path=value` overrides over it and validate against `schema`.

    Raises UsageError that names the file and line (or the `origin` of the overrides), the key and the nearest allowed
    one.
    """
    data, lines = read_yaml(path)
    for override in overrides:
        _override(data, lines, override, origin)
    return _validate(schema, data, lines, str(path))


def parse(text: str, schema: type[Schema], origin: str) -> Schema:
    """Validate a JSON object that this project wrote itself (a checkpoint's metadata, a run's record)."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{origin}: not JSON ({error}). Restore the file") from error
    return _validate(schema, data, {}, origin)


def describe(schema: type[Config], prefix: str = "") -> list[str]:
    """One line `key = default  description` for every key of a schema, for `--help`."""
    lines = []
    for name, field in schema.model_fields.items():
        for variant in _variants(field.annotation):
            lines += describe(variant, f"{prefix}{name}.")
        if not _variants(field.annotation):
            default = "(required)" if field.is_required() else json.dumps(_plain(field.get_default()))
            lines.append(f"  {prefix}{name} = {default}  {(field.description or '').split('. ')[0]}")
    return lines


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Each key whose value differs between two plain structures, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [line for key in keys for line in differences(old.get(key), new.get(key), f"{prefix}{key}.")]
    return [] if old == new else [f"{prefix.rstrip('.')}: {json.dumps(old)} -> {json.dumps(new)}"]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | tuple | None) else str(value)


def _override(data: dict[str, Any], lines: Lines, override: str, origin: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not all(key.split(".")) or key.count(".") > MAX_DEPTH:
        raise UsageError(f"{override:.80}: not of the form key.path=value. Write for example optimizer.lr=5e-5")
    *parents, last = key.split(".")
    target = data
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise UsageError(f"{override}: {parent} is a value, it has no keys. Leave out what follows it")
    target[last] = parse_yaml(value, override, {})
    path = tuple(key.split("."))
    for known in [known for known in lines if known[: len(path)] == path]:
        del lines[known]
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], origin)


# ---- errors ---------------------------------------------------------------------------------------------------------


def _validate(schema: type[Schema], data: Any, lines: Lines, origin: str) -> Schema:
    try:
        # JSON mode: strict about types, yet lists become tuples and strings become paths.
        return schema.model_validate_json(json.dumps(data))
    except ValidationError as error:
        details: dict[KeyPath, ErrorDetails] = {}
        for detail in error.errors():
            if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
                continue  # pydantic counts only the items that are right; the wrong ones have lines of their own
            path, _ = _locate(detail["loc"], schema)
            # A value that fits no member of a union has one error for each; they make one line.
            messages = [details[path]["msg"], detail["msg"]] if path in details else [detail["msg"]]
            details[path] = {**detail, "msg": " or ".join(messages)}
        raise UsageError(*[_explain(detail, schema, lines, origin) for detail in details.values()]) from error


def _explain(detail: ErrorDetails, schema: type[Config], lines: Lines, origin: str) -> str:
    path, owner = _locate(detail["loc"], schema)
    if detail["type"] == "union_tag_invalid":
        path = (*path, "name")
    where = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), origin)
    key = dotted(path) or "(top)"
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return f"{where}: {key}: unknown key.{suggest(str(path[-1]), list(owner.model_fields))}"
    if detail["type"] == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", context["expected_tags"])
        return f"{where}: {key}: unknown name {context['tag']!r}.{suggest(context['tag'], allowed)}"
    if detail["type"] == "union_tag_not_found":
        return f"{where}: {key}: lacks its `name`. Say which one is meant, for example {key}: {{name: …}}"
    if detail["type"] == "missing":
        return f"{where}: {key}: missing. Add it to the file or as {key}=…"
    if detail["type"] == "value_error":  # a rule of ours over several keys: its words name them
        return f"{where}: {context['error']}. Change one of them"
    value = json.dumps(detail["input"], default=str)
    return f"{where}: {key}: {detail['msg']}, got {value[:80]}. Change the value"


def suggest(word: str, allowed: Iterable[str]) -> str:
    """The end of an error line for an unknown name: the nearest allowed one, and all of them."""
    allowed = list(allowed)
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    return f"{f' Did you mean {near[0]!r}?' if near else ''} Allowed: {', '.join(allowed) or 'nothing'}"


def _locate(loc: KeyPath, schema: type[Config]) -> tuple[KeyPath, type[Config]]:
    """The key path of a pydantic location, without union members, and the schema that owns its last key."""
    path: list[str | int] = []
    owner: type[Config] = schema
    variants: list[type[Config]] = [schema]
    items: Any = None
    for part in loc:
        if isinstance(part, int):
            path.append(part)
        elif items is not None:  # a key that the user chose
            path.append(part)
            variants, items = _variants(items), _items(items)
        elif len(variants) > 1:  # a discriminated union, then the name of its chosen member
            variants = [variant for variant in variants if variant.model_fields["name"].default == part]
        elif variants:
            owner = variants[0]
            path.append(part)
            field = owner.model_fields.get(part)
            variants, items = (_variants(field.annotation), _items(field.annotation)) if field else ([], None)
        # else: the member of a union of plain types
    return tuple(path), owner


def _variants(annotation: Any) -> list[type[Config]]:
    """The Config classes an annotation can hold: one, the members of a union, the items of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list):
        return [variant for item in get_args(annotation) for variant in _variants(item)]
    return []


def _items(annotation: Any) -> Any:
    """What a dict holds under its keys; None for everything else."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation)[1] if get_origin(annotation) is dict else None
