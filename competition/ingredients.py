"""The weights that runs have kept and that can be averaged: their best ones, and those of their training states."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from competition import checkpoints, weights
from competition.config import differences
from competition.errors import BadCheckpoint
from competition.progress import console


class Ingredient(NamedTuple):
    """One set of weights; the tensors stay in their file until they are asked for."""

    name: str
    path: Path
    part: Literal["weights", "ema"]
    description: weights.Description

    def state(self) -> weights.State:
        """The tensors as the file has them; raises BadCheckpoint when it cannot be read (any more)."""
        content = weights.read(self.path)
        return content.ema if self.part == "ema" else content.weights


def collect(places: Sequence[Path]) -> list[Ingredient]:
    """What the run folders and weights files at `places` hold: each set of weights once, all for one network.

    Of a weights file the averaged weights where it has them; of a training state both. Raises BadCheckpoint for a
    place without weights, and with a line for each of another network than the first.
    """
    found: dict[str, Ingredient] = {}
    for place in places:
        ingredients = list(_of_run(place) if place.is_dir() else _of_file(place))
        if not ingredients:
            raise BadCheckpoint(f"{place}: holds no weights yet. Let it train on")
        for ingredient in ingredients:
            first = found.setdefault(_digest(ingredient.state()), ingredient)
            if first is not ingredient:
                console.print(f"{ingredient.name}: the same weights as {first.name}")
    _require_one_network(list(found.values()))
    return list(found.values())


def _of_run(run: Path) -> Iterator[Ingredient]:
    if (run / "best.safetensors").exists():
        for best in _of_file(run / "best.safetensors"):
            yield best._replace(name=f"{run}: best, step {best.description.step}")
    states, skipped = checkpoints.intact(run / "checkpoints")
    for line in skipped:
        console.print(f"warning: {line}")
    for state in states:
        path = state / checkpoints.MODEL
        description = weights.read(path).description
        yield Ingredient(f"{run}: step {description.step}, averaged", path, "ema", description)
        yield Ingredient(f"{run}: step {description.step}, not averaged", path, "weights", description)


def _of_file(path: Path) -> Iterator[Ingredient]:
    content = weights.read(path)
    yield Ingredient(str(path), path, "ema" if content.ema else "weights", content.description)


def _digest(state: weights.State) -> str:
    """Equal for equal tensors, whatever file and part they are in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _require_one_network(ingredients: Sequence[Ingredient]) -> None:
    first = ingredients[0]
    faults: dict[Path, str] = {}
    for other in ingredients:
        changes = differences(first.description.model.model_dump(), other.description.model.model_dump())
        if changes:
            cause = f"is of another network than {first.path}: {'; '.join(changes)}"
            faults[other.path] = f"{other.path}: {cause}. Leave it out"
    if faults:
        raise BadCheckpoint(*faults.values())
