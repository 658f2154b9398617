"""What is told of long work on one picture: every part its share, never backwards, to the end."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

from competition.convert import convert
from competition.shares import heard, parts
from competition.tiling import Tiled


def test_parts_of_parts_divide_them():
    told = []
    with heard(told.append):
        for outer in parts("ab", [1, 3]):
            for _ in parts([1, 2] if outer == "a" else [1]):
                pass
    assert told == pytest.approx([0.125, 0.25, 0.25, 1.0, 1.0])
    assert list(parts("cd")) == ["c", "d"] and len(told) == 5


def test_loops_that_an_error_ends_leave_nobody_listening_in_their_place():
    told, kept = [], []

    def failing() -> None:
        for _ in parts([1, 2]):
            raise MemoryError

    with heard(told.append):
        for _ in parts([1, 2]):
            with contextlib.suppress(MemoryError):
                failing()
            for _ in parts([1]):
                pass
    assert told == [0.5, 0.5, 1.0, 1.0]
    try:
        with heard(told.append):
            failing()
    except MemoryError as error:
        kept.append(error)  # and with it its frames, whose loops end only when it goes
    kept.clear()
    for _ in parts([1, 2]):
        pass
    assert len(told) == 4


@pytest.mark.parametrize(
    "options", [{}, {"tile": 16}, {"self_ensemble": "mean"}, {"self_ensemble": "mean", "tile": 16}]
)
def test_a_picture_tells_how_far_its_network_is(tmp_path, texture, options):
    Image.fromarray(texture(3, 40, 56)).save(tmp_path / "in.png")
    told = []
    convert(
        tmp_path / "in.png",
        tmp_path / "out.png",
        "mini_x4",
        report=lambda done, total: told.append(done / total),
        **options,
    )
    assert told == sorted(told) and told[-1] == pytest.approx(1.0)
    passes = 8 if "self_ensemble" in options else 1
    assert len({round(share, 6) for share in told}) >= 4 * passes
    assert max(np.diff([0.0, *told])) < 0.7 / passes


def test_tiles_computed_again_in_smaller_ones_are_told_once(tmp_path):
    def forward(low: torch.Tensor) -> torch.Tensor:
        for _ in parts("ab"):
            if max(low.shape) > 40:
                raise MemoryError
        return low

    told = []
    with heard(told.append):
        high = Tiled(forward, torch.nn.Identity(), 1, 64)(torch.rand(1, 3, 64, 64))
    assert high.shape == (1, 3, 64, 64) and told == sorted(told) and told[-1] == 1.0
