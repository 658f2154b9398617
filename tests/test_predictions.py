"""Predictions and votes of anything that can be handed over: every size, every fault at every place, every order."""

from itertools import permutations

import numpy as np
import picture_files
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from competition import infer
from competition.ensemble import bicubic, enlarge, vote
from competition.errors import BadInput, NumericalError
from competition.images import list_pictures, write_png
from competition.tiling import Tiled

SIZES = st.integers(1, 70)


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, st.sampled_from(["none", "mean", "median"]), st.sampled_from([0, 7, 16]))
def test_pictures_of_every_size_become_exactly_four_times_as_large_bit_for_bit(height, width, mode, tile):
    low = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    nearest = torch.nn.Upsample(scale_factor=4)
    assert torch.equal(enlarge(nearest, low, 4, mode, tile), nearest(low))


@settings(max_examples=20, deadline=None)
@given(SIZES, SIZES)
def test_bicubic_takes_every_size(height, width):
    low = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), np.uint8)
    assert bicubic(low, 4).shape == (4 * height, 4 * width, 3)


BAD = {
    "empty": b"",
    "text": b"no picture",
    "grey": picture_files.saved(np.zeros((8, 8, 3), np.uint8), "L", "PNG"),
    "alpha": picture_files.saved(np.zeros((8, 8, 3), np.uint8), "RGBA", "PNG"),
    "jpeg": picture_files.saved(np.zeros((8, 8, 3), np.uint8), "RGB", "JPEG"),
    "cut short": picture_files.saved(np.zeros((8, 8, 3), np.uint8), "RGB", "PNG")[:-9],
    "bomb": picture_files.header_png(60_000, 60_000),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", range(4))
def test_a_bad_file_at_any_place_leaves_all_others_done(texture, tmp_path, content, place):
    for number in range(4):
        write_png(tmp_path / f"in/{number}.png", texture(number, 8, 8))
    (tmp_path / f"in/{place}.png").write_bytes(content)
    with pytest.raises(BadInput) as error:
        infer.main(["bicubic", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")])
    assert len(error.value.lines) == 1 and f"/{place}.png: " in error.value.lines[0] and error.value.code == 3
    assert sorted(list_pictures(tmp_path / "out")) == [f"{number}.png" for number in range(4) if number != place]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_before_it_is_rounded(texture, tmp_path, value):
    class Faulty(torch.nn.Module):
        def forward(self, low):
            high = torch.nn.functional.interpolate(low, scale_factor=4)
            high[..., 3, 3] = value
            return high

    write_png(tmp_path / "in/1.png", texture(1, 8, 8))
    upscaler = infer.Upscaler(
        Tiled(Faulty(), Faulty(), 4), torch.device("cpu"), {"source": "faulty", "self_ensemble": "none"}
    )
    with pytest.raises(NumericalError, match="not finite"):
        infer.infer(upscaler, list_pictures(tmp_path / "in"), tmp_path / "in", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.png"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=4, max_size=4).filter(any), st.integers(0, 2**32 - 1))
def test_no_order_of_the_members_changes_a_bit_of_the_vote(weights, seed):
    generator = np.random.default_rng(seed)
    members = [generator.integers(0, 65536, (3, 4, 3), np.uint16) for _ in weights]
    votes = [vote([members[i] for i in order], [weights[i] for i in order]) for order in permutations(range(4))]
    assert all(torch.equal(votes[0], other) for other in votes[1:])
