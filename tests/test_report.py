"""The report of a run: what it shows, what it does without, that the page needs and trusts nothing outside itself."""

import csv
import html.parser
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from drawn_run import draw_data, draw_run, write_audit

from competition.analysis.figures.crops import REACH, cut, residual
from competition.analysis.reporting.data import data
from competition.analysis.reporting.gathering import gather
from competition.analysis.reporting.hidden import hidden
from competition.analysis.reporting.parts import Prose, Section, Slider, Table
from competition.analysis.reporting.sections import SENTENCES, sections, verdict
from competition.analysis.reporting.training import training
from competition.analysis.unseen import expect, first_two, look, psnr_half
from competition.errors import BadInput
from competition.images import list_pictures, read_rgb, write_png
from competition.report import main as report

# A name that wants to be a script, and a formula of matplotlib's.
EVIL = "<script>x$y_$.png"


class Page(html.parser.HTMLParser):
    """Tags, text and addresses of a page; every tag must be closed in its turn."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.addresses += [str(known[key]) for key in ("src", "href") if key in known]
        if tag == "section":
            self.sections.append(str(known["id"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, the first the better one, on a contest with an audit."""
    folder = tmp_path_factory.mktemp("report")
    contest = draw_data(folder)
    for side in ("lr", "hr"):
        (contest / "train" / side / "000.png").rename(contest / "train" / side / EVIL)
    draw_run(folder)
    draw_run(folder, "second", detail=0.3)
    write_audit(folder, folder / "contest")
    return folder


@pytest.fixture(scope="module")
def page(folder):
    report([str(folder / "runs/drawn"), str(folder / "runs/second"), "--output", str(folder / "out")])
    return Page((folder / "out/index.html").read_text())


# ---- what is there --------------------------------------------------------------------------------------------------


def test_every_section_is_there_and_every_picture(page, folder):
    shown = ["verdict", "pictures", "crops", "where", "budget", "training", "data", "hidden"]
    assert [key for key in page.sections if key != "lacks"] == shown
    for name in list_pictures(folder / "contest/train/hr"):
        assert name in page.words
    assert "lies 1.00 pixels to the right" in page.words and f"nearest in training: {EVIL}, likeness 0.50" in page.words


def test_the_page_needs_nothing_outside_itself_and_runs_no_script_but_ours(page, folder):
    text = (folder / "out/index.html").read_text()
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert "default-src 'none'" in text and "script-src 'sha256-" in text
    assert not re.search(r"https?://|@import|url\(", text)
    assert EVIL in page.words and text.count("<script>") == 1
    assert len(text) < 5e6


def test_tables_lie_beside_the_page_as_csv(page, folder):
    with open(folder / "out/pictures.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(list_pictures(folder / "contest/train/hr"))
    assert all(float(row["gain_previous"]) > 0 for row in rows)
    names = {path.stem for path in (folder / "out").glob("*.csv")}
    assert {"comparison", "tiles", "bands", "budget", "stages", "time", "hidden", "background", "verdict"} <= names


def test_the_verdict_is_short_and_each_sentence_has_its_rule(folder):
    said = verdict(gather([folder / "runs/drawn"], progress=False))
    assert 0 < len(said) <= SENTENCES and all(sentence and rule for sentence, rule in said)


def test_a_third_run_is_compared_too(folder):
    third = shutil.copytree(folder / "runs/second", folder / "runs/third")
    dossier = gather([folder / "runs/drawn", folder / "runs/second", third], sample=2, progress=False)
    against = dossier.comparison()["against"].tolist()
    assert against == ["bicubic", "second", "third"]
    assert len(dossier.findings.looked) == 2


# ---- what is missing ------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path):
    return draw_run(tmp_path, pictures=4)


def test_what_is_missing_is_named_and_the_rest_told(alone):
    shutil.rmtree(alone / "predictions/self_ensemble/test")
    (alone / "metrics.jsonl").unlink()
    (alone / "split.json").unlink()
    dossier = gather([alone], sample=1, progress=False)
    assert {"training", "data", "hidden"}.isdisjoint(sections(dossier))
    for named in ("metrics.jsonl: no such file", "split.json: no such file", "no predictions of test pictures"):
        assert any(named in line for line in dossier.lacks)


def test_without_truth_there_are_training_and_hidden_pictures_only(alone):
    shutil.rmtree(alone / "predictions/self_ensemble/validation")
    shutil.rmtree(alone / "predictions/model")
    report([str(alone)])
    page = Page((alone / "report/index.html").read_text())
    assert page.sections == ["verdict", "training", "hidden", "lacks"]
    assert "holds no predictions of validation pictures" in page.words


def test_a_folder_of_nothing_is_one_error(tmp_path):
    with pytest.raises(BadInput, match="no predictions") as error:
        report([str(tmp_path), "--data", str(tmp_path)])
    assert all(re.fullmatch(r".+: .+\. .+", line) for line in error.value.lines)
    assert not (tmp_path / "report").exists()


def test_torn_foreign_and_huge_files_are_read_as_far_as_they_go(alone):
    with open(alone / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 9, "other": 1}\n' * 200_000 + b'{"step": 820, "lo')
    (alone / "split.json").write_text('{"nearest": [1, 2]}')
    (alone / "experiment.json").write_text("[]")
    (alone.parent / "audit").mkdir()
    (alone.parent / "audit/contest.json").write_text('{"findings": 3, "pairs": [null, {"degradation": 1}]}')
    dossier = gather([alone], sample=1, progress=False)
    assert dossier.history.series["loss"].steps[-1] == 800
    assert training(dossier) and data(dossier, dossier.findings)
    assert any("split.json: cannot be read" in line for line in dossier.lacks)


# ---- parts of the page ----------------------------------------------------------------------------------------------


def test_a_table_shows_what_was_measured_and_a_dash_for_what_was_not():
    frame = pd.DataFrame({"a": ["<b>", "y"], "b": [1.25, np.nan], "c": [np.nan, np.nan], "d": ["", ""]})
    columns = {"a": ("name", "{}"), "b": ("value [dB]", "{:+.1f}"), "c": ("none", "{}"), "d": ("fault", "{}")}
    text = Table(frame, columns).html()
    assert "&lt;b&gt;" in text and ">+1.2<" in text and ">–<" in text
    assert "none</th>" not in text and "fault" not in text


def test_a_section_shows_itself_in_a_notebook_in_its_own_style():
    shown = Section("key", "Title & more", [Prose(["a < b"])])._repr_html_()
    assert "Title &amp; more" in shown and "a &lt; b" in shown and 'class="report"' in shown


def test_a_slider_works_without_script_too():
    shown = Slider("title", ("before", b"\x89PNG"), ("after", b"\xff\xd8")).html()
    assert shown.count("<img") == 2 and 'type="range"' in shown and "image/png" in shown and "image/jpeg" in shown


def test_residuals_are_signed_and_on_one_scale():
    truth = np.full((4, 4, 3), 128, np.uint8)
    none, above, below, far = (
        residual(np.full_like(truth, level), truth)[0, 0].astype(int) for level in (128, 168, 88, 248)
    )
    assert np.ptp(none) < 10 and above[0] > above[2] + 50 and below[2] > below[0] + 50
    assert np.array_equal(far, residual(truth + np.uint8(REACH), truth)[0, 0])


def test_a_crop_beyond_the_edge_moves_inside():
    picture = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    assert np.array_equal(cut(picture, -5, 9, 4, 6), picture[:4, 6:])
    assert cut(picture, 0, 0, 99, 99).shape == picture.shape


# ---- hidden pictures ------------------------------------------------------------------------------------------------


def test_scores_to_expect_follow_the_known_ones():
    x = np.linspace(20, 35, 30)
    noise = np.random.default_rng(0).normal(0, 0.5, 30)
    known = pd.DataFrame({"psnr_half": x, "psnr": 5 + 0.8 * x + noise})
    centre, low, high = expect(known, np.array([25.0, 60.0]))
    assert centre[0] == pytest.approx(25, abs=0.5) and low[0] < 25 < high[0] and 1 < high[0] - low[0] < 4
    assert high[1] - low[1] > high[0] - low[0]
    assert np.isnan(expect(known[:3], np.array([25.0]))).all()


def test_a_flat_picture_is_easier_than_a_busy_one(texture):
    busy = texture(0)
    calm = np.asarray(128 + (busy.astype(float) - 128) / 8, np.uint8)
    assert psnr_half(calm) > psnr_half(busy) + 10


def test_members_that_disagree_and_predictions_that_betray_their_picture_come_first(tmp_path, texture):
    lows, members = tmp_path / "lr", [tmp_path / name for name in ("a", "b", "c")]
    generator = np.random.default_rng(0)
    for number in range(5):
        low = texture(number, 32, 32)
        write_png(lows / f"{number}.png", low)
        for folder in members:
            spread = 900 if number == 3 else 100
            high = low.repeat(4, 0).repeat(4, 1) * 257.0 + generator.normal(0, spread, (128, 128, 3))
            if number == 1:
                high = 65535 - high
            write_png(folder / f"{number}.png", np.asarray(high.clip(0, 65535), np.uint16))
    shutil.copy(members[0] / "2.png", members[1] / "2.png")
    found = look(list_pictures(lows), members, pd.DataFrame(columns=["psnr_half", "psnr"], dtype=float))
    table = found.table.set_index("name")
    assert [name for name, _ in first_two(found.table)] == ["1.png", "3.png"]
    assert table.loc["2.png", "farthest"] == str(members[2])
    differences = table.loc["0.png", "members"]
    assert differences == pytest.approx(100 / 257 * np.sqrt(2 / 3), rel=0.05)  # of three about their mean


def test_a_hidden_picture_that_is_missing_or_spoilt_is_named(alone):
    folder = alone / "predictions/self_ensemble/test"
    (folder / "20000.png").write_bytes(b"no picture")
    low = next((alone.parents[1] / "contest/test/lr").glob("20001.png"))
    low.write_bytes(low.read_bytes()[:100])
    dossier = gather([alone], sample=1, progress=False)
    assert any("20000.png" in line for line in dossier.lacks) and any("20001.png" in line for line in dossier.lacks)
    assert list(dossier.unseen.table["name"]) == ["20000.png", "20002.png"]
    assert hidden(dossier)


def test_infer_notes_the_spread_of_the_symmetries(tmp_path, texture):
    import torch

    from competition.geometry import SYMMETRIES, apply_symmetry, invert_symmetry
    from competition.images import to_tensor
    from competition.infer import infer, load_upscaler
    from competition.networks import choose

    write_png(tmp_path / "in/a.png", texture(0, 10, 12))
    upscaler = load_upscaler("mini_x4", "mean")
    infer(upscaler, list_pictures(tmp_path / "in"), tmp_path / "in", tmp_path / "out")
    noted = json.loads((tmp_path / "out.json").read_text())["pictures"]["a.png"]["spread"]
    network = choose("mini_x4", None)[0].eval()
    low = to_tensor(read_rgb(tmp_path / "in/a.png"))
    with torch.inference_mode():
        members = torch.cat([invert_symmetry(network(apply_symmetry(low, name)), name) for name in SYMMETRIES])
    variance = 255**2 * float(members.double().var(0, unbiased=False).mean())
    assert noted == pytest.approx(variance, rel=1e-3)
