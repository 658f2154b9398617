"""The pixel store: it gives the pictures' own pixels, follows their changes, and is never half made."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import Contest, Texture
from hypothesis import given, settings
from hypothesis import strategies as st

from competition.data import preparation
from competition.data.degrade import Degradation
from competition.data.pairs import Pair, find_pairs
from competition.data.patches import Patches, Share, Stage
from competition.data.preparation import StoreKind, prepare, sources
from competition.data.sampling import Uniform
from competition.data.sources import Pictures, Source
from competition.data.store import Stored, encode, intact, lookup, path_of
from competition.data.synthesis import SynthesizeConfig
from competition.errors import BadInput, StorageError
from competition.files import sha256
from competition.images import Bytes, read_rgb, write_png
from competition.locks import locked

KINDS: tuple[StoreKind, ...] = ("disk", "memory", "none")


@pytest.fixture
def pairs(contest: Contest) -> list[Pair]:
    return find_pairs(contest(4), 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def open_store(pairs: Sequence[Pair], folder: Path, kind: StoreKind = "disk") -> list[Source]:
    prepare(pairs, 4, folder, pixels=kind == "disk")
    return sources(kind, preparation.open_store(pairs, 4, folder))


def files_of(folder: Path) -> dict[str, str]:
    """Name and hash of everything a store holds, without the lock."""
    return {path.name: sha256(path) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


# ---- pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_pixels_of_the_files(kind: StoreKind, pairs: list[Pair], folder: Path) -> None:
    for pair, source in zip(pairs, open_store(pairs, folder, kind), strict=True):
        assert (source.name, source.size) == (pair.name, (24, 24))
        _, low, high = source.whole()
        assert np.array_equal(low, read_rgb(pair.low))
        assert np.array_equal(high, read_rgb(pair.high))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [0, 1])
def test_every_kind_gives_the_same_batches(kind: StoreKind, rank: int, pairs: list[Pair], folder: Path) -> None:
    expected = [Pictures(pair.name, read_rgb(pair.low), read_rgb(pair.high)) for pair in pairs]
    batches = [
        Patches(pictures, Uniform([(24, 24)] * 4), [Stage(0, 10, 6)], 4, 7, share=Share(rank, 2))
        for pictures in (expected, open_store(pairs, folder, kind))
    ]
    for step in range(10):
        for first, second in zip(batches[0][step][:2], batches[1][step][:2], strict=True):
            assert torch.equal(first, second)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_patch_of_any_size_of_picture(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    scale = data.draw(st.sampled_from([1, 2, 3, 4]))
    height, width = data.draw(st.integers(1, 140)), data.draw(st.integers(1, 140))
    generator = np.random.default_rng(height * 1000 + width)
    low = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    high = generator.integers(0, 256, (height * scale, width * scale, 3), dtype=np.uint8)
    root = tmp_path_factory.mktemp("any")
    (root / "picture").touch()
    pair = Pair("any.png", root / "picture", root / "picture")
    path = path_of(root, pair)
    path.write_bytes(encode(pair, Pictures(pair.name, low, high), pixels=True))
    entry = lookup(path, pair, scale)
    assert entry is not None and intact(path, entry)
    stored, expected = Stored(pair.name, path, entry), Pictures(pair.name, low, high)
    size = data.draw(st.integers(1, min(height, width)))
    top, left = data.draw(st.integers(0, height - size)), data.draw(st.integers(0, width - size))
    stored.expect(top, left, size)
    for first, second in zip(stored.cut(top, left, size), expected.cut(top, left, size), strict=True):
        assert np.array_equal(first, second)
    for first, second in zip(stored.whole()[1:], expected[1:], strict=True):
        assert np.array_equal(first, second)


def test_thousands_of_pairs_do_not_exhaust_open_files(pairs: list[Pair], folder: Path) -> None:
    stored = open_store(pairs, folder)
    before = len(os.listdir("/proc/self/fd"))
    for source in stored:
        source.cut(0, 0, 8)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_store_without_pixels_is_small_and_is_filled_when_they_are_wanted(pairs: list[Pair], folder: Path) -> None:
    prepare(pairs, 4, folder, pixels=False)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 40_000
    assert np.array_equal(open_store(pairs, folder)[0].whole().high, read_rgb(pairs[0].high))
    before = files_of(folder)
    prepare(pairs, 4, folder, pixels=False)
    assert files_of(folder) == before


def test_difficulty_is_the_squared_error_of_bicubic_by_cell(contest: Contest, folder: Path) -> None:
    root = contest(1)
    low = np.full((32, 48, 3), 100, np.uint8)
    low[0, 0] = 101  # a picture all of one colour would be refused
    high = np.full((128, 192, 3), 100, np.uint8)
    high[64:128, 128:192] = np.where(np.indices((64, 64)).sum(0) % 2, 110, 90)[..., None]
    write_png(root / "train/lr/000.png", low)
    write_png(root / "train/hr/000.png", high)
    pairs = find_pairs(root, 4)
    prepare(pairs, 4, folder, pixels=False)
    (prepared,) = preparation.open_store(pairs, 4, folder)
    assert np.allclose(prepared.fact("difficulty"), [[0, 0, 0], [0, 0, 100]], atol=0.2)


# ---- synthetic pairs ------------------------------------------------------------------------------------------------

MADE = {"area": Degradation(resize="area"), "noisy": Degradation(resize="nearest", noise=4, jpeg=80)}


@pytest.fixture
def more(tmp_path: Path, texture: Texture) -> Path:
    """A folder of high pictures alone; one is no multiple of the scale."""
    for number in range(12):
        write_png(tmp_path / f"more/{number}.png", texture(100 + number, 97 if number == 3 else 96, 120))
    return tmp_path / "more"


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_pairs_are_made_as_their_recipe_says(kind: StoreKind, more: Path, folder: Path) -> None:
    pairs = SynthesizeConfig(high=more, kinds=tuple(MADE.values())).pairs(seed=5)
    assert {pair.recipe.degradation.kind for pair in pairs if pair.recipe} == {"area", "nearest+noise+jpeg"}
    for pair, source in zip(pairs, open_store(pairs, folder, kind), strict=True):
        _, low, high = source.whole()
        assert source.size == low.shape[:2] == (24, 30) and high.shape == (96, 120, 3)
        assert np.array_equal(high, read_rgb(pair.high)[:96])
        if pair.recipe and pair.recipe.degradation == MADE["area"]:
            assert np.abs(high.reshape(24, 4, 30, 4, 3).mean((1, 3)) - low).max() <= 0.5


def test_synthetic_pairs_depend_on_seed_and_name_alone(more: Path, folder: Path, tmp_path: Path) -> None:
    config = SynthesizeConfig(high=more, kinds=tuple(MADE.values()))
    first = [source.whole() for source in open_store(config.pairs(1), folder)]
    (more / "0.png").unlink()
    again = [source.whole() for source in open_store(config.pairs(1), tmp_path / "other", "memory")]
    assert all(np.array_equal(a.low, b.low) for a, b in zip(first[1:], again, strict=True))
    other = [source.whole() for source in open_store(config.pairs(2), tmp_path / "third", "none")]
    assert any(not np.array_equal(a.low, b.low) for a, b in zip(again, other, strict=True))


def test_real_and_synthetic_pairs_leave_each_other_alone(pairs: list[Pair], more: Path, folder: Path) -> None:
    synthetic = SynthesizeConfig(high=more, kinds=(MADE["area"],)).pairs(1)
    prepare([*pairs, *synthetic], 4, folder, pixels=True)
    prepare(pairs, 4, folder, pixels=True)
    assert all(lookup(path_of(folder, pair), pair, 4) for pair in synthetic)
    changed = SynthesizeConfig(high=more, kinds=(MADE["noisy"],)).pairs(1)
    assert not any(lookup(path_of(folder, pair), pair, 4) for pair in changed)


def test_all_high_pictures_that_make_no_pair_are_listed(more: Path, folder: Path) -> None:
    grey = np.zeros((64, 64), np.uint8)
    for name in ("grey1.png", "grey2.png"):
        cv2.imwrite(str(more / name), grey)
    write_png(more / "small.png", np.zeros((3, 64, 3), np.uint8))
    with pytest.raises(BadInput) as refusal:
        prepare(SynthesizeConfig(high=more, kinds=(MADE["area"],)).pairs(1), 4, folder, pixels=True)
    assert [line.removeprefix(f"{more}/") for line in refusal.value.lines] == [
        "grey1.png: grey picture. Convert it to RGB",
        "grey2.png: grey picture. Convert it to RGB",
        "small.png: 64x3 cannot be reduced to a 4th. Remove it",
    ]


@pytest.mark.parametrize("other", ["another seed", "gone"])
def test_a_pair_that_another_run_replaced_is_told_and_never_cut(other: str, more: Path, folder: Path) -> None:
    config = SynthesizeConfig(high=more, kinds=(MADE["noisy"],))
    first, second = open_store(config.pairs(1), folder)[:2]
    low = first.whole().low
    prepare(config.pairs(2) if other == "another seed" else config.pairs(1)[2:], 4, folder, pixels=True)
    assert np.array_equal(first.whole().low, low)  # already mapped
    with pytest.raises(BadInput, match=r"1\.png was prepared anew or removed by another run\. Give each"):
        second.cut(0, 0, 8)


# ---- changes --------------------------------------------------------------------------------------------------------


def test_what_stands_is_left_alone_and_the_same_pictures_give_the_same_bytes(pairs: list[Pair], folder: Path) -> None:
    prepare(pairs, 4, folder, pixels=True)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    first = files_of(folder)
    prepare(pairs, 4, folder, pixels=True, verify=True)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")} == times
    shutil.rmtree(folder)
    prepare(pairs, 4, folder, pixels=True)
    assert files_of(folder) == first and len(first) == 4


def test_a_changed_picture_is_decoded_again_and_no_other(pairs: list[Pair], folder: Path, texture: Texture) -> None:
    prepare(pairs, 4, folder, pixels=True)
    kept = files_of(folder)
    low = read_rgb(pairs[1].low)
    low[3, 3] ^= 1
    write_png(pairs[1].low, low)
    assert np.array_equal(open_store(pairs, folder)[1].whole().low, low)
    changed = {name for name, digest in files_of(folder).items() if kept[name] != digest}
    assert changed == {path_of(folder, pairs[1]).name}


def test_pairs_that_are_gone_and_leftovers_are_removed(pairs: list[Pair], folder: Path) -> None:
    prepare(pairs, 4, folder, pixels=True)
    (folder / ".tmp_123_456").write_bytes(b"half")
    prepare(pairs[1:], 4, folder, pixels=True)
    assert set(files_of(folder)) == {path_of(folder, pair).name for pair in pairs[1:]}


def crafted(content: bytes, kind: str) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["competition"])
    match kind:
        case "empty":
            return b""
        case "cut":
            return content[:-1]
        case "another version":
            facts["version"] = 0
        case "another name":
            facts["name"] = "other.png"
        case "another scale":
            facts["scale"] = 2
        case "no metadata":
            facts = {}
        case "a pickle":
            return b"\x80\x04\x95cos\nsystem\n."
        case "endless header":
            return b"\xff" * 8 + content[8:]
    header["__metadata__"]["competition"] = json.dumps(facts)
    return content[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(length) + content[8 + length :]


KINDS_OF_DAMAGE = ["empty", "cut", "another version", "another name", "another scale", "no metadata"]


@pytest.mark.parametrize("kind", [*KINDS_OF_DAMAGE, "a pickle", "endless header"])
def test_files_that_are_not_whole_or_not_ours_are_made_again(kind: str, pairs: list[Pair], folder: Path) -> None:
    prepare(pairs, 4, folder, pixels=True)
    expected = files_of(folder)
    path = path_of(folder, pairs[2])
    path.write_bytes(crafted(path.read_bytes(), kind))
    assert lookup(path, pairs[2], 4) is None
    prepare(pairs, 4, folder, pixels=True)
    assert files_of(folder) == expected


def test_a_flipped_bit_is_found_by_verification(pairs: list[Pair], folder: Path) -> None:
    prepare(pairs, 4, folder, pixels=True)
    expected = files_of(folder)
    path = path_of(folder, pairs[2])
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    prepare(pairs, 4, folder, pixels=True, verify=True)
    assert files_of(folder) == expected


# ---- faults ---------------------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_all_damaged_pairs_are_listed_and_the_others_written(pairs: list[Pair], folder: Path) -> None:
    damage(pairs[1].low)
    damage(pairs[3].high)
    with pytest.raises(BadInput) as refusal:
        prepare(pairs, 4, folder, pixels=True)
    assert [line.split(": damaged")[0] for line in refusal.value.lines] == [str(pairs[3].high), str(pairs[1].low)]
    assert set(files_of(folder)) == {path_of(folder, pair).name for pair in (pairs[0], pairs[2])}


def test_a_disk_too_small_is_refused_before_anything_is_written(
    pairs: list[Pair], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(StorageError, match=r"needs [\d,]+ bytes, 1,000 are free"):
        prepare(pairs, 4, folder, pixels=True)
    assert files_of(folder) == {}


# ---- other processes -------------------------------------------------------------------------------------------------

PREPARE = """
import sys
from pathlib import Path
from competition.data.pairs import find_pairs
from competition.data.preparation import prepare
print("ready", flush=True)
prepare(find_pairs(Path(sys.argv[1]), 4), 4, Path(sys.argv[2]), pixels=True)
"""


def start(root: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREPARE, str(root), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def test_a_second_preparation_waits_for_the_first_one_and_says_so(pairs: list[Pair], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with locked(folder):
        second = start(pairs[0].low.parents[2], folder)
        assert second.stdout and f"waits for pid {os.getpid()} on" in second.stdout.readline()
        assert files_of(folder) == {}
    assert second.wait(60) == 0
    assert set(files_of(folder)) == {path_of(folder, pair).name for pair in pairs}


def many(root: Path, make: Texture, count: int) -> list[Pair]:
    """A contest of `count` pairs of 320 x 320, of few different scenes."""
    highs: list[Bytes] = [make(seed, 320, 320) for seed in range(4)]
    for number in range(count):
        high = np.roll(highs[number % 4], number, axis=0)
        write_png(root / f"train/hr/{number}.png", high)
        write_png(root / f"train/lr/{number}.png", high.reshape(80, 4, 80, 4, 3).mean((1, 3)).astype(np.uint8))
    return find_pairs(root, 4)


@pytest.mark.slow
def test_thirty_kills_leave_nothing_half_made(tmp_path: Path, texture: Texture) -> None:
    pairs, folder = many(tmp_path / "contest", texture, 200), tmp_path / "store"
    begun = time.monotonic()
    assert start(tmp_path / "contest", folder).wait() == 0
    whole_time = time.monotonic() - begun
    expected = files_of(folder)
    chance, cut_short = random.Random(0), 0
    for _ in range(30):
        shutil.rmtree(folder)
        process = start(tmp_path / "contest", folder)
        time.sleep(chance.uniform(0, 0.8 * whole_time))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        standing = [pair for pair in pairs if lookup(path_of(folder, pair), pair, 4)]
        assert all(
            files_of(folder)[path_of(folder, pair).name] == expected[path_of(folder, pair).name] for pair in standing
        )
        cut_short += 0 < len(standing) < len(pairs)
        prepare(pairs, 4, folder, pixels=True)
        assert files_of(folder) == expected
    assert cut_short >= 15
