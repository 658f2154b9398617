"""Patches: what a step sees, that both pictures of a pair move together, and how processes share the batches."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import albumentations
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from competition.data.augment import turn
from competition.data.patches import Patches, Photometry, Sample, Share, Stage, loader
from competition.data.sampling import Hard, Uniform
from competition.data.sources import Pictures
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
SIZES = [picture.size for picture in PICTURES]
MAPS = [np.arange(4, dtype=np.float32).reshape(2, 2), np.ones((1, 3), np.float32), np.zeros((1, 1), np.float32)]
POSITIONS = {(0, top, left) for top in range(5) for left in range(5)}
POSITIONS |= {(1, top, left) for top in range(3) for left in range(9)} | {(2, 0, 0)}


def patches(seed: int = 0, pictures: Sequence[Pictures] = PICTURES, **options: Any) -> Patches:
    """Batches of 8 patches unless `options` say otherwise."""
    sampling = options.pop("sampling", Uniform([picture.size for picture in pictures]))
    stages = options.pop("stages", [Stage(0, SIZE, 8)])
    return Patches(pictures, sampling, stages, SCALE, seed, **options)


def samples_of(dataset: Patches, steps: Iterable[int]) -> list[Sample]:
    return [sample for step in steps for sample in dataset.samples(step)]


def tensor(picture: Bytes) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


# ---- what a step sees -----------------------------------------------------------------------------------------------


def test_a_step_depends_on_seed_and_step_alone() -> None:
    forward, backward = patches(), patches()
    steps = [*range(50), 10**6, 16 * 10**9]
    first = [forward.samples(step) for step in steps]
    np.random.seed(1)
    torch.manual_seed(1)
    assert [backward.samples(step) for step in reversed(steps)] == first[::-1]
    assert [forward.samples(step) for step in steps] == first


def test_batches_are_the_same_however_often_and_in_which_order_they_are_cut() -> None:
    one, other = patches(), patches()
    for step in (7, 3, 7, 0):
        for first, second in zip(one[step][:2], other[step][:2], strict=True):
            assert torch.equal(first, second)


def test_another_seed_gives_other_samples() -> None:
    streams = [samples_of(patches(seed), range(25)) for seed in (0, 1, 2**63 - 1)]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        equal = sum(a == b for a, b in zip(streams[first], streams[second], strict=True))
        assert equal < 10  # by chance 200 / (53 * 8)
        assert streams[first][1:] != streams[second][:-1]


@pytest.mark.parametrize("sampling", ["uniform", "hard"])
def test_a_larger_batch_begins_with_the_smaller_one(sampling: str) -> None:
    chosen = {"uniform": Uniform(SIZES), "hard": Hard(SIZES, MAPS, 1)}[sampling]
    small, large = (patches(3, sampling=chosen, stages=[Stage(0, SIZE, batch)]) for batch in (4, 16))
    for step in range(20):
        assert large.samples(step)[:4] == small.samples(step)


def test_stages_change_patch_and_batch_at_their_step_and_nothing_before() -> None:
    staged = patches(3, stages=[Stage(0, 4, 8), Stage(5, 6, 4), Stage(9, 5, 2)])
    for steps, size, batch in [(range(5), 4, 8), (range(5, 9), 6, 4), (range(9, 12), 5, 2)]:
        alone = patches(3, stages=[Stage(0, size, batch)])
        for step in steps:
            assert staged.samples(step) == alone.samples(step)
            low, high, _ = staged[step]
            assert low.shape == (batch, 3, size, size)
            assert high.shape == (batch, 3, size * SCALE, size * SCALE)


def chi_square(counts: Counter[object], cells: int) -> float:
    """Distance of counts from equal ones, in standard deviations of what chance gives."""
    expected = sum(counts.values()) / cells
    seen = sum((count - expected) ** 2 for count in counts.values()) + (cells - len(counts)) * expected**2
    return float((seen / expected - (cells - 1)) / np.sqrt(2 * (cells - 1)))


def test_every_position_of_every_picture_and_every_symmetry_is_equally_likely() -> None:
    samples = samples_of(patches(5), range(1000))
    places = Counter[object](sample[:3] for sample in samples)
    assert set(places) == POSITIONS
    assert chi_square(places, len(POSITIONS)) < 5
    symmetries = Counter[object](sample.symmetry for sample in samples)
    assert set(symmetries) == set(SYMMETRIES)
    assert chi_square(symmetries, 8) < 5
    together = Counter[object]((sample.symmetry, *sample[:3]) for sample in samples)
    assert chi_square(together, 8 * len(POSITIONS)) < 5


@pytest.mark.parametrize("lag", [1, 2, 8])
def test_neighbouring_samples_know_nothing_of_each_other(lag: int) -> None:
    """An overlap of two streams would place one patch by the number that turned the other."""
    dataset = patches(6, [pair(0, SIZE, SIZE + 7)])  # eight positions, eight symmetries
    samples = samples_of(dataset, range(500))
    pairs = list(zip(samples, samples[lag:], strict=False))
    for first in ("left", "symmetry"):
        for second in ("left", "symmetry"):
            together = Counter[object]((getattr(a, first), getattr(b, second)) for a, b in pairs)
            assert chi_square(together, 64) < 5


def test_hard_sampling_follows_the_maps_and_forgets_no_place() -> None:
    """One of the four quarters of a picture is 24 times as hard: at power 1/2 it is drawn five times as often."""
    quarters = np.array([[0, 0], [24, 0]], np.float32)
    picture = pair(0, 40, 40)
    dataset = patches(1, [picture], sampling=Hard([picture.size], [quarters], 0.5))
    middles = [(top + SIZE // 2 >= 20, left + SIZE // 2 >= 20) for _, top, left, _ in samples_of(dataset, range(1000))]
    counts = Counter(middles)
    expected = {(True, False): 5 / 8, (True, True): 1 / 8, (False, False): 1 / 8, (False, True): 1 / 8}
    for quarter, share in expected.items():
        assert counts[quarter] / 8000 == pytest.approx(share, abs=0.02)
    corners = {sample[1:3] for sample in samples_of(dataset, range(4000))}
    assert {(0, 0), (0, 34), (34, 0), (34, 34)} <= corners


def test_hard_sampling_weighs_pictures_against_each_other() -> None:
    maps = [np.full((1, 1), 3, np.float32), np.zeros((1, 2), np.float32), np.full((1, 1), 1, np.float32)]
    dataset = patches(1, sampling=Hard(SIZES, maps, 1))
    counts = Counter(sample.picture for sample in samples_of(dataset, range(1000)))
    assert [counts[picture] / 8000 for picture in range(3)] == pytest.approx([4 / 8, 2 / 8, 2 / 8], abs=0.02)


def test_hard_sampling_forgets_no_place_among_many_hard_ones() -> None:
    hard, easy = np.full((1000, 1000), 255**2 - 1, np.float32), np.zeros((1000, 1000), np.float32)
    sampling = Hard([(1000, 1000)] * 2, [hard, easy], 0.5)
    share = easy.size / (255 * hard.size + easy.size)
    place = sampling.places(np.array([[1 - share / 2, 0, 0]]), 1)
    assert place.picture.tolist() == [1] and place.top[0] == pytest.approx(500, abs=1)


def test_pictures_smaller_than_the_largest_patch_are_all_named() -> None:
    with pytest.raises(BadInput) as refusal:
        patches(pictures=[pair(0, 10, 10), pair(1, 5, 10), pair(2, 10, 5)], stages=[Stage(0, 3, 8), Stage(9, 6, 8)])
    assert [line.split(" is ")[0] for line in refusal.value.lines] == ["1.png: 40x20", "2.png: 20x40"]


# ---- both pictures together -----------------------------------------------------------------------------------------


def test_low_and_high_patch_show_the_same_place_under_the_same_symmetry() -> None:
    dataset = patches(1)
    seen = set()
    for step in range(25):
        batch = dataset[step]
        assert batch.low.dtype == batch.high.dtype == torch.uint8
        for low, high, (picture, top, left, symmetry) in zip(*batch[:2], dataset.samples(step), strict=True):
            seen.add(symmetry)
            _, whole_low, whole_high = PICTURES[picture]
            assert low.shape == (3, SIZE, SIZE)
            assert high.shape == (3, SIZE * SCALE, SIZE * SCALE)
            assert torch.equal(torch.nn.functional.avg_pool2d(high.double(), SCALE), low.double())
            cut = tensor(whole_low)[:, top : top + SIZE, left : left + SIZE]
            assert torch.equal(low, apply_symmetry(cut, symmetry))
            rows, columns = (slice(start * SCALE, (start + SIZE) * SCALE) for start in (top, left))
            assert torch.equal(high, apply_symmetry(tensor(whole_high)[:, rows, columns], symmetry))
    assert seen == set(SYMMETRIES)


def test_cutting_patches_leaves_the_pictures_alone() -> None:
    pictures = pair(0, 6, 6)
    before = pictures.low.copy(), pictures.high.copy()
    dataset = patches(pictures=[pictures], photometry=Photometry(channel_shuffle=1))
    for step in range(3):
        for patch in dataset[step][:2]:
            patch.zero_()
    assert np.array_equal(pictures.low, before[0])
    assert np.array_equal(pictures.high, before[1])


def test_floats_are_the_bytes_over_255_in_the_layout_that_networks_want() -> None:
    batch = patches(1)[0]
    for floats, pixels in zip(batch.floats(torch.device("cpu")), batch[:2], strict=True):
        assert floats.dtype == torch.float32
        assert torch.equal(floats, pixels.float() / 255)
        assert floats.is_contiguous(memory_format=torch.channels_last)


# ---- photometric changes --------------------------------------------------------------------------------------------


def test_colours_stay_as_they_are_unless_asked() -> None:
    assert patches()[0].gain is None


def test_channels_change_places_alike_in_both_pictures() -> None:
    plain, shuffled = patches(2), patches(2, photometry=Photometry(channel_shuffle=0.5))
    orders = Counter[tuple[int, ...]]()
    for step in range(60):
        before, after = plain[step], shuffled[step]
        for index in range(8):
            fitting = [
                order
                for order in itertools.permutations(range(3))
                if torch.equal(before.low[index][list(order)], after.low[index])
            ]
            orders[fitting[0]] += 1
            assert torch.equal(before.high[index][list(fitting[0])], after.high[index])
        assert shuffled.samples(step) == plain.samples(step)
    assert orders[0, 1, 2] / 480 == pytest.approx(0.5 + 0.5 / 6, abs=0.07)
    assert len(orders) == 6


def test_gain_darkens_both_pictures_of_a_pair_by_one_factor() -> None:
    plain, darkened = patches(2), patches(2, photometry=Photometry(gain=0.3))
    factors = []
    for step in range(20):
        pairs = zip(plain[step].floats(torch.device("cpu")), darkened[step].floats(torch.device("cpu")), strict=True)
        ratios = [(after / before).flatten(1) for before, after in pairs]
        for low, high in zip(*ratios, strict=True):
            assert torch.allclose(low, low[0].expand_as(low)) and torch.allclose(high, low[0].expand_as(high))
            factors.append(float(low[0]))
    assert 0.7 <= min(factors) < 0.75 and 0.95 < max(factors) <= 1


# ---- batches --------------------------------------------------------------------------------------------------------

STAGES = [Stage(0, 4, 8), Stage(100, 6, 4)]


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("first", [0, 1, 99, 150])
def test_processes_workers_and_resumes_change_nothing(processes: int, workers: int, first: int) -> None:
    """Every pixel, colour and gain of 200 steps with a change of stage, from the first step of a resume on."""
    options: dict[str, Any] = {"stages": STAGES, "photometry": Photometry(channel_shuffle=0.5, gain=0.3)}
    whole = patches(3, **options)
    shares = [
        loader(patches(3, share=Share(rank, processes), **options), first, 200, workers) for rank in range(processes)
    ]
    for step, parts in zip(range(first, 200), zip(*shares, strict=True), strict=True):
        for expected, got in zip(whole[step], map(torch.cat, zip(*parts, strict=True)), strict=True):
            assert torch.equal(expected, got)


# ---- symmetries -----------------------------------------------------------------------------------------------------

SQUARE = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_pictures_are_turned_as_tensors_and_as_albumentations_does(name: str) -> None:
    out = np.empty_like(SQUARE)
    turn(SQUARE, name, out)
    assert torch.equal(tensor(out), apply_symmetry(tensor(SQUARE), name))
    assert np.array_equal(out, albumentations.D4().apply(SQUARE, group_element=name))


def test_a_part_of_a_picture_is_turned_too() -> None:
    for name in SYMMETRIES:
        out = np.empty((3, 3, 3), np.uint8)
        turn(SQUARE[1:4, 2:5], name, out)
        assert torch.equal(tensor(out), apply_symmetry(tensor(SQUARE[1:4, 2:5].copy()), name))


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
