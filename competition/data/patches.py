"""Paired patches in whole batches: what a step sees is a pure function of (seed, step)."""

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from competition.data.augment import CHANNEL_ORDERS, reorder_channels, turn
from competition.data.sampling import Numbers, Sampling
from competition.data.sources import Source
from competition.errors import BadInput, CompetitionError
from competition.geometry import SYMMETRIES
from competition.images import Bytes


class Stage(NamedTuple):
    """From optimiser step `start` on: the side of a low patch in pixels, and patches a step over all processes."""

    start: int
    low_size: int
    batch: int


class Photometry(NamedTuple):
    """Share of patches whose channels change places, and by how much at most a patch is darkened; both in [0, 1]."""

    channel_shuffle: float = 0.0
    gain: float = 0.0


class Share(NamedTuple):
    """Which part of every batch a process cuts."""

    rank: int = 0
    processes: int = 1


# Seconds a batch may take before its worker counts as hung.
PATIENCE = 600

AS_IT_IS = Photometry()
WHOLE = Share()


class Sample(NamedTuple):
    """Where a patch is cut: picture number, corner in low pixels, symmetry."""

    picture: int
    top: int
    left: int
    symmetry: str


class Batch(NamedTuple):
    """uint8 patches (B, 3, size, size), low and high, channels last in memory; `gain` (B, 1, 1, 1) where it is used."""

    low: Tensor
    high: Tensor
    gain: Tensor | None

    def floats(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Both as float32 in [0, 1] on `device`: bytes travel, floats do not."""
        low, high = (part.to(device, non_blocking=True).to(torch.float32).div_(255) for part in (self.low, self.high))
        if self.gain is not None:
            gain = self.gain.to(device, non_blocking=True)
            return low.mul_(gain), high.mul_(gain)
        return low, high


class Patches(Dataset[Batch]):
    """An endless list of batches by optimiser step."""

    def __init__(
        self,
        sources: Sequence[Source],
        sampling: Sampling,
        stages: Sequence[Stage],
        scale: int,
        seed: int,
        photometry: Photometry = AS_IT_IS,
        share: Share = WHOLE,
        number: int = 0,
    ) -> None:
        """`stages` begin with step 0 and follow each other; every batch is divisible by `share.processes`.

        Of equal seeds, each `number` has places of its own.

        Raises BadInput that lists the pictures smaller than the largest patch.
        """
        largest = max(stage.low_size for stage in stages)
        small = [source for source in sources if min(source.size) < largest]
        if small:
            sizes = ((s.name, s.size[1] * scale, s.size[0] * scale) for s in small)
            lines = [
                f"{name}: {wide}x{tall} is smaller than a patch of {largest * scale}" for name, wide, tall in sizes
            ]
            raise BadInput(*[f"{line}. Choose a smaller high_patch or remove it" for line in lines])
        self.sources = sources
        self.sampling = sampling
        self.stages = stages
        self.scale = scale
        self.seed = seed
        self.photometry = photometry
        self.share = share
        self.number = number

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next(stage for stage in reversed(self.stages) if stage.start <= step)

    def samples(self, step: int) -> list[Sample]:
        """The whole batch of a step, over all processes."""
        _, low_size, batch = self.stage(step)
        numbers = self._numbers(step, 0, batch)
        places = self.sampling.places(numbers[:, :3], low_size)
        symmetries = (numbers[:, 3] * len(SYMMETRIES)).astype(int)
        columns = (part.tolist() for part in (*places, symmetries))
        return [Sample(*place, SYMMETRIES[symmetry]) for *place, symmetry in zip(*columns, strict=True)]  # type: ignore[call-arg]

    def __getitem__(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        _, low_size, batch = self.stage(step)
        count = batch // self.share.processes
        part = slice(self.share.rank * count, (self.share.rank + 1) * count)
        samples = self.samples(step)[part]
        for picture, top, left, _ in samples:
            self.sources[picture].expect(top, left, low_size)
        low, high = (np.empty((count, size, size, 3), np.uint8) for size in (low_size, low_size * self.scale))
        for index, (picture, top, left, symmetry) in enumerate(samples):
            for patch, out in zip(self.sources[picture].cut(top, left, low_size), (low, high), strict=True):
                turn(patch, symmetry, out[index])
        gain = self._change_colours(low, high, step, part)
        # Written with the channels last, as the networks want them.
        return Batch(torch.from_numpy(low).permute(0, 3, 1, 2), torch.from_numpy(high).permute(0, 3, 1, 2), gain)

    def _change_colours(self, low: Bytes, high: Bytes, step: int, part: slice) -> Tensor | None:
        shuffle, gain = self.photometry
        if not shuffle and not gain:
            return None
        numbers = self._numbers(step, 1, part.stop)[part]
        for index in np.flatnonzero(numbers[:, 0] < shuffle):
            order = CHANNEL_ORDERS[int(numbers[index, 1] * len(CHANNEL_ORDERS))]
            reorder_channels(low[index], order)
            reorder_channels(high[index], order)
        return torch.from_numpy(1 - gain * numbers[:, 2].astype(np.float32)).view(-1, 1, 1, 1)

    def _numbers(self, step: int, stream: int, count: int) -> Numbers:
        """Random rows (count, 4) in [0, 1), by a counter-based generator: no state, so nothing can get out of step.

        A row does not depend on how many are drawn. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
        """
        counter = [0, stream, step, self.number]
        return np.random.Generator(np.random.Philox(key=self.seed, counter=counter)).random((count, 4))


class Mixture(Dataset[tuple[Batch, ...]]):
    """An endless list of batches by optimiser step that have a part of each scale."""

    def __init__(self, parts: Sequence[Patches]) -> None:
        self.parts = parts

    def __getitem__(self, step: int) -> tuple[Batch, ...]:
        """This process's part of the batch of a step, by scale."""
        return tuple(part[step] for part in self.parts)


Item = TypeVar("Item")


def loader(
    patches: Dataset[Item], first: int, last: int, workers: int, pin_memory: bool = False
) -> Generator[Item, None, None]:
    """The batches of steps first..last-1; workers cut them ahead, and change nothing else.

    Close it before the process ends: the workers, deaf to signals, would be waited for. Raises what cutting raises.
    """
    batches = DataLoader(
        _Attempts(patches),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        worker_init_fn=_ignore_signals,
        pin_memory=pin_memory,
        timeout=PATIENCE if workers else 0,
    )
    try:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch
    except Exception as error:
        # The frames of its traceback hold the workers, who end when nobody does.
        raise error.with_traceback(None) from None
    finally:
        left = multiprocessing.active_children()
        if len(left) < workers:  # one was killed, perhaps with a lock that the others wait for, deaf to signals
            for worker in left:
                worker.kill()


class _Attempts(Dataset[Item | Exception]):
    """Batches, or why there is none: raised in a worker, an error would come back with a traceback for its words."""

    def __init__(self, patches: Dataset[Item]) -> None:
        self.patches = patches

    def __getitem__(self, step: int) -> Item | Exception:
        try:
            return self.patches[step]
        except (CompetitionError, OSError, MemoryError) as error:
            return error


def _ignore_signals(worker: int) -> None:
    # A Ctrl-C reaches the whole process group; the workers go on until the training process has saved and ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
