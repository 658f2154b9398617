"""Benchmark sets: which pictures are scored, the figures beside `infer` and `evaluate`, published ones, and faults."""

import csv
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.benchmark import main
from competition.errors import BadInput, UsageError
from competition.evaluate import main as evaluate
from competition.images import Bytes, read_rgb, write_png
from competition.infer import main as infer

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def sets(tmp_path, texture) -> Path:
    """Two sets, of three and of one picture of 48x40, and a folder that is none."""
    root = tmp_path / "sets"
    for name, count in (("first", 3), ("second", 1)):
        for number in range(1, count + 1):
            write_png(root / name / "hr" / f"{number:03d}.png", texture(number, 40, 48))
            low = reduced(texture(number, 40, 48), 4)
            write_png(root / name / "lr_bicubic_x4" / f"{number:03d}.png", low)
    (root / "competition/test/lr").mkdir(parents=True)
    return root


def reduced(high: Bytes, scale: int) -> Bytes:
    return np.asarray(cv2.resize(high, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA), np.uint8)


def scores(sets: Path, *arguments: str) -> list[dict[str, str]]:
    path = sets.parent / "table.csv"
    main([str(sets), "lanczos", *arguments, "--csv", str(path)])
    return list(csv.DictReader(path.open()))


def publish(sets: Path, text: str) -> None:
    (sets / "first/published_x4.csv").write_text(text)


def table(output: str) -> dict[str, list[str]]:
    """By method the cells after it, of the last set that has it."""
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line]
    return {cells[1]: cells[2:] for cells in lines}


# ---- figures --------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_infer_and_evaluate(sets, tmp_path):
    found = [row for row in scores(sets, "nearest") if row["benchmark"] == "first"]
    low, high = sets / "first/lr_bicubic_x4", sets / "first/hr"
    for source in ("bicubic", "lanczos", "nearest"):
        infer([source, "--input", str(low), "--output", str(tmp_path / source)])
        settings = ["--metric", "y", "--border", "4", "--csv", str(tmp_path / "expected.csv")]
        evaluate([str(tmp_path / source), str(high), *settings])
        expected = list(csv.DictReader((tmp_path / "expected.csv").open()))
        mine = [row for row in found if row["method"] == source]
        for ours, theirs in zip(mine, expected, strict=True):
            assert [ours[key] for key in ("image", "psnr", "ssim", "gain")] == [
                theirs[key] for key in ("image", "psnr", "ssim", "gain")
            ]


def test_the_share_of_pictures_that_beat_bicubic_is_told(sets, capsys):
    truth = read_rgb(sets / "first/hr/001.png")
    for number in (2, 3):  # flat squares, which only nearest enlarges without loss
        squares = reduced(truth, 4).repeat(4, 0).repeat(4, 1)
        write_png(sets / f"first/hr/00{number}.png", squares)
        write_png(sets / f"first/lr_bicubic_x4/00{number}.png", squares[::4, ::4].copy())
    found = scores(sets, "nearest", "--only", "first=001..002")
    wins = [float(row["gain"]) > 0 for row in found if row["benchmark"] == "first" and row["method"] == "nearest"]
    assert wins == [False, True]
    main([str(sets), "nearest", "--only", "second=001..001", "first=001..003"])
    lines = [line for line in capsys.readouterr().out.splitlines() if " nearest " in line]
    assert " 50 % " in lines[0] and " 67 % " in lines[2] and " 0 % " in lines[3]


def test_a_folder_of_another_scale_is_taken_where_it_is_asked_for(sets):
    for path in (sets / "second/hr").iterdir():
        write_png(sets / "second/lr_bicubic_x2" / path.name, reduced(read_rgb(path), 2))
    found = scores(sets, "--scale", "2")
    assert {row["benchmark"] for row in found} == {"second"}
    assert {row["method"] for row in found} == {"bicubic", "lanczos"}


# ---- published figures ----------------------------------------------------------------------------------------------


def test_published_methods_are_those_that_have_every_picture_but_bicubic(sets, capsys):
    publish(
        sets,
        "image,psnr_bicubic,psnr_old,psnr_new,ssim_old,ssim_new\n"
        "003,20,60,,0.9,\n001,20,61.5,40,0.5,0.9\n002,20,0.5,40,0.7,0.9\n009,1,1,1,1,1\n",
    )
    found = scores(sets)
    assert [row["method"] for row in found] == ["bicubic"] * 3 + ["lanczos"] * 3 + ["old*"] * 3 + [
        "bicubic",
        "lanczos",
    ]
    assert [(row["image"], row["psnr"], row["ssim"]) for row in found[6:9]] == [
        ("001", "61.5000", "0.5000"),
        ("002", "0.5000", "0.7000"),
        ("003", "60.0000", "0.9000"),
    ]
    for plain, old in zip(found[:3], found[6:9], strict=True):
        assert float(old["gain"]) == pytest.approx(float(old["psnr"]) - float(plain["psnr"]), abs=1e-3)
    cells = table(capsys.readouterr().out)["old*"]
    assert cells[:2] == ["40.667", "0.7000"] and cells[3] == "67 %"
    assert "new*" in {row["method"] for row in scores(sets, "--only", "first=001..002")}


def test_published_figures_are_not_compared_with_those_of_another_definition(sets):
    publish(sets, "image,psnr_old\n001,30\n002,30\n003,30\n")
    assert "old*" in {row["method"] for row in scores(sets)}
    for other in (["--metric", "rgb"], ["--border", "0"]):
        assert "old*" not in {row["method"] for row in scores(sets, *other)}


@pytest.mark.parametrize(
    "text", ["psnr_old\n30\n", "image,psnr_old\n001,good\n", "image,psnr_old\n001,inf\n", "\xff\x00"]
)
def test_a_table_that_is_none_is_refused(sets, text):
    (sets / "first/published_x4.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"first/published_x4.csv: no table of published scores"):
        scores(sets)


def test_bicubic_of_real_pictures_agrees_with_what_was_published(shared_data, tmp_path, capsys):
    main(
        [
            str(shared_data),
            "bicubic",
            "--only",
            "bsd100=081..082",
            "urban100=061..061",
            "--csv",
            str(tmp_path / "t.csv"),
        ]
    )
    means = {"set5": 28.42, "bsd100": None, "urban100": None}
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    for name, mean in means.items():
        ours = [row for row in rows if row["benchmark"] == name and row["method"] == "bicubic"]
        published = {row["image"]: row for row in csv.DictReader((shared_data / name / "published_x4.csv").open())}
        for row in ours:
            assert float(row["psnr"]) == pytest.approx(float(published[row["image"]]["psnr_bicubic"]), abs=0.005)
        if mean:
            assert np.mean([float(row["psnr"]) for row in ours]) == pytest.approx(mean, abs=0.01)


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "first"], "--only: first is not SET=FIRST..LAST"),
        (["--only", "frist=1..2"], "--only: frist: no such set in .*Did you mean 'first'"),
        (["--border", "-1"], "--border: -1 is negative"),
        (["--scale", "5"], "--scale: 5, but lanczos enlarges by"),
        (["absent"], "absent: neither a file nor known weights"),
    ],
)
def test_a_wrong_option_is_one_line(sets, arguments, words):
    with pytest.raises(UsageError, match=words):
        scores(sets, *arguments)


def test_folders_without_sets_or_pictures_are_refused(sets, tmp_path):
    with pytest.raises(BadInput, match=r"no folder in it holds hr and lr_bicubic_x4"):
        main([str(tmp_path / "absent"), "bicubic"])
    with pytest.raises(BadInput, match=r"first: no picture from 004 to 009"):
        scores(sets, "--only", "first=004..009")


def test_faults_of_all_sets_are_listed_before_anything_is_enlarged(sets):
    (sets / "first/hr/002.png").unlink()
    write_png(sets / "second/hr/001.png", np.zeros((44, 44, 3), np.uint8))
    with pytest.raises(BadInput) as refused:
        scores(sets)
    assert [line.split(": ")[0].removeprefix(f"{sets}/") for line in refused.value.lines] == [
        "first/lr_bicubic_x4/002.png",
        "second/hr/001.png",
    ]


def test_pictures_too_small_for_the_window_of_ssim_are_refused(sets):
    with pytest.raises(BadInput, match=r"leaves less than 11x11 pixels. Use a smaller --border"):
        scores(sets, "--border", "15")


def test_make_passes_runs_sets_and_names_on():
    settings = ["RUN=mini_x4", "BENCHMARKS=sets", "ADD=bicubic", "ONLY=first=1..2 second=1..1"]
    said = subprocess.run(["make", "-n", "evaluate", *settings], cwd=ROOT, capture_output=True, text=True).stdout
    assert "competition.benchmark sets mini_x4 bicubic --only first=1..2 second=1..1" in " ".join(said.split())
    assert "competition.train" not in said
