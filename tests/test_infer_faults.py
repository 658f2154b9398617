"""What goes wrong while pictures are enlarged: it is named, all else is done, and no pixel is ever wrong."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_pictures import BAD, PNG
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import as_nobody

from competition import infer
from competition.errors import BadInput, NumericalError, OutOfMemory
from competition.images import encode_png, list_pictures, read_prediction, write_png
from competition.models.bicubic import Bicubic
from competition.tiling import Forward, Tiled

NAMES = tuple(f"{number}.png" for number in range(20000, 20018))
MODES = ("none", "mean", "median", "trimmed")
NEAREST = torch.nn.Upsample(scale_factor=4)


def upscaler(forward: Forward, mode: str = "none", tile: int | None = 0, network: Forward = NEAREST) -> infer.Upscaler:
    tiled = Tiled(forward, network, 4, tile)
    return infer.Upscaler(tiled, torch.device("cpu"), {"source": "stub", "self_ensemble": mode})


def pixels(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(folder: Path, *shapes: tuple[int, int]) -> dict[str, Path]:
    for number, shape in enumerate(shapes):
        write_png(folder / f"{number}.png", pixels(number, *shape))
    return list_pictures(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


# ---- bad files among good ones --------------------------------------------------------------------------------------


@pytest.fixture
def eighteen(in_memory) -> Path:
    """A folder with as many pictures as the contest has for the test."""
    for name in NAMES:
        write_png(in_memory / "in" / name, pixels(int(name[:5]), 5, 4))
    return in_memory


def line_of(root: Path) -> list[str]:
    return ["bicubic", "--input", f"{root}/in", "--output", f"{root}/out"]


def enlarge(root: Path, *options: str) -> list[str]:
    """infer by bicubic; the lines of the error it ends with, which must have status 3."""
    shutil.rmtree(root / "out", ignore_errors=True)
    (root / "out.json").unlink(missing_ok=True)
    with pytest.raises(BadInput) as error:
        infer.main([*line_of(root), *options])
    assert error.value.code == 3
    return list(error.value.lines)


def spoilt(eighteen: Path, place: int, make: Callable[[Path], object]) -> Path:
    shutil.rmtree(eighteen / "spoilt", ignore_errors=True)
    shutil.copytree(eighteen / "in", eighteen / "spoilt/in")
    (eighteen / "spoilt/in" / NAMES[place]).unlink()
    make(eighteen / "spoilt/in" / NAMES[place])
    return eighteen / "spoilt"


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize("places", [pytest.param(1, id="one"), pytest.param(18, id="every", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_at_any_place_is_named_and_all_others_are_done_unless_strict(eighteen, kind, places):
    first = list(BAD).index(kind)
    for place in (number % len(NAMES) for number in range(first, first + places)):
        root = spoilt(eighteen, place, BAD[kind])
        (line,) = enlarge(root)
        assert line.startswith(f"{root}/in/{NAMES[place]}: ") and ". " in line and line.isprintable()
        assert sorted(content(root / "out")) == [name for name in NAMES if name != NAMES[place]]
        assert enlarge(root, "--strict") == [line]
        assert sorted(content(root / "out")) == [*NAMES[:place]]


def test_there_are_thirty_kinds_and_more():
    assert len(BAD) >= 30


def test_all_bad_files_are_listed_in_their_order(eighteen):
    for name, make in zip(NAMES[::2], BAD.values(), strict=False):
        (eighteen / "in" / name).unlink()
        make(eighteen / "in" / name)
    lines = enlarge(eighteen)
    assert [line.split(": ")[0].rpartition("/")[2] for line in lines] == [*NAMES[::2]]
    assert sorted(content(eighteen / "out")) == [*NAMES[1::2]]


def test_a_file_that_may_not_be_read_is_named_and_all_others_are_done(eighteen):
    (eighteen / "in" / NAMES[7]).chmod(0)
    (eighteen / "in").chmod(0o755)
    eighteen.chmod(0o777)
    with as_nobody():
        (line,) = enlarge(eighteen)
    assert line == f"{eighteen}/in/{NAMES[7]}: Permission denied. Make it readable"
    assert len(content(eighteen / "out")) == 17


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("notes.txt", "not named .png"),
        ("20007.jpg", "not named .png, is PNG inside"),
        ("20000.PNG", "same name as 20000.PNG but for case or Unicode form"),
        ("a\nb.png", "unprintable characters in the name"),
    ],
)
def test_a_name_that_cannot_be_used_is_named_and_all_others_are_done(eighteen, name, cause):
    (eighteen / "in" / name).write_bytes(PNG)
    (line,) = enlarge(eighteen)
    assert cause in line and line.isprintable()
    # Of two that differ in case the first stays, which is that in capitals.
    assert sorted(content(eighteen / "out")) == sorted([name, *NAMES[1:]] if name == "20000.PNG" else NAMES)
    assert enlarge(eighteen, "--strict") == [line]
    assert not (eighteen / "out").exists()
    (eighteen / "names.txt").write_text("20001.png\n20017.png\n")
    infer.main([*line_of(eighteen), "--names", f"{eighteen}/names.txt"])
    assert sorted(content(eighteen / "out")) == ["20001.png", "20017.png"]


def test_a_truth_that_lacks_or_is_bad_is_named_and_all_others_are_scored(eighteen, capsys):
    for number, name in enumerate(NAMES):
        write_png(eighteen / "truth" / name, pixels(number, 20, 16))
    (eighteen / "truth" / NAMES[3]).unlink()
    (eighteen / "truth" / NAMES[9]).write_bytes(b"")
    lines = enlarge(eighteen, "--truth", str(eighteen / "truth"), "--self-ensemble", "mean")
    assert [line.split(". ")[0] for line in lines] == [
        f"{eighteen}/truth/{NAMES[3]}: no such file or directory",
        f"{eighteen}/truth/{NAMES[9]}: empty file",
    ]
    assert len(content(eighteen / "out")) == 16 and "mean of 16 pictures" in capsys.readouterr().out


def test_a_bad_picture_that_once_stood_is_not_scored_as_it_was(eighteen, capsys):
    line = [*line_of(eighteen), "--self-ensemble", "mean"]
    infer.main(line)
    for name in NAMES:
        write_png(eighteen / "truth" / name, pixels(0, 20, 16))
    (eighteen / "in" / NAMES[0]).write_bytes(b"")
    with pytest.raises(BadInput, match=r"20000\.png: empty file"):
        infer.main([*line, "--truth", f"{eighteen}/truth"])
    assert "mean of 17 pictures" in capsys.readouterr().out


# ---- memory ---------------------------------------------------------------------------------------------------------


class Failing:
    """Nearest neighbour that lacks memory on some calls."""

    def __init__(self, which: Callable[[int], bool]) -> None:
        self.which, self.calls = which, 0

    def __call__(self, low: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.which(self.calls - 1):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return NEAREST(low)


@pytest.mark.parametrize("mode", ["none", "trimmed"])
@pytest.mark.parametrize("tile", [0, 16, None])
def test_memory_that_fails_at_any_call_gives_the_same_pictures_or_an_error(in_memory, mode, tile):
    pictures = write(in_memory / "in", (17, 9), (5, 7))
    expected = {name: NEAREST(infer.to_tensor(infer.read_rgb(path))) for name, path in pictures.items()}
    calls, failed, place = 1, 0, in_memory / "out"
    for length in (1, 2, 1000):
        at = 0
        while at < calls:
            shutil.rmtree(place, ignore_errors=True)
            (in_memory / "out.json").unlink(missing_ok=True)
            failing = Failing(lambda call, at=at, length=length: at <= call < at + length)
            lines: tuple[str, ...] = ()
            try:
                infer.infer(upscaler(failing, mode, tile), pictures, in_memory / "in", place)
            except OutOfMemory as error:
                assert error.code == 9
                lines = error.lines
                failed += 1
            done = content(place)
            for name, high in expected.items():
                assert (name in done) != any(line.startswith(f"{in_memory}/in/{name}: memory") for line in lines)
                if name in done:
                    assert np.array_equal(read_prediction(place / name), infer.quantize(high, 16))
            calls, at = max(calls, failing.calls), at + 1
    assert failed and calls >= (16 if mode != "none" else 2)


@pytest.mark.parametrize("at", range(9))
def test_a_batch_whose_memory_fails_at_any_call_is_equal_or_an_error(at):
    low = torch.rand(4, 3, 33, 17, generator=torch.Generator().manual_seed(0))
    for length in (1, 2):
        failing = Failing(lambda call, length=length: at <= call < at + length)
        assert torch.equal(Tiled(failing, NEAREST, 4)(low), NEAREST(low))


def test_memory_that_fails_elsewhere_names_the_picture_and_the_other_is_done(in_memory, monkeypatch):
    pictures = write(in_memory / "in", (5, 7), (6, 8))

    def failing(samples: Any, *, true: Any = infer.to_tensor) -> torch.Tensor:
        if samples.shape[0] == 5:
            raise MemoryError
        return true(samples)

    monkeypatch.setattr(infer, "to_tensor", failing)
    with pytest.raises(OutOfMemory, match=r"^\S+/0\.png: memory does not suffice\. Use a smaller --tile"):
        infer.infer(upscaler(NEAREST), pictures, in_memory / "in", in_memory / "out")
    assert list(content(in_memory / "out")) == ["1.png"]


# ---- sizes ----------------------------------------------------------------------------------------------------------

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67)
SIZES = st.integers(1, 70) | st.sampled_from(PRIMES)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SIZES, SIZES, st.sampled_from(MODES), st.sampled_from([None, 0, 7, 16]))
def test_pictures_of_every_size_become_exactly_four_times_as_large_bit_for_bit(in_memory, height, width, mode, tile):
    shutil.rmtree(in_memory / "in", ignore_errors=True)
    pictures = write(in_memory / "in", (height, width))
    infer.infer(upscaler(NEAREST, mode, tile), pictures, in_memory / "in", in_memory / "out")
    expected = pixels(0, height, width).repeat(4, 0).repeat(4, 1).astype(np.uint16) * 257
    assert np.array_equal(read_prediction(in_memory / "out/0.png"), expected)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SIZES, SIZES)
def test_bicubic_of_every_size_is_the_same_with_all_symmetries(in_memory, height, width):
    shutil.rmtree(in_memory / "in", ignore_errors=True)
    pictures = write(in_memory / "in", (height, width))
    found = []
    for mode in ("none", "mean"):
        infer.infer(upscaler(Bicubic(4), mode, None, Bicubic(4)), pictures, in_memory / "in", in_memory / mode)
        found.append(read_prediction(in_memory / mode / "0.png").astype(int))
    assert found[0].shape == (4 * height, 4 * width, 3)
    assert np.abs(found[0] - found[1]).max() <= 1  # of 65,535: sums of floats in another order


# ---- values ---------------------------------------------------------------------------------------------------------


class Faulty:
    """Nearest neighbour with one wrong value in what it makes of one call."""

    def __init__(self, value: float, at: int) -> None:
        self.value, self.at, self.calls = value, at, 0

    def __call__(self, low: torch.Tensor) -> torch.Tensor:
        high = NEAREST(low).clone()
        if self.calls == self.at:
            high[0, 1, 3, 3] = self.value
        self.calls += 1
        return high


VALUES = [float("nan"), float("inf"), -float("inf"), 1e30, 255.0, -40.0]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("mode", MODES)
def test_a_value_that_rounding_would_hide_names_the_picture_and_the_others_are_done(in_memory, mode, value):
    pictures = write(in_memory / "in", (3, 5), (4, 4), (2, 2))
    each = 1 if mode == "none" else 8
    for at in range(3 * each):
        shutil.rmtree(in_memory / "out", ignore_errors=True)
        (in_memory / "out.json").unlink(missing_ok=True)
        with pytest.raises(NumericalError) as error:
            infer.infer(upscaler(Faulty(value, at), mode), pictures, in_memory / "in", in_memory / "out")
        (line,) = error.value.lines
        assert line.startswith(f"{in_memory}/in/{at // each}.png: its prediction holds values ")
        assert ("not finite" in line) == (not np.isfinite(value)) and error.value.code == 6
        assert sorted(content(in_memory / "out")) == sorted({"0.png", "1.png", "2.png"} - {f"{at // each}.png"})


@pytest.mark.parametrize("value", [-0.3, 1.3])
def test_what_overshoots_a_little_is_cut_off(in_memory, value):
    pictures = write(in_memory / "in", (3, 5))
    infer.infer(upscaler(Faulty(value, 0)), pictures, in_memory / "in", in_memory / "out")
    assert read_prediction(in_memory / "out/0.png")[3, 3, 1] == (65535 if value > 1 else 0)


def test_predictions_stand_where_a_network_has_gone_wrong_since(in_memory):
    pictures = write(in_memory / "in", (3, 5), (4, 4))
    infer.infer(upscaler(NEAREST), pictures, in_memory / "in", in_memory / "out")
    before = content(in_memory / "out")
    with pytest.raises(NumericalError):
        infer.infer(
            upscaler(lambda low: NEAREST(low) * torch.nan, "mean"), pictures, in_memory / "in", in_memory / "out"
        )
    assert content(in_memory / "out") == before
    assert encode_png(infer.quantize(NEAREST(infer.to_tensor(pixels(0, 3, 5))), 16)) == before["0.png"]
    assert not [name for name in os.listdir(in_memory) if name.startswith(".tmp")]
