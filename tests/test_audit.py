"""The audit: every kind of planted fault is named with file and cause, honest pairs raise no alarm, reports agree."""

import html.parser
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from conftest import Contest, Texture
from hypothesis import given
from hypothesis import strategies as st
from picture_files import as_nobody, chunk, exif, header_png, saved, with_chunk
from PIL import Image
from shared_contest import lay_out

from competition.analysis import measure
from competition.analysis.inspect import inspect
from competition.analysis.report import Report
from competition.audit import main as audit
from competition.data.degrade import Degradation, degrade
from competition.data.exclusions import add_exclusions, read_exclusions
from competition.demo import draw_contest
from competition.errors import BadInput, UsageError
from competition.images import Bytes, encode_png, read_rgb, read_rgb_and_notes, write_png

PAIRS, SIDE = 300, 256


def shrunk(high: Bytes) -> Bytes:
    return np.asarray(cv2.resize(high, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), np.uint8)


def scene(seed: int) -> Bytes:
    """Structure at every size, as in photographs, quickly made."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((SIDE, SIDE, 3))
    for cell in (2, 4, 8, 16, 32, 64):
        octave = generator.normal(size=(SIDE // cell, SIDE // cell, 3))
        picture += cv2.resize(octave, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * cell**0.5
    return np.asarray((128 + 35 * picture / picture.std()).clip(0, 255).round(), np.uint8)


# ---- one plant for each kind of fault -------------------------------------------------------------------------------


class Spot(NamedTuple):
    """A healthy pair to spoil, and another one that stays as it is."""

    low: Path
    high: Path
    other_low: Path
    other_high: Path

    def keep(self, low: Bytes, high: Bytes) -> None:
        write_png(self.low, low)
        write_png(self.high, high)


Plant = Callable[[Spot], None]


def low_is(content: Callable[[Bytes], bytes]) -> Plant:
    """Other bytes in the place of the low picture, made from its pixels."""
    return lambda spot: put(spot.low, content(read_rgb(spot.low)))


def high_is(content: Callable[[Bytes], bytes]) -> Plant:
    return lambda spot: put(spot.high, content(read_rgb(spot.high)))


def low_shows(change: Callable[[Bytes], Bytes]) -> Plant:
    return lambda spot: write_png(spot.low, np.ascontiguousarray(change(read_rgb(spot.low))))


def put(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def instead(make: Callable[[Path], object]) -> Plant:
    """Something that is no file in the place of the high picture."""

    def plant(spot: Spot) -> None:
        spot.high.unlink()
        make(spot.high)

    return plant


def as_kind(mode: str, kind: str, **options: object) -> Callable[[Bytes], bytes]:
    return lambda pixels: saved(pixels, mode, kind, **options)


def deep(factor: int) -> Callable[[Bytes], bytes]:
    return lambda pixels: encode_png(pixels.astype(np.uint16) * factor)


def flipped(position: int) -> Callable[[Bytes], bytes]:
    def change(pixels: Bytes) -> bytes:
        content = bytearray(encode_png(pixels))
        content[position] ^= 1
        return bytes(content)

    return change


def with_data(kind: bytes, data: bytes) -> Callable[[Bytes], bytes]:
    return lambda pixels: with_chunk(encode_png(pixels), kind, data)


def animated(pixels: Bytes) -> bytes:
    return saved(pixels, "RGB", "PNG", save_all=True, append_images=[Image.fromarray(pixels[::-1])])


def text_bomb(pixels: Bytes) -> bytes:
    content = encode_png(pixels)
    return content[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 7_000_000)) * 50 + content[33:]


def swap(spot: Spot) -> None:
    low, high = read_rgb(spot.low), read_rgb(spot.high)
    spot.keep(high, low)


def high_moved(pixels: int) -> Plant:
    """The low picture of a high one that lay `pixels` further to the right."""
    return lambda spot: write_png(spot.low, shrunk(np.roll(read_rgb(spot.high), pixels, 1)))


def enlarge(spot: Spot) -> None:
    low = read_rgb(spot.low)
    enlarged = cv2.resize(low, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    write_png(spot.high, np.asarray(enlarged, np.uint8))


def duplicate(spot: Spot) -> None:
    shutil.copy(spot.other_low, spot.low)
    shutil.copy(spot.other_high, spot.high)


def nearly_duplicate(spot: Spot) -> None:
    brighter = np.clip(read_rgb(spot.other_high).astype(int) + 3, 0, 255).astype(np.uint8)
    _, content = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 90])
    high = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    spot.keep(shrunk(high), high)


def all_grey(spot: Spot) -> None:
    spot.keep(np.full((SIDE // 4, SIDE // 4, 3), 90, np.uint8), np.full((SIDE, SIDE, 3), 90, np.uint8))


def renamed(change: Callable[[str], str]) -> Plant:
    def plant(spot: Spot) -> None:
        for path in (spot.low, spot.high):
            path.rename(path.with_name(change(path.name)))

    return plant


def twins(change: Callable[[str], str]) -> Plant:
    """The same pair once more, under a name that differs only for some systems."""

    def plant(spot: Spot) -> None:
        for path in (spot.low, spot.high):
            shutil.copy(path, path.with_name(change(path.name)))

    return plant


def unicode_twins(spot: Spot) -> None:
    for path in (spot.low, spot.high):
        composed, decomposed = (unicodedata.normalize(form, f"{path.stem}é.png") for form in ("NFC", "NFD"))
        shutil.copy(path, path.with_name(decomposed))
        path.rename(path.with_name(composed))


def misnamed(spot: Spot) -> None:
    spot.high.rename(spot.high.with_suffix(".jpg"))


def in_test(spot: Spot) -> None:
    shutil.copy(spot.low, spot.low.parents[2] / "test/lr" / spot.low.name)


def darker(low: Bytes) -> Bytes:
    return (low * 0.4).astype(np.uint8)


def slightly_darker(low: Bytes) -> Bytes:
    return (low * 0.9).astype(np.uint8)


class Row(NamedTuple):
    """What is planted, and what the audit shall say: severity and kind of each file of the pair NAME."""

    fault: str
    plant: Plant
    said: dict[str, str]


ADOBE = b"icc\0\0" + zlib.compress(b"Adobe RGB (1998)")
WRONG_PARTNER = {"hr/NAME.jpg": "error not named .png", "lr/NAME.png": "error missing partner"}
IN_TRAIN = {"test/lr/NAME.png": "note test picture in train"}

TABLE = [
    Row("zero bytes", low_is(lambda _: b""), {"lr/NAME.png": "error empty"}),
    Row("text", high_is(lambda _: b"no picture\n"), {"hr/NAME.png": "error not png"}),
    Row("directory", instead(os.mkdir), {"hr/NAME.png": "error folder"}),
    Row("FIFO", instead(os.mkfifo), {"hr/NAME.png": "error fifo"}),
    Row("dangling link", instead(lambda path: path.symlink_to("no.png")), {"hr/NAME.png": "error dangling link"}),
    Row("link loop", instead(lambda path: path.symlink_to(path.name)), {"hr/NAME.png": "error link loop"}),
    Row("unreadable", lambda spot: spot.high.chmod(0), {"hr/NAME.png": "error unreadable"}),
    Row("truncated", high_is(lambda pixels: encode_png(pixels)[:-3000]), {"hr/NAME.png": "error truncated"}),
    Row("byte changed in data", high_is(flipped(5000)), {"hr/NAME.png": "error checksum"}),
    Row("byte changed in header", low_is(flipped(18)), {"lr/NAME.png": "error damaged header"}),
    Row("pixels end early", low_is(lambda _: header_png(64, 64)), {"lr/NAME.png": "error damaged data"}),
    Row("JPEG", high_is(as_kind("RGB", "JPEG")), {"hr/NAME.png": "error not png"}),
    Row("GIF", high_is(as_kind("P", "GIF")), {"hr/NAME.png": "error not png"}),
    Row("BMP", high_is(as_kind("RGB", "BMP")), {"hr/NAME.png": "error not png"}),
    Row("TIFF", high_is(as_kind("RGB", "TIFF")), {"hr/NAME.png": "error not png"}),
    Row("WebP", high_is(as_kind("RGB", "WEBP")), {"hr/NAME.png": "error not png"}),
    Row("HTML", low_is(lambda _: b"<!DOCTYPE html><title>404</title>"), {"lr/NAME.png": "error not png"}),
    Row("SVG", low_is(lambda _: b'<svg xmlns="http://www.w3.org/2000/svg"/>'), {"lr/NAME.png": "error not png"}),
    Row("OpenEXR", low_is(lambda _: b"v/1\x01" + bytes(100)), {"lr/NAME.png": "error not png"}),
    Row("PNG named .jpg", misnamed, WRONG_PARTNER),
    Row("grey", low_is(as_kind("L", "PNG")), {"lr/NAME.png": "error grey"}),
    Row("grey with alpha", low_is(as_kind("LA", "PNG")), {"lr/NAME.png": "error grey with alpha"}),
    Row("palette", low_is(as_kind("P", "PNG")), {"lr/NAME.png": "error palette"}),
    Row("1 bit", low_is(as_kind("1", "PNG")), {"lr/NAME.png": "error 1 bit"}),
    Row("RGBA", low_is(as_kind("RGBA", "PNG")), {"lr/NAME.png": "error rgba"}),
    Row("16 bits", low_is(deep(257)), {"lr/NAME.png": "error 16 bit"}),
    Row("16 bits, all dark", low_is(deep(1)), {"lr/NAME.png": "error 16 bit"}),
    Row("stored turned", low_is(with_data(b"eXIf", exif(6))), {"lr/NAME.png": "error stored turned"}),
    Row("animated", low_is(animated), {"lr/NAME.png": "error animated"}),
    Row("transparent", low_is(with_data(b"tRNS", bytes(6))), {"lr/NAME.png": "error transparent"}),
    Row("gamma", low_is(with_data(b"gAMA", struct.pack(">I", 100_000))), {"lr/NAME.png": "warning gAMA chunk"}),
    Row("colour profile", low_is(with_data(b"iCCP", ADOBE)), {"lr/NAME.png": "warning iCCP chunk"}),
    Row("huge header", low_is(lambda _: header_png(60_000, 60_000)), {"lr/NAME.png": "error too large"}),
    Row("text bomb", low_is(text_bomb), {}),
    Row("no low picture", lambda spot: spot.low.unlink(), {"hr/NAME.png": "error missing partner"}),
    Row("no high picture", lambda spot: spot.high.unlink(), {"lr/NAME.png": "error missing partner"}),
    Row("off by one", low_shows(lambda low: low[:-1]), {"hr/NAME.png": "error wrong size"}),
    Row("not a quarter", low_shows(lambda low: low[::2, ::2]), {"hr/NAME.png": "error wrong size"}),
    Row("swapped files", swap, {"hr/NAME.png": "error swapped"}),
    Row("other scene", lambda spot: put(spot.low, spot.other_low.read_bytes()), {"lr/NAME.png": "error other scene"}),
    Row("shifted by a low pixel", low_shows(lambda low: np.roll(low, 1, 0)), {"lr/NAME.png": "error shifted"}),
    Row("shifted by a high pixel", high_moved(1), {"lr/NAME.png": "warning shifted"}),
    Row("enlarged", enlarge, {"hr/NAME.png": "error enlarged"}),
    Row("duplicate", duplicate, {"lr/NAME.png": "warning duplicate"}),
    Row("near-duplicate", nearly_duplicate, {"lr/NAME.png": "warning near-duplicate"}),
    Row("constant", all_grey, {"lr/NAME.png": "error constant", "hr/NAME.png": "error constant"}),
    Row("channels swapped", low_shows(lambda low: low[..., ::-1]), {"lr/NAME.png": "error channels swapped"}),
    Row("much darker", low_shows(darker), {"lr/NAME.png": "error brightness"}),
    Row("slightly darker", low_shows(slightly_darker), {"lr/NAME.png": "warning brightness"}),
    Row("turned", low_shows(np.rot90), {"lr/NAME.png": "error turned"}),
    Row("mirrored", low_shows(lambda low: low[:, ::-1]), {"lr/NAME.png": "error turned"}),
    Row("case twins", twins(str.upper), {f"{side}/NAME.png": "error name clash" for side in ("lr", "hr")}),
    Row("Unicode twins", unicode_twins, {f"{side}/NAMEé.png": "error name clash" for side in ("lr", "hr")}),
    Row(
        "unprintable name",
        renamed(lambda name: name.replace(".", "\n.")),
        {f"{side}/NAME\\n.png": "error unprintable name" for side in ("lr", "hr")},
    ),
    Row(
        "leading dash",
        renamed(lambda name: f"-{name}"),
        {f"{side}/-NAME.png": "note leading dash" for side in ("lr", "hr")},
    ),
    Row("low picture in test", in_test, IN_TRAIN),
]


@pytest.fixture(scope="module")
def planted() -> Iterator[Path]:
    """A contest of PAIRS pairs and two test pictures, the last pairs spoilt by the rows of the table."""
    # Beside pytest's own folders, which only their owner may enter: one fault needs another user.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder, "contest")
        for number in range(PAIRS + 2):
            high = scene(number)
            if number < PAIRS:
                write_png(root / "train/hr" / f"{name_of(number)}.png", high)
            write_png(root / ("train" if number < PAIRS else "test") / "lr" / f"{name_of(number)}.png", shrunk(high))
        for number, row in enumerate(TABLE):
            spoilt, other = (f"{name_of(which)}.png" for which in (PAIRS - len(TABLE) + number, number))
            folders = root / "train/lr", root / "train/hr"
            row.plant(Spot(*(folder / name for name in (spoilt, other) for folder in folders)))
        yield root


def name_of(number: int) -> str:
    return f"pair{number:03d}"


@pytest.fixture(scope="module")
def report(planted: Path) -> Report:
    with as_nobody():
        return inspect(planted, 4, quick=True)


def said(report: Report) -> Counter[tuple[str, str]]:
    """(file, severity and kind) of each finding."""
    root = report.root
    return Counter(
        (
            finding.fault.subject.replace(f"{root}/train/", "").replace(f"{root}/", ""),
            f"{finding.severity} {finding.fault.kind}",
        )
        for finding in report.findings
    )


@pytest.mark.parametrize("number", range(len(TABLE)), ids=lambda number: TABLE[number].fault)
def test_each_planted_fault_is_named_with_its_file(number: int, report: Report) -> None:
    name = name_of(PAIRS - len(TABLE) + number)
    expected = {subject.replace("NAME", name): what for subject, what in TABLE[number].said.items()}
    about = {subject: what for subject, what in said(report) if name in subject}
    assert about == expected


def test_no_file_is_named_twice_and_no_honest_pair_at_all(report: Report) -> None:
    found = said(report)
    assert set(found.values()) == {1}
    expected = sum(len(row.said) for row in TABLE)
    assert len(found) == expected, [item for item in found if int(item[0].split("pair")[1][:3]) < PAIRS - len(TABLE)]


def test_at_least_forty_kinds_of_fault_are_planted() -> None:
    assert len([row for row in TABLE if row.said]) >= 40
    assert len({what for row in TABLE for what in row.said.values()}) >= 35


# ---- honest contests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_photographs_raise_no_alarm(quick: bool, shared_data: Path, tmp_path: Path) -> None:
    lay_out(shared_data, tmp_path, "all")
    report = inspect(tmp_path, 4, quick)
    assert report.findings == ()
    assert len(report.pairs) == 170 and len(report.test) == 18


@pytest.mark.slow
def test_the_demo_raises_no_alarm(tmp_path: Path) -> None:
    draw_contest(tmp_path, 0)
    report = inspect(tmp_path, 4)
    assert report.findings == ()
    assert len(report.pairs) == 16 and len(report.test) == 3


# ---- folders --------------------------------------------------------------------------------------------------------


def small(root: Path) -> list[tuple[str, str]]:
    return sorted(said(inspect(root, 4)))


@pytest.mark.parametrize("missing", ["", "train"])
def test_a_folder_without_train_is_one_clear_error(missing: str, contest: Contest) -> None:
    root = contest()
    shutil.rmtree(root / missing)
    with pytest.raises(BadInput) as refusal:
        audit([str(root)])
    (line,) = refusal.value.lines
    cause = "holds no folder train" if missing else "no such folder"
    assert line == f"{root}: {cause}. Give a folder with train/lr and train/hr"


def test_a_missing_side_is_one_error(contest: Contest) -> None:
    root = contest()
    shutil.rmtree(root / "train/hr")
    assert small(root) == [("hr", "error missing folder")]


def test_swapped_folders_are_one_error(contest: Contest) -> None:
    root = contest(4)
    for old, new in (("lr", "x"), ("hr", "lr"), ("x", "hr")):
        (root / "train" / old).rename(root / "train" / new)
    assert small(root) == [("train", "error swapped folders")]


def test_extra_folders_are_noted_and_hidden_files_passed_over(contest: Contest) -> None:
    root = contest()
    (root / "train/mid").mkdir()
    (root / "train/lr/.DS_Store").touch()
    (root / ".cache").mkdir()
    assert small(root) == [("mid", "note extra folder")]


def test_faulty_test_pictures_are_errors_that_no_pair_pays_for(contest: Contest) -> None:
    root = contest()
    (root / "test/lr").mkdir(parents=True)
    (root / "test/lr/000.png").touch()
    report = inspect(root, 4)
    assert set(said(report)) == {("test/lr/000.png", "error empty")}
    assert report.errors_by_name() == {}


def test_another_scale_is_audited_by_its_own_arithmetic(contest: Contest) -> None:
    root = contest(2, scale=3)
    assert inspect(root, 3).findings == ()
    assert {kind for _, kind in small(root)} == {"error wrong size"}
    with pytest.raises(UsageError, match="--scale"):
        audit([str(root), "--scale", "0"])


def test_an_unusual_size_is_noted(contest: Contest, texture: Texture) -> None:
    root = contest(24)
    high = texture(99, 96, 128)
    write_png(root / "train/hr/023.png", high)
    write_png(root / "train/lr/023.png", shrunk(high))
    assert small(root) == [("lr/023.png", "note unusual size")]


@pytest.mark.parametrize("size", [(1, 2), (1, 50), (7, 7), (8, 8), (15, 16), (16, 16), (33, 17)])
def test_pictures_of_a_few_pixels_can_be_audited(size: tuple[int, int], texture: Texture, tmp_path: Path) -> None:
    high = texture(0, 4 * size[0], 4 * size[1])
    write_png(tmp_path / "train/hr/a.png", high)
    write_png(tmp_path / "train/lr/a.png", shrunk(high))
    write_png(tmp_path / "test/lr/b.png", shrunk(high)[::-1])
    report = inspect(tmp_path, 4)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    assert report.pairs[0].low_size == size[::-1]


# ---- reports --------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The tags and the text of a page; every tag must be closed in its turn."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.sources: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open += [tag] * (tag not in ("meta", "img", "br"))
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder for everybody: pytest's own are closed to others again whenever another pytest begins."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_reports_agree_and_the_status_says_that_there_are_errors(planted: Path, open_folder: Path) -> None:
    planned = {name: open_folder / name for name in ("a.json", "a.html", "list.txt")}
    with as_nobody_in(open_folder), pytest.raises(BadInput) as refusal:
        audit([str(planted), "--quick", "--json", str(planned["a.json"]), "--html", str(planned["a.html"])])
    found = json.loads(planned["a.json"].read_text())
    assert found["version"] == 1 and len(found["pairs"]) > 290 and len(found["test"]) == 3
    errors = [one for one in found["findings"] if one["severity"] == "error"]
    assert found["counts"]["error"] == len(errors)
    assert refusal.value.lines[0].startswith(f"{planted}: {len(errors)} errors, ")
    assert str(planned["a.html"]) in refusal.value.lines[0]
    page = Page(planned["a.html"].read_text())
    assert all(one["subject"] in page.text and one["cause"] in page.text for one in found["findings"])
    assert page.tags["img"] > 50 and page.tags["svg"] >= 5
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)


@contextmanager
def as_nobody_in(folder: Path) -> Iterator[None]:
    """Without the rights of root, but for writing into one folder."""
    parents = [parent for parent in (folder, *folder.parents) if parent.is_relative_to(tempfile.gettempdir())]
    modes = {parent: parent.stat().st_mode for parent in parents[:-1]}
    for parent in modes:
        parent.chmod(0o777)
    try:
        with as_nobody():
            yield
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode)


HOSTILE = ["<script>alert(1)</script>.png", '"><img src=x onerror=alert(1)>.png', "[red]a[/red].png", "&lt;b&gt;.png"]


@pytest.mark.parametrize("name", [name.replace("/", "\u2215") for name in HOSTILE])
def test_names_are_text_and_never_markup(
    name: str, contest: Contest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = contest()
    (root / "train/lr/001.png").rename(root / "train/lr" / name)
    with pytest.raises(BadInput):
        audit([str(root), "--html", str(tmp_path / "a.html")])
    assert name in capsys.readouterr().out
    content = (tmp_path / "a.html").read_text()
    page = Page(content)
    assert name in page.text
    assert page.tags["script"] == 0
    assert all(source.startswith("data:") for source in page.sources)
    assert "default-src 'none'" in content


def test_names_that_are_no_text_can_be_reported(contest: Contest, tmp_path: Path) -> None:
    root = contest()
    name = os.fsdecode(b"a\xff.png")
    for side in ("lr", "hr"):
        (root / "train" / side / "001.png").rename(root / "train" / side / name)
    with pytest.raises(BadInput):
        audit([str(root), "--html", str(tmp_path / "a.html"), "--json", str(tmp_path / "a.json")])
    assert {*json.loads((tmp_path / "a.json").read_text())["findings"][0]["names"]} == {name}


def test_a_healthy_contest_ends_with_status_0_and_is_left_as_it_is(contest: Contest, tmp_path: Path) -> None:
    root = contest()
    before = sorted(root.rglob("*"))
    report = tmp_path / "new folder" / "a.json"
    done = command(root, "--json", report)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{root}: no errors, 0 warnings, 0 notes"
    assert sorted(root.rglob("*")) == before
    assert json.loads(report.read_text())["findings"] == []


def test_errors_end_with_status_3_and_one_line(contest: Contest) -> None:
    root = contest()
    (root / "train/lr/001.png").write_bytes(b"")
    done = command(root)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {root}: 1 error, 0 warnings, 0 notes. See above")


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "competition.audit", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_ctrl_c_stops_an_audit_before_its_end(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def read_until_interrupted(path: Path) -> object:
        read.append(path)
        if len(read) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return read_rgb_and_notes(path)

    monkeypatch.setattr(measure, "read_rgb_and_notes", read_until_interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs beside them without
    with pytest.raises(KeyboardInterrupt):
        inspect(planted, 4)
    assert len(read) < PAIRS


# ---- measurements ---------------------------------------------------------------------------------------------------


def test_a_pair_is_measured(planted: Path, report: Report) -> None:
    low, high = (read_rgb(planted / "train" / side / "pair000.png") for side in ("lr", "hr"))
    (record,) = [pair for pair in report.pairs if pair.name == "pair000.png"]
    assert (record.low_size, record.high_size) == ((64, 64), (256, 256))
    enlarged = cv2.resize(low, (256, 256), interpolation=cv2.INTER_CUBIC).astype(float)
    assert record.psnr_bicubic == pytest.approx(10 * np.log10(255**2 / np.mean((enlarged - high) ** 2)))
    assert record.psnr_reduced is None or record.psnr_reduced > 50
    assert record.registration is not None
    assert record.registration["verdict"] == "aligned"
    assert record.registration["gain"] == pytest.approx([1, 1, 1], abs=0.02)
    assert abs(record.registration["down"]) < 0.05 and abs(record.registration["right"]) < 0.05


def test_a_shift_and_a_brightness_are_measured(report: Report) -> None:
    rows = {row.fault: name_of(PAIRS - len(TABLE) + number) for number, row in enumerate(TABLE)}
    measured = {finding.names[0]: finding.measured for finding in report.findings if finding.severity == "warning"}
    shift = measured[f"{rows['shifted by a high pixel']}.png"]
    assert shift["right"] == pytest.approx(0.25, abs=0.03) and shift["down"] == pytest.approx(0, abs=0.03)
    assert measured[f"{rows['slightly darker']}.png"]["gain"] == pytest.approx(0.9, abs=0.01)


WAYS = [Degradation(resize="area"), Degradation(resize="matlab_bicubic", blur=1.5), Degradation(resize="area", jpeg=70)]


def test_pairs_are_sorted_by_how_they_were_made(tmp_path: Path) -> None:
    for number in range(7):
        high = scene(number)
        write_png(tmp_path / f"train/hr/{number}.png", high)
        low = degrade(high, WAYS[number % 3], np.random.default_rng(number))
        write_png(tmp_path / f"train/lr/{number}.png", low)
    audit([str(tmp_path), "--json", str(tmp_path / "a.json")])
    found = json.loads((tmp_path / "a.json").read_text())
    assert [pair["degradation"]["kind"] for pair in found["pairs"]] == [WAYS[n % 3].kind for n in range(7)]
    largest, *others = found["clusters"]
    assert (largest["kind"], largest["names"]) == ("area", ["0.png", "3.png", "6.png"])
    assert {cluster["kind"]: cluster["count"] for cluster in others} == {"matlab_bicubic+blur": 2, "area+jpeg": 2}
    assert all(found["clusters"][pair["cluster"]]["kind"] == pair["degradation"]["kind"] for pair in found["pairs"])
    strengths = {cluster["kind"]: cluster for cluster in found["clusters"]}
    assert strengths["area+jpeg"]["jpeg"] == [70, 70, 70] and largest["jpeg"] is None
    assert strengths["matlab_bicubic+blur"]["blur"] == pytest.approx([1.5] * 3, abs=0.1)


def test_a_scene_has_one_number_in_train_and_test(planted: Path, report: Report) -> None:
    train = {pair.name: pair.scene for pair in report.pairs}
    test = {picture.name: picture.scene for picture in report.test}
    (shared,) = train.keys() & test.keys()
    assert train[shared] == test[shared] is not None
    assert test["pair300.png"] not in train.values()


# ---- exclusions -----------------------------------------------------------------------------------------------------


def test_what_the_fix_list_names_is_left_out_of_the_next_audit(contest: Contest) -> None:
    root = contest(6)
    listed = root / "excluded.txt"
    (root / "train/lr/001.png").write_bytes(b"")
    (root / "train/hr/002.png").unlink()
    (root / "train/lr/004.png").rename(root / "train/lr/004.jpg")
    with pytest.raises(BadInput):
        audit([str(root), "--fix-list", str(listed)])
    assert read_exclusions(listed) == {"001.png", "002.png", "004.jpg", "004.png"}
    assert re.search(r"^# .*/lr/001.png: empty file\n001.png$", listed.read_text(), re.MULTILINE)
    audit([str(root)])
    before = listed.read_text() + "# asked the owner\nnot_there.png"
    listed.write_text(before)
    (root / "train/lr/005.png").write_bytes(b"")
    with pytest.raises(BadInput, match="the faulty pairs are listed"):
        audit([str(root), "--fix-list", str(listed)])
    assert listed.read_text().startswith(before + "\n# ")
    listed.write_text(listed.read_text().replace("not_there.png\n", ""))
    assert read_exclusions(listed) == {"001.png", "002.png", "004.jpg", "004.png", "005.png"}


@given(st.dictionaries(st.text(st.characters(exclude_characters="/\0"), min_size=1), st.lists(st.text(), max_size=2)))
def test_any_name_survives_the_list(causes: dict[str, list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "excluded.txt")
        add_exclusions(path, causes)
        assert read_exclusions(path) == set(causes)


def test_a_list_written_by_hand_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "excluded.txt"
    path.write_bytes(b'# why\r\n\r\na b#c.png\r\n"#1.png"\nlast.png')
    assert read_exclusions(path) == {"a b#c.png", "#1.png", "last.png"}
    assert read_exclusions(tmp_path / "none.txt") == set()
    path.write_bytes(b"\xef\xbb\xbffirst.png\n")  # as some editors begin a file
    assert read_exclusions(path) == {"first.png"}
    path.write_text('"open.png\n')
    with pytest.raises(BadInput, match=r"excluded.txt:1: not a JSON string"):
        read_exclusions(path)
