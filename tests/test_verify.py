"""verify as a user calls it: good submissions of every form pass, every way to spoil one is named, in one line each."""

import base64
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import drawn
import numpy as np
import planted
import pytest
from peak_memory import forget_peak_memory, peak_memory

from competition.errors import BadInput
from competition.files import sha256
from competition.images import read_prediction, read_rgb, write_png
from competition.infer import main as infer
from competition.judging import Evidence, judge, known_manifest
from competition.judging.repeats import repeated
from competition.manifest import read_manifest
from competition.submit import main as submit
from competition.verify import main as verify

SIDE = 192
NAMES = ("20.png", "21.png", "22.png", "23.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A contest with two members, handed in as joint.zip; the 16-bit vote and an earlier submission beside it."""
    root = tmp_path_factory.mktemp("place")
    for number, name in enumerate(NAMES):
        truth = drawn.texture(number, SIDE, SIDE)
        low = cv2.resize(truth, None, fx=1 / 4, fy=1 / 4, interpolation=cv2.INTER_AREA)
        write_png(root / "data/test/lr" / name, np.asarray(low, np.uint8))
        write_png(root / "data/train/lr" / name, np.asarray(low, np.uint8))
        write_png(root / "data/train/hr" / name, truth)
        for seed, member in enumerate(("good", "bad")):
            write_png(root / "members" / member / "test" / name, _prediction(truth, 10 * number + seed))
            write_png(root / "members" / member / "validation" / name, _prediction(truth, 10 * number + seed))
    (root / "joint.yaml").write_text(
        f"{{name: joint, data: {root}/data, predictions: {root}/members, submissions: {root}/submissions, "
        "members: [{folder: good, weight: 2}, {folder: bad, weight: 1}], weights: given}"
    )
    submit([str(root / "joint.yaml")])
    submit([str(root / "joint.yaml"), "name=earlier", "members=[{folder: bad, weight: 1}]"])
    return root


def _prediction(truth, seed):
    noise = np.random.default_rng(seed).normal(0, 400, truth.shape)
    return (truth.astype(np.float64) * 257 + noise).clip(0, 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def good(place) -> planted.Good:
    def read(folder):
        return {name: read_rgb(place / folder / name) for name in NAMES}

    levels = {}
    for name in NAMES:
        first, second = (read_prediction(place / "members" / m / "test" / name) / 257 for m in ("good", "bad"))
        levels[name] = (2 * first + second) / 3
    return planted.Good(read("submissions/joint"), levels, read("data/test/lr"), read("submissions/earlier"))


def findings(submission: Path, place: Path, **evidence: Path) -> list[str]:
    found = judge(submission, place / "data/test/lr", 4, Evidence(**evidence)).findings
    return [f"{finding.severity}: {finding.fault}" for finding in found]


# ---- good ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["submissions/joint", "submissions/joint.zip"])
def test_a_good_submission_has_no_finding(place, form, capsys):
    verify([str(place / form), str(place / "data"), "--previous", str(place / "submissions/earlier.zip")])
    assert "4 pictures, no errors, 0 warnings" in capsys.readouterr().out


def test_a_zip_made_by_others_has_no_finding(place, good, tmp_path):
    archive = planted.write(tmp_path / "ours.zip", good.entries())
    assert known_manifest(archive) is None and findings(archive, place) == []
    deflated = tmp_path / "deflated.zip"
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in good.entries():
            target.writestr(name, content)
    assert findings(deflated, place) == []


# ---- spoilt ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", planted.PLANTED)
def test_a_spoilt_submission_is_named_for_what_it_is(place, good, tmp_path, kind):
    spoilt = planted.PLANTED[kind]
    archive = planted.write(tmp_path / "spoilt.zip", spoilt.plant(good))
    known = {"low pictures": {}, "earlier": {"previous": place / "submissions/earlier.zip"}}
    if spoilt.known == "predictions":
        _write_levels(good, tmp_path / "levels")
        known["predictions"] = {"predictions": tmp_path / "levels"}
    lines = findings(archive, place, **known[spoilt.known])
    assert len(lines) == (spoilt.findings or len(NAMES)) and any(spoilt.words in line for line in lines), lines


@pytest.mark.parametrize("kind", planted.PLANTED)
def test_beside_its_manifest_a_spoilt_submission_always_ends_with_status_3(place, good, tmp_path, kind):
    archive = planted.write(tmp_path / "joint.zip", planted.PLANTED[kind].plant(good))
    with pytest.raises(BadInput) as error:
        verify([str(archive), str(place / "data"), "--manifest", str(place / "submissions/joint/manifest.json")])
    assert error.value.code == 3
    assert all(": " in line and ". " in line and line.isprintable() for line in error.value.lines)


def _write_levels(good, folder):
    for name, levels in good.levels.items():
        write_png(folder / name, (levels * 257 + 0.5).astype(np.uint16))


def test_submit_only_warns_of_what_members_predicted_and_verify_refuses_it(place, tmp_path, capsys):
    shutil.copytree(place / "members", tmp_path / "members")
    write_png(tmp_path / "members/bad/test/21.png", np.zeros((SIDE, SIDE, 3), np.uint16))
    line = [str(place / "joint.yaml"), "name=begun", f"predictions={tmp_path}/members", f"submissions={tmp_path}"]
    submit([*line, "members=[{folder: bad, weight: 1}]"])
    assert f"warning: {tmp_path}/begun.zip/21.png: is black throughout" in capsys.readouterr().out
    with pytest.raises(BadInput) as error:
        verify([str(tmp_path / "begun.zip"), str(place / "data")])
    assert error.value.lines == (f"{tmp_path}/begun.zip/21.png: is black throughout. Predict it again",)


# ---- other forms ----------------------------------------------------------------------------------------------------

BASE64 = "format={name: base64_csv}"
PIXELS = "format={name: pixels_csv, columns: [ID, RGB], extension: false}"


@pytest.fixture(scope="module")
def tables(place) -> dict[str, Path]:
    for name, form in (("packed", BASE64), ("rows", PIXELS)):
        submit([str(place / "joint.yaml"), f"name={name}", form])
    return {"packed": place / "submissions/packed.csv", "rows": place / "submissions/rows.csv"}


def test_the_rows_of_a_csv_are_what_the_contest_wants(tables, good):
    packed, rows = ([line.split(",") for line in tables[name].read_text().splitlines()] for name in ("packed", "rows"))
    assert packed[0] == ["image", "png"] and rows[0] == ["ID", "RGB"]
    assert [name for name, _ in packed[1:]] == [*NAMES] and [name for name, _ in rows[1:]] == ["20", "21", "22", "23"]
    for (_, png), (_, values), name in zip(packed[1:], rows[1:], NAMES, strict=True):
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert np.array_equal(decoded, good.pictures[name])
        assert [*map(int, values.split(" "))] == good.pictures[name].ravel().tolist()


@pytest.mark.parametrize("name", ["packed", "rows"])
def test_a_good_csv_has_no_finding_with_its_manifest_or_alone(place, tables, tmp_path, name):
    assert findings(tables[name], place, manifest=place / "submissions" / name / "manifest.json") == []
    alone = tmp_path / "alone.csv"
    alone.write_bytes(tables[name].read_bytes())
    assert findings(alone, place) == []


def _cell(change: Callable[[str], str]) -> Callable[[list[list[str]]], list[list[str]]]:
    return lambda rows: [*rows[:2], [rows[2][0], change(rows[2][1])], *rows[3:]]


def _swap_channels(values: str) -> str:
    return " ".join(np.array(values.split(" ")).reshape(-1, 3)[:, ::-1].ravel())


SPOILT_ROWS = {
    "row missing": ("both", lambda rows: [*rows[:2], *rows[3:]], "21.png: missing"),
    "row twice": ("both", lambda rows: [*rows, rows[2]], "is there twice"),
    "row too many": ("both", lambda rows: [*rows, ["extra", rows[2][1]]], "is no picture of this contest"),
    "cell too many": ("both", lambda rows: [*rows[:2], [*rows[2], "1"], *rows[3:]], "3 cells in this row, expected 2"),
    "other columns": ("both", lambda rows: [["a", "b"], *rows[1:]], "begins with 'a,b', expected "),
    "no header": ("both", lambda rows: rows[1:], "expected "),
    "two swapped": (
        "both",
        lambda rows: [rows[0], [rows[1][0], rows[2][1]], [rows[2][0], rows[1][1]], *rows[3:]],
        "shows the",
    ),
    "base64 cut short": ("packed", _cell(lambda cell: cell[:-200]), "truncated after"),
    "no base64": ("packed", _cell(lambda cell: "?" + cell[1:]), "is no base64"),
    "value too large": ("rows", _cell(lambda cell: cell.rpartition(" ")[0] + " 256"), "to 256, allowed are 0 to 255"),
    "value negative": ("rows", _cell(lambda cell: "-1" + cell[cell.index(" ") :]), "values from -1"),
    "value with a fraction": ("rows", _cell(lambda cell: cell + ".5"), "no whole number"),
    "value missing": ("rows", _cell(lambda cell: cell.rpartition(" ")[0]), "values, expected 3x192x192"),
    "BGR": ("rows", _cell(_swap_channels), "channels in the order BGR"),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for kind, (where, _, _) in SPOILT_ROWS.items()
        for name in ("packed", "rows")
        if where in (name, "both")
    ],
)
def test_a_spoilt_csv_is_named_for_what_it_is(place, tables, tmp_path, name, kind):
    _, plant, words = SPOILT_ROWS[kind]
    rows = plant([line.split(",") for line in tables[name].read_text().splitlines()])
    spoilt = tmp_path / "spoilt.csv"
    spoilt.write_text("".join(",".join(row) + "\n" for row in rows))
    manifest = place / "submissions" / name / "manifest.json"
    lines = findings(spoilt, place, manifest=manifest)
    assert any(words in line for line in lines), lines
    assert any("is not the file that the manifest of" in line for line in lines)


# ---- hostile ones ---------------------------------------------------------------------------------------------------


def test_a_zip_that_lists_very_many_entries_is_refused_before_they_are_read(place, tmp_path):
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for number in range(6000):
            target.writestr(f"{number:0200d}", b"")
    (line,) = findings(archive, place)
    assert "many.zip: lists entries in 1,4" in line


def _end_of(archive: Path) -> tuple[bytes, int]:
    content = archive.read_bytes()
    return content, content.rfind(b"PK\5\6")


def test_a_zip64_that_claims_a_list_longer_than_itself_is_refused(place, tmp_path):
    archive = planted.write(tmp_path / "large.zip", [("20.png", b"")])
    content, end = _end_of(archive)
    record = b"PK\6\6" + (44).to_bytes(8, "little") + bytes(28) + (2**40).to_bytes(8, "little") + bytes(8)
    locator = b"PK\6\7" + bytes(16)
    archive.write_bytes(content[:end] + record + locator + content[end:])
    (line,) = findings(archive, place)
    assert "large.zip: damaged zip" in line or f"lists entries in {2**40:,} bytes" in line


@pytest.mark.parametrize("way", ["plainly", "behind a zip64 record that is none", "behind a comment"])
def test_a_million_entries_are_refused_before_they_are_read(place, tmp_path, way):
    archive = planted.write(tmp_path / "million.zip", [("20.png", b"")])
    content, end = _end_of(archive)
    begin = content.find(b"PK\1\2")
    entries = content[begin:end] * 1_000_000
    size = len(entries).to_bytes(4, "little")
    last = content[end : end + 12] + size + content[end + 16 : end + 20]
    between = bytes(56) + b"PK\6\7" + bytes(16) if way.startswith("behind a zip64") else b""
    comment = b"\4\0PK\5\6" if way == "behind a comment" else b"\0\0"
    archive.write_bytes(content[:begin] + entries + between + last + comment)
    forget_peak_memory()
    before = peak_memory()
    (line,) = findings(archive, place)
    assert "million.zip: " in line and peak_memory() - before < 50_000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_packed_so_that_it_unpacks_all_at_once_is_refused_before(place, good, tmp_path, method):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", method) as target:
        for name, content in good.entries(_1=bytes(100_000_000)):
            compressed = zipfile.ZIP_STORED if name != NAMES[1] else method
            target.writestr(name, content, compressed)
    content = archive.read_bytes()
    archive.write_bytes(content.replace((100_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    forget_peak_memory()
    before = peak_memory()
    (line,) = findings(archive, place)
    assert "bomb.zip/21.png: is packed by method" in line and peak_memory() - before < 50_000


def _entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


HOSTILE_NAMES = {
    "up": ("../21.png", "leads out of the folder"),
    "up and up": ("../../../../etc/cron.d/21.png", "leads out of the folder"),
    "up from within": ("a/../../21.png", "leads out of the folder"),
    "absolute": ("/tmp/21.png", "leads out of the folder"),
    "up on Windows": ("..\\21.png", "is no picture of this contest"),
    "drive on Windows": ("C:\\21.png", "is no picture of this contest"),
    "in capitals": ("21.PNG", "is there twice, as 21.png"),
    "the same": ("21.png", "is there twice, as 21.png"),
    "in a folder": ("./a/21.png", "is there twice, as 21.png"),
    "NUL": ("21.png\0.exe", "is no picture of this contest"),
    "newline": ("21\n.png", "is no picture of this contest"),
    "very long": ("2" * 60_000 + ".png", "is no picture of this contest"),
    "nothing": ("", "is no picture of this contest"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE_NAMES)
def test_a_hostile_name_beside_good_ones_is_told_and_nothing_is_written(place, good, tmp_path, kind):
    name, words = HOSTILE_NAMES[kind]
    stand_in = "@" * len(name) if "\0" in name else name
    archive = tmp_path / "in/hostile.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as target:
        for entry, content in [*good.entries(), (stand_in, b"hostile")]:
            target.writestr(_entry(entry), content)
    if stand_in != name:  # zipfile would not write it
        archive.write_bytes(archive.read_bytes().replace(stand_in.encode(), name.encode()))
    (line,) = findings(archive, place)
    assert words in line and line.isprintable()
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "hostile.zip"]


@pytest.mark.parametrize("kind", ["S_IFLNK", "S_IFCHR", "S_IFBLK", "S_IFIFO", "S_IFSOCK", "S_IFDIR"])
def test_what_a_zip_holds_as_another_kind_than_a_file_is_named(place, good, tmp_path, kind):
    archive = tmp_path / "special.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in good.entries():
            target.writestr(_entry(name, getattr(stat, kind) | 0o644 if name == NAMES[2] else 0), content)
    assert findings(archive, place) == [f"error: {archive}/22.png: is a link or device. Zip the picture itself"]


def test_a_zip_within_itself_is_never_unpacked(place, good, tmp_path):
    inner = planted.zipped(good.entries())
    for _ in range(20):
        inner = planted.zipped([(name, inner) for name in NAMES[:1]])
    (first, *others) = findings(planted.write(tmp_path / "nested.zip", inner), place)
    assert "20.png: is a zip archive inside" in first and len(others) == len(NAMES) - 1


@pytest.mark.usefixtures("deadline")
def test_what_is_no_file_in_a_folder_is_named_and_never_opened(place, good, tmp_path):
    for name, content in good.entries():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "20.png").unlink()
    os.mkfifo(tmp_path / "20.png")
    (tmp_path / "21.png").unlink()
    (tmp_path / "21.png").mkdir()
    (tmp_path / "22.png").unlink()
    (tmp_path / "22.png").symlink_to("22.png")
    assert [line.split(f"{tmp_path}/")[1].split(". ")[0] for line in findings(tmp_path, place)] == [
        "20.png: is a FIFO",
        "21.png: is a folder",
        "22.png: link that leads back to itself",
    ]


def test_every_cut_of_a_zip_is_refused_in_lines(place, good, tmp_path):
    whole = planted.zipped(good.entries())
    cut = tmp_path / "cut.zip"
    for length in range(0, len(whole), len(whole) // 40):
        cut.write_bytes(whole[:length])
        lines = findings(cut, place)
        assert lines and all(line.startswith("error: ") and line.isprintable() for line in lines)


def test_an_entry_whose_own_header_holds_a_name_that_is_no_text_is_named(place, good, tmp_path):
    content = bytearray(planted.zipped(good.entries()))
    content[7] |= 8  # the name is UTF-8
    content[30] = 0xFF
    archive = tmp_path / "named.zip"
    archive.write_bytes(content)
    (line,) = findings(archive, place)
    assert "named.zip/20.png: cannot be unpacked" in line


# ---- the manifest ---------------------------------------------------------------------------------------------------


def test_the_manifest_says_what_was_handed_in_and_what_it_was_made_of(place, good):
    folder = place / "submissions/joint"
    manifest = read_manifest(folder / "manifest.json")
    assert manifest.file.name == "joint.zip" and manifest.file.sha256 == sha256(place / "submissions/joint.zip")
    for name, pixels in good.pictures.items():
        assert manifest.pictures[name].sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert [round(member.weight, 6) for member in manifest.members] == [0.666667, 0.333333]
    first = manifest.members[0]
    assert first.folder == place / "members/good" and first.predictions["20.png"] == sha256(
        first.folder / "test/20.png"
    )
    assert manifest.validation.metric == "PSNR on 8-bit rgb, border 0" and manifest.validation.pictures == len(NAMES)
    assert manifest.validation.psnr == manifest.validation.rows[-1]["psnr"] > first.psnr


def test_predictions_that_changed_since_are_told(place, good, tmp_path):
    shutil.copytree(place / "submissions", tmp_path / "submissions")
    shutil.copytree(place / "members", tmp_path / "members")
    text = (tmp_path / "submissions/joint/manifest.json").read_text().replace(f"{place}/members", f"{tmp_path}/members")
    (tmp_path / "submissions/joint/manifest.json").write_text(text)
    write_png(tmp_path / "members/bad/test/21.png", good.pictures["21.png"])
    manifest = tmp_path / "submissions/joint/manifest.json"
    (line,) = findings(tmp_path / "submissions/joint.zip", place, manifest=manifest)
    assert (
        line.startswith(f"warning: {tmp_path}/members/bad/test: 1 predictions have changed since") and "21.png" in line
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1}'])
def test_a_manifest_that_is_none_is_named(place, tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        judge(place / "submissions/joint.zip", place / "data/test/lr", 4, Evidence(manifest=tmp_path / "manifest.json"))


# ---- the contest's real test pictures -------------------------------------------------------------------------------

CROP = 112


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory) -> tuple[Path, planted.Good]:
    """The middles of the 18 real test pictures, and what the shipped network makes of them."""
    root = tmp_path_factory.mktemp("real")
    for path in sorted((shared_data / "competition/test/lr").glob("*.png")):
        low = read_rgb(path)
        top, left = ((side - CROP) // 2 for side in low.shape[:2])
        write_png(root / "data/test/lr" / path.name, low[top : top + CROP, left : left + CROP])
    lows = {path.name: read_rgb(path) for path in sorted((root / "data/test/lr").iterdir())}
    weights = str(Path(__file__).resolve().parents[1] / "pretrained/mini_x4.safetensors")
    sides = {}
    for name, source in (("network", weights), ("bicubic", "bicubic")):
        infer([source, "--input", str(root / "data/test/lr"), "--output", str(root / name)])
        sides[name] = {picture: read_prediction(root / name / picture) / 257 for picture in lows}
    rounded = {
        name: {key: np.floor(value + 0.5).astype(np.uint8) for key, value in levels.items()}
        for name, levels in sides.items()
    }
    return root, planted.Good(rounded["network"], sides["network"], lows, rounded["bicubic"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network", "bicubic"])
def test_nothing_is_found_on_the_real_test_pictures(real, tmp_path, name):
    root, good = real
    pictures = good.pictures if name == "network" else good.earlier
    archive = planted.write(tmp_path / "real.zip", good._replace(pictures=pictures).entries())
    assert findings(archive, root, predictions=root / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", planted.PLANTED)
def test_what_is_planted_among_the_real_test_pictures_is_named(real, tmp_path, kind):
    root, good = real
    spoilt = planted.PLANTED[kind]
    archive = planted.write(tmp_path / "spoilt.zip", spoilt.plant(good))
    if spoilt.known == "earlier":
        previous = planted.write(tmp_path / "earlier.zip", good._replace(pictures=good.earlier).entries())
        lines = [line for line in findings(archive, root, previous=previous) if "bicubic" not in line]
    else:
        known = {"predictions": root / "network"} if spoilt.known == "predictions" else {}
        lines = findings(archive, root, **known)
    assert len(lines) == (spoilt.findings or 18) and any(spoilt.words in line for line in lines), lines


def test_what_equals_itself_a_pixel_further_is_no_part_that_stands_twice():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (256, 256, 3), np.uint8)
    low = generator.integers(0, 256, (64, 64, 3), np.uint8)
    for row in range(16, 80, 16):  # upright lines, each nine pixels long
        picture[row - 1 : row + 8, :64] = picture[row, :64]
    assert repeated(picture, low, 4) is None
    picture[160:224, 160:224] = picture[80:144, 80:144]
    found = repeated(picture, low, 4)
    assert found and {found.first, found.second} == {(80, 80), (160, 160)}
