"""Enlarging whole pictures: tiles, the eight-way self-ensemble, and votes over members."""

import hashlib
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from competition.geometry import SYMMETRIES, apply_symmetry, invert_symmetry, tiles
from competition.images import Bytes, quantize, to_bytes, to_tensor
from competition.models.bicubic import Bicubic

SelfEnsemble = Literal["none", "mean", "median"]
HALO = 32


@torch.inference_mode()
def enlarge(network: nn.Module, low: Tensor, scale: int, self_ensemble: SelfEnsemble = "none", tile: int = 0) -> Tensor:
    """Enlarge (1, 3, H, W) in [0, 1] to float32 (1, 3, scale*H, scale*W), not clipped.

    `self_ensemble` joins the predictions for the eight symmetries of the input, each turned back; Timofte et al.,
    "Seven ways to improve example-based single image super resolution", CVPR 2016. `tile` is the side in low pixels of
    the squares computed at a time, each with a halo of HALO pixels; 0 takes the picture whole.
    """
    # In float32 on every device: torch's default on GPUs would round the inputs of convolutions to 11 bits.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        return _enlarge(network, low, scale, self_ensemble, tile)


def _enlarge(network: nn.Module, low: Tensor, scale: int, self_ensemble: SelfEnsemble, tile: int) -> Tensor:
    if self_ensemble == "none":
        return _enlarge_tiled(network, low, scale, tile)
    members = (
        invert_symmetry(_enlarge_tiled(network, apply_symmetry(low, name), scale, tile), name) for name in SYMMETRIES
    )
    if self_ensemble == "median":
        # The mean of the two middle ones: torch.median alone would take the lower of the two, and darken.
        return torch.stack(list(members)).sort(0).values[3:5].mean(0)
    # In float64, so that eight equal predictions give that prediction, bit for bit.
    total = next(members).double()
    for member in members:
        total += member
    return (total / len(SYMMETRIES)).float()


def _enlarge_tiled(network: nn.Module, low: Tensor, scale: int, size: int) -> Tensor:
    height, width = low.shape[-2:]
    low = low.contiguous(memory_format=torch.channels_last)
    if not size or max(height, width) <= size:
        whole: Tensor = network(low).float()
        return whole
    high = low.new_empty((*low.shape[:2], height * scale, width * scale))
    for outer, inner in tiles(height, width, size, HALO):
        part = network(low[..., outer[0], outer[1]].contiguous(memory_format=torch.channels_last))
        kept = [
            slice((i.start - o.start) * scale, (i.stop - o.start) * scale) for o, i in zip(outer, inner, strict=True)
        ]
        target = [slice(i.start * scale, i.stop * scale) for i in inner]
        high[..., target[0], target[1]] = part[..., kept[0], kept[1]]
    return high


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
