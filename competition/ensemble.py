"""Enlarging whole pictures: the eight-way self-ensemble, and votes over members."""

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from competition.files import named
from competition.geometry import SYMMETRIES, apply_symmetry, invert_symmetry
from competition.images import Bytes, quantize, to_bytes, to_tensor
from competition.models.bicubic import Bicubic
from competition.shares import parts
from competition.tiling import Forward, Tiled

SelfEnsemble = Literal["none", "mean", "median", "trimmed"]
# How many of the eight predictions are left out at either end: the median of eight is the mean of the two middle ones.
_LEFT_OUT = {"mean": 0, "trimmed": 1, "median": 3}
_LYING, _STANDING = ("e", "r180", "v", "h"), ("r90", "r270", "hvt", "t")  # those that keep height and width, or swap
_STRIP = 2**20  # values of one prediction that are joined at a time
Observe = Callable[[str, Tensor], None]


def enlarge(network: Forward, low: Tensor, scale: int, self_ensemble: SelfEnsemble = "none", tile: int = 0) -> Tensor:
    """Enlarge (1, 3, H, W) in [0, 1] to (1, 3, scale*H, scale*W) on the CPU, not clipped; float64 stays float64.

    `tile` is the side in low pixels of the squares computed at a time, 0 takes the picture whole; see Tiled.
    """
    return enlarge_by(Tiled(network, network, scale, tile), low, self_ensemble)


@torch.inference_mode()
def enlarge_by(
    tiled: Tiled, low: Tensor, self_ensemble: SelfEnsemble = "none", observe: Observe | None = None
) -> Tensor:
    """What `enlarge` does, by way of a Tiled that many pictures share.

    `self_ensemble` joins the predictions for the eight symmetries of the input, each turned back: Timofte et al.,
    "Seven ways to improve example-based single image super resolution", CVPR 2016. "trimmed" is the mean without the
    smallest and the largest. They wait on disk, so that memory holds one at a time; `observe` is shown each by name.
    """
    # In float32 on every device: torch's default on GPUs would round the inputs of convolutions to 11 bits.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        if self_ensemble == "none":
            return tiled(low)
        needed = len(SYMMETRIES) * low.nbytes * tiled.scale**2
        with named(Path(tempfile.gettempdir()), needed), tempfile.TemporaryFile() as file:
            for name, member in _members(tiled, low):
                if observe:
                    observe(name, member)
                file.write(np.ascontiguousarray(member.numpy()).data)
            return _join(file, member.new_empty(member.shape), _LEFT_OUT[self_ensemble])


def _members(tiled: Tiled, low: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The predictions for all symmetries, each turned back."""
    for names in parts((_LYING, _STANDING)):
        turned = [apply_symmetry(low, name) for name in names]
        # Four at a time fill a GPU; a CPU is busy with one, and its caches are too small for more.
        highs = torch.split(tiled(torch.cat(turned)), 1) if low.is_cuda else map(tiled, parts(turned))
        for name, high in zip(names, highs, strict=True):
            yield name, invert_symmetry(high, name)


def _join(file: IO[bytes], out: Tensor, left_out: int) -> Tensor:
    """The mean of eight predictions in a file, in float64, without some of the smallest and largest of each value."""
    values, dtype = out.view(-1), out.numpy().dtype
    for start in range(0, len(values), _STRIP):
        strip = values[start : start + _STRIP]
        members = np.empty((len(SYMMETRIES), len(strip)), dtype)
        for number, member in enumerate(members):
            file.seek((number * len(values) + start) * dtype.itemsize)
            member[:] = np.frombuffer(file.read(member.nbytes), dtype)
        if left_out:
            members = np.sort(members, 0)[left_out:-left_out]
        # In float64, so that eight equal predictions give that prediction, bit for bit.
        strip.copy_(torch.from_numpy(members.mean(0, dtype=np.float64)))
    return out


def bicubic(low: Bytes, scale: int) -> Bytes:
    """Bicubic enlargement of uint8 (H, W, 3), by way of 16 bits like every prediction."""
    return to_bytes(quantize(enlarge(Bicubic(scale), to_tensor(low), scale), 16))


def vote(members: Sequence[npt.NDArray[np.uint16]], weights: Sequence[float]) -> Tensor:
    """The weighted mean of predictions, uint16 (H, W, 3), as float64 (1, 3, H, W) in [0, 1].

    Weights are divided by their sum. Raises ValueError for weights that are negative, not finite, all zero or of
    another number, and for members of different sizes.
    """
    share = np.asarray(weights, np.float64)
    if len(share) != len(members) or not np.isfinite(share).all() or (share < 0).any() or share.sum() == 0:
        raise ValueError(f"{len(members)} members cannot be joined with weights {list(weights)}")
    if len({member.shape for member in members}) != 1:
        raise ValueError(f"members have different sizes: {[member.shape for member in members]}")
    share = share / math.fsum(share)  # exact, so the same in every order
    # Sorted by what they hold, so that the order of the members cannot change the last bit of the sum.
    order = sorted(range(len(members)), key=lambda index: (share[index], _digest(members[index])))
    total = sum(share[index] * members[index].astype(np.float64) for index in order)
    return torch.from_numpy(np.asarray(total) / 65535).permute(2, 0, 1).unsqueeze(0)


def _digest(member: npt.NDArray[np.uint16]) -> bytes:
    return hashlib.sha256(member.tobytes()).digest()
