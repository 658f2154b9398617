"""Patches: what sample n is, that both pictures of a pair move together, and how processes share the samples."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from competition.data.augment import turn
from competition.data.pairs import Pictures
from competition.data.patches import Patches, StepBatches
from competition.errors import BadInput
from competition.geometry import SYMMETRIES, apply_symmetry, invert_symmetry, tiles
from competition.images import Bytes

SIZE, SCALE = 6, 4
# Added to every block of a high picture: sums to zero, and looks different under each of the eight symmetries.
PATTERN = np.array([[5, -2, 0, 1], [3, 0, 0, 0], [0, 0, -4, 0], [-3, 0, 0, 0]])


def pair(seed: int, height: int, width: int) -> Pictures:
    """A pair whose low picture is exactly the area mean of its high one."""
    low = np.random.default_rng(seed).integers(20, 230, (height, width, 3), dtype=np.uint8)
    high = low.astype(np.int64).repeat(SCALE, 0).repeat(SCALE, 1) + np.tile(PATTERN, (height, width))[..., None]
    return Pictures(f"{seed}.png", low, high.astype(np.uint8))


PICTURES = [pair(0, 10, 10), pair(1, 8, 14), pair(2, 6, 6)]
POSITIONS = {(0, top, left) for top in range(5) for left in range(5)}
POSITIONS |= {(1, top, left) for top in range(3) for left in range(9)} | {(2, 0, 0)}


def patches(seed: int = 0, pictures: Sequence[Pictures] = PICTURES) -> Patches:
    return Patches(pictures, SIZE, SCALE, seed)


def tensor(picture: Bytes) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


# ---- sample n -------------------------------------------------------------------------------------------------------


def test_sample_n_depends_on_seed_and_n_alone() -> None:
    forward, backward = patches(), patches()
    numbers = [*range(50), 10**6, 16 * 10**9]
    first = [forward.sample(n) for n in numbers]
    np.random.seed(1)
    torch.manual_seed(1)
    assert [backward.sample(n) for n in reversed(numbers)] == first[::-1]
    assert [forward.sample(n) for n in numbers] == first


def test_patch_n_is_the_same_however_often_and_in_which_order_it_is_cut() -> None:
    one, other = patches(), patches()
    for n in (7, 3, 7, 0):
        for first, second in zip(one[n], other[n], strict=True):
            assert torch.equal(first, second)


def test_another_seed_gives_other_samples() -> None:
    streams = [[patches(seed).sample(n) for n in range(200)] for seed in (0, 1, 2**63 - 1)]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        equal = sum(a == b for a, b in zip(streams[first], streams[second], strict=True))
        assert equal < 10  # by chance 200 / (53 * 8)
        assert streams[first][1:] != streams[second][:-1]


def chi_square(counts: Counter[object], cells: int) -> float:
    """Distance of counts from equal ones, in standard deviations of what chance gives."""
    expected = sum(counts.values()) / cells
    seen = sum((count - expected) ** 2 for count in counts.values()) + (cells - len(counts)) * expected**2
    return float((seen / expected - (cells - 1)) / np.sqrt(2 * (cells - 1)))


def test_every_position_of_every_picture_and_every_symmetry_is_equally_likely() -> None:
    dataset = patches(5)
    samples = [dataset.sample(n) for n in range(8000)]
    places = Counter[object](sample[:3] for sample in samples)
    assert set(places) == POSITIONS
    assert chi_square(places, len(POSITIONS)) < 5
    symmetries = Counter[object](sample.symmetry for sample in samples)
    assert set(symmetries) == set(SYMMETRIES)
    assert chi_square(symmetries, 8) < 5
    together = Counter[object]((sample.symmetry, *sample[:3]) for sample in samples)
    assert chi_square(together, 8 * len(POSITIONS)) < 5


@pytest.mark.parametrize("lag", [1, 2, 16])
def test_neighbouring_samples_know_nothing_of_each_other(lag: int) -> None:
    """An overlap of two streams would place one patch by the number that turned the other."""
    dataset = patches(6, [pair(0, SIZE, SIZE + 7)])  # eight positions, eight symmetries
    samples = [dataset.sample(n) for n in range(4000)]
    pairs = list(zip(samples, samples[lag:], strict=False))
    for first in ("left", "symmetry"):
        for second in ("left", "symmetry"):
            together = Counter[object]((getattr(a, first), getattr(b, second)) for a, b in pairs)
            assert chi_square(together, 64) < 5


def test_pictures_smaller_than_a_patch_are_all_named() -> None:
    with pytest.raises(BadInput) as refusal:
        patches(pictures=[pair(0, 10, 10), pair(1, 5, 10), pair(2, 10, 5)])
    assert [line.split(" is ")[0] for line in refusal.value.lines] == ["1.png: 10x5", "2.png: 5x10"]


# ---- both pictures together -----------------------------------------------------------------------------------------


def test_low_and_high_patch_show_the_same_place_under_the_same_symmetry() -> None:
    dataset = patches(1)
    seen = set()
    for n in range(200):
        low, high = dataset[n]
        picture, top, left, symmetry = dataset.sample(n)
        seen.add(symmetry)
        _, whole_low, whole_high = PICTURES[picture]
        assert low.shape == (3, SIZE, SIZE)
        assert high.shape == (3, SIZE * SCALE, SIZE * SCALE)
        assert low.dtype == high.dtype == torch.uint8
        assert torch.equal(torch.nn.functional.avg_pool2d(high.double(), SCALE), low.double())
        cut = tensor(whole_low)[:, top : top + SIZE, left : left + SIZE]
        assert torch.equal(low, apply_symmetry(cut, symmetry))
        rows, columns = (slice(start * SCALE, (start + SIZE) * SCALE) for start in (top, left))
        assert torch.equal(high, apply_symmetry(tensor(whole_high)[:, rows, columns], symmetry))
    assert seen == set(SYMMETRIES)


def test_cutting_patches_leaves_the_pictures_alone() -> None:
    pictures = pair(0, 6, 6)
    before = pictures.low.copy(), pictures.high.copy()
    dataset = patches(pictures=[pictures])
    for n in range(20):
        for patch in dataset[n]:
            patch.zero_()
    assert np.array_equal(pictures.low, before[0])
    assert np.array_equal(pictures.high, before[1])


# ---- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_any_number_of_processes_sees_the_same_samples_at_each_step(processes: int) -> None:
    shares = [list(StepBatches(3, 8, 8, rank, processes)) for rank in range(processes)]
    for step, parts in zip(range(3, 8), zip(*shares, strict=True), strict=True):
        assert all(len(part) == 8 // processes for part in parts)
        assert [n for part in parts for n in part] == list(range(step * 8, (step + 1) * 8))


@pytest.mark.parametrize("first", [0, 1, 5, 9, 10])
def test_starting_later_gives_the_tail(first: int) -> None:
    whole, tail = StepBatches(0, 10, 4, 1, 2), StepBatches(first, 10, 4, 1, 2)
    assert list(tail) == list(whole)[first:]
    assert len(tail) == len(list(tail))
    assert list(tail) == list(tail)


def test_workers_change_nothing() -> None:
    def batches(workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        sampler = StepBatches(2, 8, 4, 0, 1)
        yield from DataLoader(patches(3), batch_sampler=sampler, num_workers=workers, timeout=60 * (workers > 0))

    expected = [[patches(3)[n] for n in range(step * 4, step * 4 + 4)] for step in range(2, 8)]
    for alone, shared, numbers in zip(batches(0), batches(2), expected, strict=True):
        for part in (0, 1):
            assert torch.equal(alone[part], shared[part])
            assert torch.equal(alone[part], torch.stack([sample[part] for sample in numbers]))


# ---- symmetries -----------------------------------------------------------------------------------------------------

ARROW = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_pairs_and_tensors_are_turned_alike(name: str) -> None:
    low, high = turn(ARROW, ARROW.repeat(2, 0).repeat(2, 1), name)
    expected = apply_symmetry(tensor(ARROW), name)
    assert torch.equal(tensor(low), expected)
    assert torch.equal(tensor(high)[:, ::2, ::2], expected)


def test_the_eight_symmetries_are_different_and_closed() -> None:
    square = torch.arange(16).reshape(4, 4)
    images = {name: tuple(apply_symmetry(square, name).flatten().tolist()) for name in SYMMETRIES}
    assert len(set(images.values())) == 8
    for first in SYMMETRIES:
        for second in SYMMETRIES:
            both = apply_symmetry(apply_symmetry(square, first), second)
            assert tuple(both.flatten().tolist()) in images.values()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("e", [[1, 2], [3, 4]]),
        ("r90", [[2, 4], [1, 3]]),
        ("r180", [[4, 3], [2, 1]]),
        ("r270", [[3, 1], [4, 2]]),
        ("v", [[3, 4], [1, 2]]),
        ("h", [[2, 1], [4, 3]]),
        ("t", [[1, 3], [2, 4]]),
        ("hvt", [[4, 2], [3, 1]]),
    ],
)
def test_each_symmetry_by_hand(name: str, expected: list[list[int]]) -> None:
    assert apply_symmetry(torch.tensor([[1, 2], [3, 4]]), name).tolist() == expected


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (5, 1), (1, 1)])
def test_invert_undoes(name: str, shape: tuple[int, ...]) -> None:
    picture = torch.rand(shape)
    turned = apply_symmetry(picture, name)
    assert torch.equal(invert_symmetry(turned, name), picture)
    assert torch.equal(apply_symmetry(invert_symmetry(picture, name), name), picture)


def test_unknown_symmetries_are_refused() -> None:
    for function in (apply_symmetry, invert_symmetry):
        with pytest.raises(KeyError, match="r45"):
            function(torch.zeros(2, 2), "r45")


# ---- tiles ----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), size=st.integers(1, 40), halo=st.sampled_from([0, 1, 5, 100])
)
def test_tiles_cover_every_pixel_once_and_stay_inside(height: int, width: int, size: int, halo: int) -> None:
    covered: npt.NDArray[np.int64] = np.zeros((height, width), np.int64)
    for outer, inner in tiles(height, width, size, halo):
        covered[inner] += 1
        for around, kept, length in zip(outer, inner, (height, width), strict=True):
            assert around.start == max(0, kept.start - halo)
            assert around.stop == min(length, kept.stop + halo)
            assert 0 < kept.stop - kept.start <= size
    assert (covered == 1).all()
