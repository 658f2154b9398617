"""Training states that survive a crash at any moment: folders written whole, verified when read."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor

from competition import weights
from competition.config import parse
from competition.errors import BadCheckpoint, CompetitionError
from competition.files import (
    make_folder,
    named,
    remove_folder,
    rename,
    require_space,
    sha256,
    sweep,
    sync_folder,
    undone,
    write_synced,
)
from competition.learners import Learner, expected_size, file_size, load_moments, moments
from competition.states import Conditions, State, Training

KEEP = 2
MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optim.safetensors", "state.json", "MANIFEST.json"
ADVERSARY = "adversary.safetensors"  # only where there is one: weights.NAME and moments.NAME.entry


class Resumed(NamedTuple):
    """The loaded state, none where training begins, and a line for whatever its user should know."""

    state: State | None
    warnings: list[str]

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self.state.step if self.state else 0


def save(
    folder: Path,
    training: Training,
    description: weights.Description,
    conditions: Conditions,
    best: float | None = None,
    extra: Mapping[str, int | float] | None = None,
) -> Path:
    """Write FOLDER/step_NNNNNNNNN/ whole or not at all, then delete all but the newest KEEP that are good.

    It holds model.safetensors (which describes itself), optim.safetensors, adversary.safetensors where there is one,
    state.json and a manifest of their SHA-256; `best` and `extra` as in State. Before anything is written, raises
    NumericalError that names a tensor which is not finite, and StorageError when the disk has too little room; OSError
    when the disk refuses. The older states are then as they were.
    """
    state = State(step=description.step, conditions=conditions, best=best, extra=dict(extra or {}))
    final = folder / f"step_{state.step:09d}"
    files = _encode(training, description, state)
    size = sum(map(len, files.values()))
    with named(final, size):
        make_folder(folder)
        sweep(folder)
        require_space(folder, 2 * size)
        if not (_is_good(final) and (final / MANIFEST).read_bytes() == files[MANIFEST]):
            _write(final, files)
    _retain(folder)
    return final


def require_room(folder: Path, training: Training) -> None:
    """Raise StorageError unless all that this training will save finds room, which is told before its first step."""
    network = file_size(training.ema.state_dict().values())
    state = network + sum(map(expected_size, training.learners()))
    sweep(folder)
    kept = min(KEEP, len(list(_newest_first(folder))))
    # The states still to be kept, one on top whose room is asked for twice, and the best weights.
    needed = (KEEP - kept + 2) * state + network
    # Not made here: the folder is the sign that a run has saved something.
    require_space(folder if folder.exists() else folder.parent, needed)


def load_newest(folder: Path, training: Training, now: Conditions) -> Resumed:
    """Load the newest state that verifies, and say which were skipped and what changed since it was saved.

    Raises BadCheckpoint when that state is of another experiment.
    """
    warnings: list[str] = []
    for _, path in _newest_first(folder):
        try:
            verify(path)
            state = _read_state(path)
        except BadCheckpoint as error:
            warnings += [f"{line}. It is skipped" for line in error.lines]
            continue
        if state.conditions.config != now.config:
            raise BadCheckpoint(f"{path}: is of another experiment. Move it away or choose another name=…")
        _load(path, training)
        if changes := state.conditions.changes(now):
            warnings.append(f"{path}: goes on with {', '.join(changes)}: sample-exact, not bit-exact")
        return Resumed(state, warnings)
    return Resumed(None, warnings)


def intact(folder: Path) -> tuple[list[Path], list[str]]:
    """The states that verify, newest first, and a line for each one that does not."""
    states: list[Path] = []
    skipped: list[str] = []
    for _, path in _newest_first(folder):
        try:
            verify(path)
            states.append(path)
        except BadCheckpoint as error:
            skipped += [f"{line}. It is skipped" for line in error.lines]
    return states, skipped


def verify(path: Path) -> None:
    """Raise BadCheckpoint unless a state has the files of its manifest, and no other, each with its size and hash."""
    try:
        found = {entry.name: _entry(entry) for entry in path.iterdir()}
        manifest = json.loads((path / MANIFEST).read_bytes()) if found.pop(MANIFEST, None) else None
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path}: cannot be read ({error})") from error
    required = {MODEL, OPTIMIZER, STATE}
    if not isinstance(manifest, dict) or not {*manifest} == {*found} or {*found} - {ADVERSARY} != required:
        raise BadCheckpoint(f"{path}: holds {', '.join(sorted(found)) or 'nothing'}, which its manifest does not list")
    for name in found:
        if found[name] != manifest[name]:
            raise BadCheckpoint(f"{path / name}: damaged, its hash differs from the manifest")


def _encode(training: Training, description: weights.Description, state: State) -> dict[str, bytes]:
    """The files of a state by name, the manifest last."""
    content = weights.Weights(training.model.state_dict(), training.ema.state_dict(), description)
    own = moments(Learner(training.model, training.optimizer))
    weights.require_finite({f"optimizer.{name}": tensor for name, tensor in own.items()})
    files = {
        MODEL: weights.encode(content),
        OPTIMIZER: safetensors.torch.save(own),
        STATE: state.model_dump_json(indent=1).encode(),
    }
    if training.adversary:
        files[ADVERSARY] = _encode_adversary(training.adversary)
    # Of the bytes in memory: the hash of a file read back would agree with whatever the disk made of it.
    manifest = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    return files | {MANIFEST: json.dumps(manifest, indent=1).encode()}


def _encode_adversary(learner: Learner) -> bytes:
    tensors = {f"weights.{name}": tensor for name, tensor in learner.model.state_dict().items()}
    tensors |= {f"moments.{name}": tensor for name, tensor in moments(learner).items()}
    weights.require_finite({f"adversary.{name}": tensor for name, tensor in tensors.items()})
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _write(final: Path, files: Mapping[str, bytes]) -> None:
    temporary = final.with_name(f".tmp_{final.name}_{os.getpid()}")
    with undone(temporary):
        make_folder(temporary)
        for name, data in files.items():
            write_synced(temporary / name, data)
        sync_folder(temporary)
        if final.exists():
            _set_aside(final)
        rename(temporary, final)
    sync_folder(final.parent)


def _set_aside(final: Path) -> None:
    """Make room for a state of the same step: a good one can be loaded until the new one has its place."""
    aside = final.with_name(f".old_{final.name}")
    if not _is_good(final):
        return remove_folder(final)
    if aside.exists():
        remove_folder(aside)
    rename(final, aside)


def _retain(folder: Path) -> None:
    """Delete what is older than the newest KEEP good states; a damaged one does not count."""
    good: set[int] = set()
    for step, path in _newest_first(folder):
        if len(good) == KEEP or step in good:
            remove_folder(path)
        elif _is_good(path):
            good.add(step)


def _newest_first(folder: Path) -> Iterator[tuple[int, Path]]:
    """States by the step in their name, never by time, as clocks are set back; those set aside after the others."""
    names = [(re.fullmatch(r"(\.old_)?step_(\d+)", path.name), path) for path in folder.glob("*")]
    states = [(int(match[2]), match[1] is None, path) for match, path in names if match]
    for step, _, path in sorted(states, reverse=True):
        yield step, path


def _is_good(path: Path) -> bool:
    try:
        verify(path)
        _read_state(path)
    except BadCheckpoint:
        return False
    return True


def _entry(path: Path) -> dict[str, Any] | None:
    """A file as the manifest lists it; nothing else is opened."""
    return {"size": path.stat().st_size, "sha256": sha256(path)} if path.is_file() else None


def _read_state(path: Path) -> State:
    try:
        state = parse((path / STATE).read_text(encoding="utf-8"), State, str(path / STATE))
    except CompetitionError as error:
        raise BadCheckpoint(*error.lines) from error
    if state.step != int(path.name.rpartition("_")[2]):
        raise BadCheckpoint(f"{path}: is the state of step {state.step}")
    return state


def _load(path: Path, training: Training) -> None:
    content = weights.read(path / MODEL)
    weights.load_state(training.model, content.weights, str(path))
    weights.load_state(training.ema, content.ema, str(path))
    load_moments(Learner(training.model, training.optimizer), safetensors.torch.load_file(path / OPTIMIZER))
    if training.adversary:
        if not (path / ADVERSARY).exists():
            raise BadCheckpoint(f"{path}: has no {ADVERSARY}. Restore it or choose another name=…")
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}}
        for name, tensor in safetensors.torch.load_file(path / ADVERSARY).items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        weights.load_state(training.adversary.model, parts["weights"], str(path / ADVERSARY))
        load_moments(training.adversary, parts["moments"])
