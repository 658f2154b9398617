"""Paired patches: sample n of a run is a pure function of (seed, n)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from competition.data.augment import turn
from competition.data.pairs import Pictures
from competition.errors import BadInput
from competition.geometry import SYMMETRIES


class Sample(NamedTuple):
    """Where a patch is cut: picture number, corner in low pixels, symmetry."""

    picture: int
    top: int
    left: int
    symmetry: str


class Patches(Dataset[tuple[Tensor, Tensor]]):
    """An endless list of paired patches; every crop position of every picture is equally likely."""

    def __init__(self, pictures: Sequence[Pictures], low_size: int, scale: int, seed: int) -> None:
        """Cut `low_size` squares; raises BadInput that lists the pictures smaller than that."""
        small = [p for p in pictures if min(p.low.shape[:2]) < low_size]
        if small:
            lines = [f"{p.name}: {p.low.shape[1]}x{p.low.shape[0]} is smaller than a patch of {low_size}" for p in small]
            raise BadInput(*[f"{line}. Choose a smaller data.high_patch or remove it" for line in lines])
        self.pictures = pictures
        self.low_size = low_size
        self.scale = scale
        self.seed = seed
        rows_columns = [(p.low.shape[0] - low_size + 1, p.low.shape[1] - low_size + 1) for p in pictures]
        self._columns = [columns for _, columns in rows_columns]
        self._ends = np.cumsum([rows * columns for rows, columns in rows_columns])

    def sample(self, n: int) -> Sample:
        """Sample n, by a counter-based generator: no state, so workers, processes and resumes cannot change it."""
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, n, 0, 0]))
        position = int(generator.integers(self._ends[-1]))
        picture = int(np.searchsorted(self._ends, position, side="right"))
        top, left = divmod(position - int(self._ends[picture - 1] if picture else 0), self._columns[picture])
        return Sample(picture, top, left, SYMMETRIES[generator.integers(len(SYMMETRIES))])

    def __getitem__(self, n: int) -> tuple[Tensor, Tensor]:
        """uint8 (3, low_size, low_size) and (3, scale*low_size, scale*low_size)."""
        picture, top, left, symmetry = self.sample(n)
        _, low, high = self.pictures[picture]
        size, scale = self.low_size, self.scale
        low = low[top : top + size, left : left + size]
        high = high[top * scale : (top + size) * scale, left * scale : (left + size) * scale]
        turned = turn(low, high, symmetry)
        return torch.from_numpy(turned[0]).permute(2, 0, 1), torch.from_numpy(turned[1]).permute(2, 0, 1)


class StepBatches(Sampler[list[int]]):
    """The sample numbers of one process for steps first..last-1: step s of B samples sees numbers s*B..s*B+B-1."""

    def __init__(self, first: int, last: int, batch: int, rank: int, processes: int) -> None:
        self.first = first
        self.last = last
        self.batch = batch
        self.share = batch // processes
        self.rank = rank

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            start = step * self.batch + self.rank * self.share
            yield list(range(start, start + self.share))

    def __len__(self) -> int:
        return self.last - self.first
