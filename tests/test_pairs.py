"""The contest's folder: every planted fault is named, honest pairs raise no alarm, and the split is repeatable."""

import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Contest, Texture

from competition.data.pairs import Pair, find_pairs
from competition.data.preparation import prepare
from competition.data.sources import read_pair
from competition.errors import BadInput
from competition.images import Bytes, read_rgb, write_png


def check(root: Path, scale: int = 4) -> None:
    prepare(find_pairs(root, scale), scale, root / "store", pixels=False)


def faults_of(root: Path, scale: int = 4) -> list[str]:
    """The lines with which a contest is refused, paths relative to train/."""
    with pytest.raises(BadInput) as refusal:
        check(root, scale)
    return [line.replace(f"{root}/train/", "") for line in refusal.value.lines]


def low_of(root: Path, name: str = "001.png") -> Path:
    return root / "train/lr" / name


def high_of(root: Path, name: str = "001.png") -> Path:
    return root / "train/hr" / name


def shrunk(high: Bytes, scale: int = 4) -> Bytes:
    return np.asarray(cv2.resize(high, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA), np.uint8)


# ---- sizes and partners ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_healthy_folder_passes_at_every_scale(scale: int, contest: Contest) -> None:
    root = contest(3, scale)
    pairs = find_pairs(root, scale)
    assert [pair.name for pair in pairs] == ["000.png", "001.png", "002.png"]
    for pair in pairs:
        pictures = read_pair(pair, scale)
        assert pair == Pair(pictures.name, low_of(root, pair.name), high_of(root, pair.name))
        assert np.array_equal(pictures.low, read_rgb(pair.low))
        assert np.array_equal(pictures.high, read_rgb(pair.high))


@pytest.mark.parametrize("side", ["lr", "hr"])
def test_a_missing_partner_is_named(side: str, contest: Contest) -> None:
    root = contest()
    (root / "train" / side / "001.png").unlink()
    other = {"lr": "hr", "hr": "lr"}[side]
    (line,) = faults_of(root)
    assert line.startswith(f"{other}/001.png: has no partner")


@pytest.mark.parametrize(("high", "width"), [(92, 96), (96, 97), (95, 96), (48, 48)])
def test_a_wrong_size_is_named_with_both_sizes(high: int, width: int, contest: Contest, texture: Texture) -> None:
    root = contest()
    write_png(high_of(root), texture(1, high, width))
    (line,) = faults_of(root)
    assert line.startswith(f"hr/001.png: {width}x{high} is not 4 times lr/001.png (24x24). Cut or replace")


def test_a_low_picture_off_by_one_is_named(contest: Contest) -> None:
    root = contest()
    write_png(low_of(root), read_rgb(low_of(root))[:-1])
    (line,) = faults_of(root)
    assert line.startswith("hr/001.png: 96x96 is not 4 times lr/001.png (24x23)")


def test_swapped_folders_are_recognised(contest: Contest) -> None:
    root = contest()
    train = root / "train"
    os.rename(train / "lr", train / "x")
    os.rename(train / "hr", train / "lr")
    os.rename(train / "x", train / "hr")
    lines = faults_of(root)
    assert len(lines) == 3
    assert all(line.endswith("Swap the folders lr and hr") for line in lines)


@pytest.mark.parametrize("side", ["lr", "hr"])
def test_a_missing_or_empty_folder_is_named(side: str, contest: Contest) -> None:
    root = contest()
    shutil.rmtree(root / "train" / side)
    assert faults_of(root)[0].startswith(f"{side}: No such file or directory")
    (root / "train" / side).mkdir()
    assert faults_of(root)[0].startswith(f"{side}: holds no PNG pictures")


# ---- content --------------------------------------------------------------------------------------------------------


def test_the_low_picture_of_another_scene_is_named(contest: Contest) -> None:
    root = contest()
    shutil.copy(low_of(root, "002.png"), low_of(root, "001.png"))
    (line,) = faults_of(root)
    assert line.startswith("lr/001.png: shows another scene than hr/001.png")


def test_scenes_of_low_contrast_are_told_apart_too(contest: Contest, texture: Texture) -> None:
    def foggy(seed: int) -> Bytes:
        return (200 + (texture(seed) - 128.0) / 2).clip(0, 255).astype(np.uint8)

    root = contest()
    write_png(high_of(root), foggy(1))
    write_png(low_of(root), shrunk(foggy(2)))
    (line,) = faults_of(root)
    assert line.startswith("lr/001.png: shows another scene")
    write_png(low_of(root), shrunk(foggy(1)))
    check(root)


def test_a_black_low_picture_of_a_white_scene_is_named(contest: Contest) -> None:
    root = contest()
    write_png(high_of(root), np.full((96, 96, 3), 255, np.uint8))
    write_png(low_of(root), np.zeros((24, 24, 3), np.uint8))
    assert [line.split(". ")[0] for line in faults_of(root)] == [
        "hr/001.png: is all one colour, (255, 255, 255)",
        "lr/001.png: is all one colour, (0, 0, 0)",
    ]


@pytest.mark.parametrize("shift", [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])
def test_a_low_picture_shifted_by_one_pixel_is_named_with_the_shift(shift: tuple[int, int], contest: Contest) -> None:
    root = contest()
    low = read_rgb(low_of(root))
    write_png(low_of(root), np.roll(low, shift, (0, 1)))
    (line,) = faults_of(root)
    assert line.startswith(f"lr/001.png: shifted by about ({shift[0]}.0, {shift[1]}.0) low pixels down and right")


def test_a_high_picture_that_is_only_enlarged_is_named(contest: Contest) -> None:
    root = contest()
    low = read_rgb(low_of(root))
    write_png(high_of(root), np.asarray(cv2.resize(low, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8))
    (line,) = faults_of(root)
    assert line.startswith("hr/001.png: is only an enlargement of lr/001.png")


def test_a_damaged_picture_is_named(contest: Contest) -> None:
    root = contest()
    content = bytearray(low_of(root).read_bytes())
    content[100] ^= 1
    low_of(root).write_bytes(content)
    (line,) = faults_of(root)
    assert line.startswith("lr/001.png: damaged")


# ---- honest pairs ---------------------------------------------------------------------------------------------------

Degradation = Callable[[Bytes], Bytes]


def bicubic(high: Bytes) -> Bytes:
    # The blur keeps OpenCV's bicubic, which looks at 4x4 pixels however much it shrinks, from aliasing.
    soft = cv2.GaussianBlur(high, (0, 0), 1.5)
    return np.asarray(cv2.resize(soft, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_CUBIC), np.uint8)


def every_fourth_pixel(high: Bytes) -> Bytes:
    return np.ascontiguousarray(high[::4, ::4])


def blurred(high: Bytes) -> Bytes:
    return shrunk(np.asarray(cv2.GaussianBlur(high, (0, 0), 4), np.uint8))


def noisy(high: Bytes) -> Bytes:
    noise = np.random.default_rng(7).normal(0, 20, (high.shape[0] // 4, high.shape[1] // 4, 3))
    return np.asarray((shrunk(high) + noise).clip(0, 255).round(), np.uint8)


def as_jpeg(high: Bytes) -> Bytes:
    _, content = cv2.imencode(".jpg", shrunk(high), [cv2.IMWRITE_JPEG_QUALITY, 20])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


DEGRADATIONS = [shrunk, bicubic, every_fourth_pixel, blurred, noisy, as_jpeg]


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_honest_degradations_raise_no_alarm(degrade: Degradation, contest: Contest) -> None:
    root = contest(6)
    for name in os.listdir(root / "train/hr"):
        write_png(low_of(root, name), degrade(read_rgb(high_of(root, name))))
    check(root)


def smooth_gradient() -> Bytes:
    rows, columns = np.mgrid[:96, :96]
    return np.stack([rows * 2, columns * 2, rows + columns], -1).astype(np.uint8)


def out_of_focus() -> Bytes:
    generator = np.random.default_rng(3)
    plane = cv2.GaussianBlur(generator.normal(size=(96, 96, 3)), (0, 0), 8)
    return np.asarray((128 + 40 * plane / plane.std()).clip(0, 255), np.uint8)


def faintly_noisy() -> Bytes:
    return (77 + np.random.default_rng(3).integers(0, 3, (96, 96, 3))).astype(np.uint8)


@pytest.mark.parametrize("make", [smooth_gradient, out_of_focus, faintly_noisy])
def test_smooth_pictures_raise_no_alarm(make: Callable[[], Bytes], contest: Contest) -> None:
    root = contest()
    write_png(high_of(root), make())
    write_png(low_of(root), shrunk(make()))
    check(root)


def link_pairs(root: Path, source: Path, names: Sequence[str], label: str) -> None:
    for part, folder in (("lr", "lr_bicubic_x4"), ("hr", "hr")):
        (root / "train" / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / "train" / part / f"{label}_{name}").symlink_to((source / folder / name).resolve())


def photographs(shared_data: Path, label: str) -> list[str]:
    names = sorted(path.name for path in (shared_data / label / "hr").glob("*.png"))
    assert names, f"{shared_data / label} holds no pictures"
    return names


@pytest.mark.parametrize("label", ["set5", "bsd100", "urban100"])
def test_photographs_raise_no_alarm(label: str, shared_data: Path, tmp_path: Path) -> None:
    link_pairs(tmp_path, shared_data / label, photographs(shared_data, label), label)
    check(tmp_path)


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_photographs_raise_no_alarm_however_degraded(degrade: Degradation, shared_data: Path, tmp_path: Path) -> None:
    for label in ("set5", "bsd100", "urban100"):
        for name in photographs(shared_data, label)[::30]:
            high = read_rgb(shared_data / label / "hr" / name)
            high = high[: high.shape[0] // 4 * 4, : high.shape[1] // 4 * 4]
            write_png(high_of(tmp_path, f"{label}_{name}"), high)
            write_png(low_of(tmp_path, f"{label}_{name}"), degrade(high))
    check(tmp_path)


def test_faults_planted_among_photographs_are_found(shared_data: Path, tmp_path: Path) -> None:
    names = photographs(shared_data, "bsd100")[:60]
    link_pairs(tmp_path, shared_data / "bsd100", names, "bsd100")

    def replace(path: Path, pixels: Bytes) -> None:
        path.unlink()
        write_png(path, pixels)

    expected = {}
    lows = [low_of(tmp_path, f"bsd100_{name}") for name in names]
    highs = [high_of(tmp_path, f"bsd100_{name}") for name in names]
    pixels = [read_rgb(path) for path in lows]
    landscape = [index for index, low in enumerate(pixels) if low.shape[0] < low.shape[1]]
    for index, other in itertools.pairwise(landscape[:6]):
        replace(lows[index], pixels[other])
        expected[lows[index]] = "shows another scene"
    for index in landscape[6:9]:
        replace(lows[index], np.roll(pixels[index], 1, 1))
        expected[lows[index]] = "shifted by about (0.0, 1.0) low pixels"
    for index, method in zip(landscape[9:12], (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_CUBIC), strict=True):
        enlarged = cv2.resize(pixels[index], None, fx=4, fy=4, interpolation=method)
        replace(highs[index], np.asarray(enlarged, np.uint8))
        expected[highs[index]] = "is only an enlargement"
    with pytest.raises(BadInput) as refusal:
        check(tmp_path)
    assert len(refusal.value.lines) == len(expected) == 11
    for path, cause in expected.items():
        assert any(line.startswith(f"{path}: {cause}") for line in refusal.value.lines)


# ---- names ----------------------------------------------------------------------------------------------------------


def rename(root: Path, new: str) -> None:
    """Rename pair 001.png."""
    for side in ("lr", "hr"):
        os.rename(root / "train" / side / "001.png", root / "train" / side / new)


@pytest.mark.parametrize(
    "name",
    ["a b.png", " .png", "-rf.png", "--help.png", "ä.png", "日本.png", "001.PNG", "n" * 251 + ".png", "a;b'c\".png"],
)
def test_unusual_names_are_usable(name: str, contest: Contest) -> None:
    root = contest()
    rename(root, name)
    assert name in {pair.name for pair in find_pairs(root, 4)}
    check(root)


@pytest.mark.parametrize("name", ["a\nb.png", "a\tb.png", "a\x7f.png", "a\u202eb.png", os.fsdecode(b"a\xff.png")])
def test_unprintable_names_are_refused_on_printable_lines(name: str, contest: Contest) -> None:
    root = contest()
    rename(root, name)
    lines = faults_of(root)
    assert len(lines) == 2
    assert all("unprintable characters in the name" in line and line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.png", "A.png"), ("a.png", "a.PNG"), ("\u00e4.png", "a\u0308.png"), ("stra\u00dfe.png", "strasse.png")],
    ids=["case", "suffix", "unicode form", "case folding"],
)
def test_names_that_some_systems_take_for_one_are_refused(first: str, second: str, contest: Contest) -> None:
    root = contest()
    for side in ("lr", "hr"):
        folder = root / "train" / side
        os.rename(folder / "001.png", folder / first)
        os.rename(folder / "002.png", folder / second)
    lines = faults_of(root)
    assert [line.split("/")[0] for line in lines] == ["hr", "lr"]
    assert all("but for case or Unicode form" in line and first in line and second in line for line in lines)


def test_partners_that_differ_in_case_are_no_pair(contest: Contest) -> None:
    root = contest()
    os.rename(low_of(root), low_of(root, "001.PNG"))
    assert [line.split(" of ")[0] for line in faults_of(root)] == [
        "hr/001.png: has no partner",
        "lr/001.PNG: has no partner",
    ]


def test_links_that_lead_nowhere_and_other_kinds_of_file_are_refused(contest: Contest, deadline: None) -> None:
    root = contest(6)
    for name in ("000.png", "001.png", "002.png", "003.png"):
        low_of(root, name).unlink()
    low_of(root, "000.png").symlink_to("000.png")
    low_of(root, "001.png").symlink_to("nowhere.png")
    low_of(root, "002.png").mkdir()
    os.mkfifo(low_of(root, "003.png"))
    assert [line.split(". ")[0] for line in faults_of(root)] == [
        "lr/000.png: link that leads back to itself",
        "lr/001.png: dangling link",
        "lr/002.png: is a folder",
        "lr/003.png: is a FIFO",
    ]


def test_other_files_in_both_folders_are_listed_and_hidden_ones_passed_over(contest: Contest) -> None:
    root = contest()
    (root / "train/lr/.DS_Store").touch()
    check(root)
    (root / "train/lr/photo.jpg").touch()
    (root / "train/hr/Thumbs.db").touch()
    assert [line.split(". Convert")[0] for line in faults_of(root)] == [
        "hr/Thumbs.db: not named .png",
        "lr/photo.jpg: not named .png",
    ]


def test_all_faults_are_listed_at_once(contest: Contest, texture: Texture) -> None:
    root = contest(8)
    low_of(root, "001.png").unlink()
    high_of(root, "002.png").unlink()
    write_png(high_of(root, "003.png"), texture(3, 96, 92))
    low_of(root, "004.png").write_bytes(b"")
    high_of(root, "005.png").write_bytes(b"GIF89a")
    high_of(root, "006.png").write_bytes(b"GIF89a")
    low_of(root, "006.png").write_bytes(b"GIF89a")
    assert [line.split(": ")[0] for line in faults_of(root)] == [
        "hr/001.png",
        "hr/003.png",
        "hr/005.png",
        "hr/006.png",
        "lr/002.png",
        "lr/004.png",
        "lr/006.png",
    ]


def test_all_faults_of_content_are_listed_at_once(contest: Contest) -> None:
    root = contest(5)
    shutil.copy(low_of(root, "002.png"), low_of(root, "001.png"))
    write_png(low_of(root, "003.png"), np.roll(read_rgb(low_of(root, "003.png")), 1, 0))
    content = low_of(root, "004.png").read_bytes()
    low_of(root, "004.png").write_bytes(content[:-20])
    assert [line.split(": ")[0] for line in faults_of(root)] == ["lr/001.png", "lr/003.png", "lr/004.png"]
