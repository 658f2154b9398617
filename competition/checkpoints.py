"""Training states that survive a crash at any moment: folders written whole, verified when read."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from competition import weights
from competition.errors import BadCheckpoint
from competition.files import remove_folder, require_space, sha256, sync_folder, write_synced

KEEP = 2
WEIGHTS = "model.safetensors"


class Training(NamedTuple):
    """What training needs to go on: the network, its average and the optimiser, all changed in place."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer


def save(folder: Path, training: Training, description: weights.Description) -> Path:
    """Write FOLDER/step_NNNNNNNNN/ whole or not at all, then delete all but the newest KEEP.

    It holds model.safetensors (which describes itself), optim.safetensors, state.json and a manifest of their SHA-256.
    Raises StorageError before anything is written when the disk has too little room.
    """
    final = folder / f"step_{description.step:09d}"
    content = weights.Weights(training.model.state_dict(), training.ema.state_dict(), description)
    files = {
        WEIGHTS: weights.encode(content),
        "optim.safetensors": safetensors.torch.save(_optimizer_tensors(training)),
        "state.json": json.dumps({"step": description.step, "torch": torch.__version__}).encode(),
    }
    require_space(folder, 2 * sum(map(len, files.values())))
    temporary = folder / f".tmp_{description.step}_{os.getpid()}"
    temporary.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_synced(temporary / name, data)
    manifest = {name: {"size": len(data), "sha256": sha256(temporary / name)} for name, data in files.items()}
    write_synced(temporary / "MANIFEST.json", json.dumps(manifest, indent=1).encode())
    sync_folder(temporary)
    if final.exists():  # left by a run that was resumed from an earlier step because this one was damaged
        remove_folder(final)
    os.rename(temporary, final)
    sync_folder(folder)
    _clean(folder)
    return final


def load_newest(folder: Path, training: Training) -> tuple[int, list[str]]:
    """Load the newest state that verifies; returns its step (0 when there is none) and a line for each one skipped."""
    skipped: list[str] = []
    for path in _newest_first(folder):
        try:
            _verify(path)
            return _load(path, training), skipped
        except BadCheckpoint as error:
            skipped.extend(error.lines)
    return 0, skipped


def intact(folder: Path) -> tuple[list[Path], list[str]]:
    """The states that verify, newest first, and a line for each one that does not."""
    states: list[Path] = []
    skipped: list[str] = []
    for path in _newest_first(folder):
        try:
            _verify(path)
            states.append(path)
        except BadCheckpoint as error:
            skipped.extend(error.lines)
    return states, skipped


def _load(path: Path, training: Training) -> int:
    content = weights.read(path / WEIGHTS)
    weights.load_state(training.model, content.weights, str(path))
    weights.load_state(training.ema, content.ema, str(path))
    saved = safetensors.torch.load_file(path / "optim.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for index, (name, parameter) in enumerate(training.model.named_parameters()):
        keys = [key for key in saved if key.rpartition(".")[0] == name]
        state[index] = {key.rpartition(".")[2]: _in_layout_of(parameter, saved[key]) for key in keys}
    groups = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": state, "param_groups": groups})
    return content.description.step


def _in_layout_of(parameter: nn.Parameter, saved: Tensor) -> Tensor:
    """Moments in the memory layout of their parameter, which fused updates need; the step counter as it is."""
    return torch.empty_like(parameter, dtype=saved.dtype).copy_(saved) if saved.shape == parameter.shape else saved


def _optimizer_tensors(training: Training) -> dict[str, Tensor]:
    """The optimiser's state as `parameter.entry`, so that it does not depend on an order."""
    state: dict[nn.Parameter, dict[str, Any]] = training.optimizer.state  # type: ignore[assignment]
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, parameter in training.model.named_parameters()
        for key, value in state.get(parameter, {}).items()
    }


def _newest_first(folder: Path) -> Iterator[Path]:
    # By the step in the name, never by time: clocks are set back.
    yield from sorted(folder.glob("step_*"), reverse=True)


def _verify(path: Path) -> None:
    """Raise BadCheckpoint unless every file of the manifest, and no other, is there with its size and hash."""
    try:
        manifest = json.loads((path / "MANIFEST.json").read_bytes())
        present = {entry.name for entry in path.iterdir()} - {"MANIFEST.json"}
        if present != set(manifest):
            raise BadCheckpoint(f"{path}: files differ from its manifest. It is skipped")
        for name, expected in manifest.items():
            if (path / name).stat().st_size != expected["size"] or sha256(path / name) != expected["sha256"]:
                raise BadCheckpoint(f"{path / name}: damaged, its hash differs from the manifest. It is skipped")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadCheckpoint(f"{path}: manifest cannot be read ({error}). It is skipped") from error


def _clean(folder: Path) -> None:
    """Delete older states and what a killed process left half-written."""
    for path in list(_newest_first(folder))[KEEP:]:
        remove_folder(path)
    for leftover in [*folder.glob(".tmp_*"), *folder.glob(".del_*")]:
        remove_folder(leftover)
