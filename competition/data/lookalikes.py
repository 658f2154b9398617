"""How much every two pairs of a store resemble each other, computed once and kept beside it."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from competition.data.likeness import Matrix, likeness_matrix, unpack
from competition.data.preparation import Prepared
from competition.files import write_atomic
from competition.locks import locked
from competition.progress import console


def lookalikes(prepared: Sequence[Prepared], folder: Path) -> Matrix:
    """`likeness_matrix` of the low pictures of prepared pairs, (n, n); some seconds the first time for many pairs."""
    path = folder / "likeness"
    key = sha256("".join(one.entry.sha256 for one in prepared).encode()).hexdigest()
    if (kept := _read(path, key)) is not None:
        return kept
    with locked(folder, waiting=lambda _: None):  # of several processes the first computes it
        kept = _read(path, key)
        return _compare(prepared, path, key) if kept is None else kept


def _compare(prepared: Sequence[Prepared], path: Path, key: str) -> Matrix:
    if len(prepared) > 100:
        console.print(f"{path.parent}: comparing {len(prepared):,} pictures with each other")
    signatures = [unpack(one.fact("signature").tobytes()) for one in prepared]
    matrix = likeness_matrix(signatures, signatures)
    write_atomic(path, save({"likeness": matrix}, {"key": key}))
    return matrix


def _read(path: Path, key: str) -> Matrix | None:
    try:
        with safe_open(path, framework="np") as file:
            return np.asarray(file.get_tensor("likeness")) if file.metadata().get("key") == key else None
    except (OSError, SafetensorError):
        return None
