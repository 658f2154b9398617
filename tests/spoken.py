"""The sentences that a visitor of the platform may be told by an engine, read from the source of what a job calls."""

import ast
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from competition import errors

ROOT = Path(__file__).resolve().parents[1]
# Stopped is no answer: the job goes back to the queue, or its visitor has cancelled it.
FAULTS = {one.__name__ for one in (errors.CompetitionError, *errors.CompetitionError.__subclasses__())} - {"Stopped"}
# A job's way: its worker, and the limited process, which is started by its name.
_BEGIN = (("competition.web.runner", "Runner"), ("competition.media.child", "main"))
_HOLE = "{}"


class Place(NamedTuple):
    """Something at the top of a module: a function, a class, or what a name stands for."""

    module: str
    name: str


class Module(NamedTuple):
    """What stands at the top of a module by name, and where the names that it imports come from."""

    tops: dict[str, ast.AST]
    imported: dict[str, Place]


def sentences() -> dict[str, Place]:
    """Every sentence with `{}` for its values, and one place that says it."""
    return {said: place for place in reached() for said in _said_by(place)}


def words() -> dict[str, Place]:
    """Every text that a function may return or a table holds, which a sentence may have as a value."""
    found: dict[str, Place] = {}
    for place in reached():
        top = module(place.module).tops[place.name]
        functions = isinstance(top, ast.FunctionDef | ast.ClassDef)
        parts = [node for node in ast.walk(top) if isinstance(node, ast.Return)] if functions else [top]
        constants = [one for part in parts for one in ast.walk(part) if isinstance(one, ast.Constant)]
        found |= {one.value: place for one in constants if isinstance(one.value, str)}
    return found


@functools.cache
def reached() -> tuple[Place, ...]:
    """All that a job may come to: what it names, and what that names. Too much rather than too little."""
    found: dict[Place, None] = {}
    waiting = [Place(*begin) for begin in _BEGIN]
    while waiting:
        place = waiting.pop()
        if place not in found:
            found[place] = None
            waiting += _named(place.module, module(place.module).tops[place.name])
    return tuple(found)


@functools.cache
def module(name: str) -> Module:
    """A module of the project."""
    file = ROOT.joinpath(*name.split("."))
    tree = ast.parse((file / "__init__.py" if file.is_dir() else file.with_suffix(".py")).read_text("utf-8"))
    tops: dict[str, ast.AST] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=top) | ast.ClassDef(name=top):
                tops[top] = node
            case ast.Assign(targets=[ast.Name(id=top)], value=value):
                tops[top] = value
            case ast.AnnAssign(target=ast.Name(id=top), value=ast.expr() as value):
                tops[top] = value
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    own = [(node.module, one) for node in froms for one in node.names if str(node.module).startswith("competition")]
    return Module(tops, {one.asname or one.name: Place(str(origin), one.name) for origin, one in own})


def _named(of: str, node: ast.AST) -> Iterator[Place]:
    """What of the project a piece of a module's code names."""
    for one in ast.walk(node):
        match one:
            case ast.Name(id=name):
                place = _resolved(of, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in module(of).imported:
                origin = module(of).imported[name]
                place = _resolved(f"{origin.module}.{origin.name}", attribute) if _is_module(origin) else None
            case _:
                continue
        if place:
            yield place


def _resolved(of: str, name: str) -> Place | None:
    if name in module(of).tops:
        return Place(of, name)
    origin = module(of).imported.get(name)
    return None if origin is None or _is_module(origin) else _resolved(*origin)


def _is_module(place: Place) -> bool:
    file = ROOT.joinpath(*place.module.split("."), place.name)
    return file.is_dir() or file.with_suffix(".py").is_file()


# ---- texts ----------------------------------------------------------------------------------------------------------


def _said_by(place: Place) -> Iterator[str]:
    """The sentences of a function or of the methods of a class."""
    top = module(place.module).tops[place.name]
    for function in ast.walk(top):
        if isinstance(function, ast.FunctionDef) and place != ("competition.errors", "Fault"):
            speech = _Speech(place.module, function)
            for node in _own(function):
                yield from speech.said(node)


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own(child)  # type: ignore[arg-type]


class _Speech:
    """What expressions of a function can become as text: all its branches, `{}` where only running it would tell."""

    def __init__(self, of: str, function: ast.FunctionDef) -> None:
        self.of, self.function = of, function
        self.local: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.local.setdefault(name, []).append(value)
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    for each, value in zip(names, values, strict=True):
                        self.local.setdefault(ast.unparse(each), []).append(value)

    def said(self, node: ast.AST) -> Iterator[str]:
        """What a node tells a user: a line of an error, a note on a result, or a thing as part of these."""
        match node:
            case ast.Call(func=ast.Name(id="Fault"), args=[_, subject, cause, mend]):
                for parts in itertools.product(*map(self.texts, (subject, cause, mend))):
                    yield "{}: {}. {}".format(*parts)
            case ast.Call(func=ast.Name(id=name), args=[ast.expr() as line]) if name in FAULTS and self._is_text(line):
                yield from self.texts(line)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="notes"), attr="append"), args=[note]):
                yield from self.texts(note)
            case ast.Assign(targets=[ast.Name(id="notes")], value=value):
                for one in ast.walk(value):
                    yield from self.texts(one) if isinstance(one, ast.JoinedStr) else ()
            case ast.Return(value=ast.JoinedStr() as text) if self.function.name == "__str__":
                yield from self.texts(text)

    def texts(self, node: ast.AST) -> list[str]:
        """The texts that an expression can have."""
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.JoinedStr(values=parts):
                return ["".join(chosen) for chosen in itertools.product(*map(self.texts, parts))]
            case ast.FormattedValue(value=value, format_spec=None):
                return self.texts(value)
            case ast.IfExp(body=body, orelse=other):
                return [*self.texts(body), *self.texts(other)]
            case ast.BoolOp(values=values):
                return [text for value in values for text in self.texts(value)]
            case ast.Subscript(value=ast.Name(id=name)) if isinstance(table := self._global(name), ast.Dict):
                return [text for value in table.values for text in self.texts(value)]
            case ast.Name(id=name) if name in self.local:
                return [text for value in self.local[name] for text in self.texts(value)]
            case ast.Name(id=name) if isinstance(constant := self._global(name), ast.Constant):
                return self.texts(constant)
        return [_HOLE]

    def _is_text(self, node: ast.expr) -> bool:
        return self.texts(node) != [_HOLE]

    def _global(self, name: str) -> ast.AST | None:
        place = _resolved(self.of, name)
        return module(place.module).tops[place.name] if place else None
