"""infer, evaluate and submit as a user calls them: real files in, real files out, one line for every fault."""

import csv
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from competition import weights
from competition.ensemble import enlarge, vote
from competition.errors import BadInput, UsageError
from competition.evaluate import main as evaluate
from competition.images import encode_png, read_prediction, read_rgb, to_bytes, write_png
from competition.infer import main as infer
from competition.metrics import MetricConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.share import main as share
from competition.submit import main as submit
from competition.verify import main as verify


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A weights file of a tiny network whose output is within [0, 1]."""
    torch.manual_seed(0)
    network = RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4).build()
    torch.nn.init.constant_(network.conv_last.bias, 0.5)
    path = tmp_path / "tiny.safetensors"
    description = weights.Description(model=RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4))
    path.write_bytes(weights.encode(weights.Weights(network.state_dict(), {}, description)))
    return path


def command(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"competition.{module}", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


# ---- infer ----------------------------------------------------------------------------------------------------------


def test_predictions_are_16_bit_named_like_the_inputs_and_four_times_as_large(contest, tiny, tmp_path):
    root = contest()
    infer([str(tiny), "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    inputs = sorted(path.name for path in (root / "train/lr").iterdir())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == inputs
    for name in inputs:
        stored = cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16 and stored.shape == (96, 96, 3)


def test_predictions_are_the_networks_output_rounded_once(contest, tiny, tmp_path):
    root = contest(count=1)
    infer([str(tiny), "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    network, _ = weights.build_network(tiny)
    low = torch.from_numpy(read_rgb(root / "train/lr/000.png") / np.float32(255)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network(low)[0].permute(1, 2, 0).clamp(0, 1).double().numpy() * 65535
    difference = read_prediction(tmp_path / "out/000.png").astype(float) - expected
    assert np.abs(difference).max() < 0.6  # half a step, and the float rounding of another memory layout


def test_standing_predictions_are_kept_and_changed_inputs_or_settings_done_again(contest, tiny, tmp_path, capsys):
    root = contest(count=3)
    line = [str(tiny), "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")]
    infer(line)
    infer(line)
    assert "0 enlarged" in capsys.readouterr().out.splitlines()[-1]
    write_png(root / "train/lr/001.png", read_rgb(root / "train/lr/002.png"))
    infer(line)
    assert "1 enlarged" in capsys.readouterr().out
    assert (tmp_path / "out/001.png").read_bytes() == (tmp_path / "out/002.png").read_bytes()
    infer([*line, "--self-ensemble", "mean"])
    assert "3 enlarged" in capsys.readouterr().out


def test_a_bad_picture_does_not_stop_the_others(contest, tmp_path):
    root = contest(count=3)
    (root / "train/lr/001.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"001\.png: empty file"):
        infer(["bicubic", "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "002.png"]


def test_names_choose_pictures_and_unknown_names_are_refused(contest, tmp_path):
    root = contest(count=3)
    names = tmp_path / "names.txt"
    line = ["bicubic", "--input", str(root / "train/lr"), "--output", str(tmp_path / "out"), "--names", str(names)]
    names.write_text("002.png\n")
    infer(line)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["002.png"]
    names.write_text("002.png\n009.png\n")
    with pytest.raises(BadInput, match=r"009\.png: not in"):
        infer(line)


@pytest.mark.parametrize("mode", ["none", "mean", "median"])
def test_self_ensemble_of_a_symmetric_enlarger_is_one_pass_also_on_pictures_that_are_not_square(mode):
    low = torch.rand(1, 3, 13, 22, generator=torch.Generator().manual_seed(0))
    nearest = torch.nn.Upsample(scale_factor=4)
    assert torch.equal(enlarge(nearest, low, 4, mode), nearest(low))


def test_self_ensemble_joins_the_eight_turned_back_predictions():
    class Ramp(torch.nn.Module):
        def forward(self, low):
            high = torch.nn.functional.interpolate(low, scale_factor=4)
            return high + torch.arange(high.shape[-1]) / 100

    low = torch.zeros(1, 3, 4, 4)
    outcome = enlarge(Ramp(), low, 4, "mean")
    # The ramp averages with itself reversed, in rows and in columns.
    assert torch.allclose(outcome, torch.full_like(outcome, 0.075), atol=1e-6)
    ramp = Ramp()(low)
    eight = torch.stack([ramp] * 2 + [ramp.flip(-1)] * 2 + [ramp.mT] * 2 + [ramp.mT.flip(-2)] * 2).sort(0).values
    assert torch.allclose(enlarge(Ramp(), low, 4, "median"), (eight[3] + eight[4]) / 2, atol=1e-6)


@pytest.mark.parametrize("tile", [8, 16, 31, 100])
def test_tiles_of_a_local_network_equal_the_whole(tile):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 5, padding=2), torch.nn.Upsample(scale_factor=4)).eval()
    low = torch.rand(1, 3, 45, 70)
    assert torch.allclose(enlarge(network, low, 4, tile=tile), enlarge(network, low, 4), atol=1e-6)


# ---- evaluate -------------------------------------------------------------------------------------------------------


def test_the_table_holds_the_scores_of_the_rounded_pictures_with_bicubic_beside_them(contest, tiny, tmp_path, capsys):
    root = contest()
    infer([str(tiny), "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    evaluate([str(tmp_path / "out"), str(root / "train/hr"), "--csv", str(tmp_path / "table.csv")])
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert list(rows[0]) == ["image", "psnr", "ssim", "psnr_bicubic", "gain"]
    for row in rows:
        truth = read_rgb(root / "train/hr" / f"{row['image']}.png")
        rounded = to_bytes(read_prediction(tmp_path / "out" / f"{row['image']}.png"))
        assert float(row["psnr"]) == pytest.approx(MetricConfig().psnr(rounded, truth), abs=1e-4)
        assert float(row["gain"]) == pytest.approx(float(row["psnr"]) - float(row["psnr_bicubic"]), abs=2e-4)
    assert f"mean of {len(rows)}" in capsys.readouterr().out


def test_bicubic_gains_nothing_over_bicubic(contest, tmp_path):
    root = contest()
    infer(["bicubic", "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    evaluate([str(tmp_path / "out"), str(root / "train/hr"), "--csv", str(tmp_path / "table.csv")])
    assert {row["gain"] for row in csv.DictReader((tmp_path / "table.csv").open())} == {"0.0000"}


@pytest.mark.parametrize(
    "name, step",
    [
        ("set5", 1),
        ("urban100", 10),
        ("bsd100", 10),
        pytest.param("urban100", 1, marks=pytest.mark.slow),
        pytest.param("bsd100", 1, marks=pytest.mark.slow),
    ],
)
def test_bicubic_is_the_published_one_on_every_picture(shared_data, tmp_path, name, step):
    low, high = tmp_path / "low", tmp_path / "high"
    for side, folder in (("lr_bicubic_x4", low), ("hr", high)):
        folder.mkdir()
        for path in sorted((shared_data / name / side).glob("*.png"))[::step]:
            shutil.copy(path, folder)
    infer(["bicubic", "--input", str(low), "--output", str(tmp_path / "out")])
    options = ["--metric", "y", "--border", "4", "--csv", str(tmp_path / "table.csv")]
    evaluate([str(tmp_path / "out"), str(high), *options])
    ours = {row["image"]: row for row in csv.DictReader((tmp_path / "table.csv").open())}
    published = list(csv.DictReader((shared_data / name / "published_x4.csv").open()))
    assert {row["image"] for row in published} >= ours.keys() and len(ours) >= 5
    for row in published:
        if row["image"] in ours:
            assert float(ours[row["image"]]["psnr"]) == pytest.approx(float(row["psnr_bicubic"]), abs=0.005)
            assert float(ours[row["image"]]["ssim"]) == pytest.approx(float(row["ssim_bicubic"]), abs=0.001)


def test_predictions_without_truth_or_of_another_size_are_listed(contest, texture, tmp_path):
    root = contest(count=3)
    infer(["bicubic", "--input", str(root / "train/lr"), "--output", str(tmp_path / "out")])
    write_png(tmp_path / "out/001.png", texture(1, 92, 96))
    write_png(tmp_path / "out/extra.png", texture(1))
    with pytest.raises(BadInput) as error:
        evaluate([str(tmp_path / "out"), str(root / "train/hr")])
    assert len(error.value.lines) == 2
    assert "extra.png: has no truth" in str(error.value) and "001.png: 96x92, its truth has 96x96" in str(error.value)


def test_evaluate_says_how_sure_a_gain_over_other_predictions_is(members, tmp_path, capsys):
    good, bad, truth = tmp_path / "members/good", tmp_path / "members/bad", tmp_path / "contest/train/hr"
    evaluate([str(good / "validation"), str(truth), "--against", str(bad / "validation")])
    said = capsys.readouterr().out
    assert f"over {bad / 'validation'}: +3." in said and "better on 2, worse on 0 pictures" in said
    (bad / "validation/001.png").unlink()
    with pytest.raises(BadInput, match="not the pictures of"):
        evaluate([str(good / "validation"), str(truth), "--against", str(bad / "validation")])


# ---- vote and submit ------------------------------------------------------------------------------------------------


def test_a_vote_is_the_weighted_mean_whatever_the_order(texture):
    members = [texture(seed).astype(np.uint16) * 257 for seed in range(3)]
    joined = vote(members, [1, 2, 5])
    expected = sum(weight * (member / 65535) for weight, member in zip([1, 2, 5], members, strict=True)) / 8
    assert np.abs(joined[0].permute(1, 2, 0).numpy() - expected).max() < 1e-12
    assert torch.equal(joined, vote(members[::-1], [5, 2, 1]))


@pytest.mark.parametrize("shares", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_impossible_weights_are_refused(texture, shares):
    members = [texture(seed).astype(np.uint16) for seed in range(2)]
    with pytest.raises(ValueError, match="cannot be joined"):
        vote(members, shares)


@pytest.fixture
def members(contest, tmp_path) -> Path:
    """A contest with two members, one of them further from the truth, and the YAML of a submission."""
    root = contest(count=4)
    (root / "test/lr").mkdir(parents=True)
    for number in (2, 3):
        (root / f"test/lr/9{number}.png").write_bytes((root / f"train/lr/00{number}.png").read_bytes())
    generator = np.random.default_rng(0)
    for name, noise in (("good", 2000), ("bad", 3000)):
        for part, numbers in (("validation", ("000", "001")), ("test", ("92", "93"))):
            for number in numbers:
                truth = read_rgb(root / "train/hr" / f"{number.replace('9', '00')}.png").astype(np.float64) * 257
                noisy = (truth + generator.normal(0, noise, truth.shape)).clip(0, 65535).astype(np.uint16)
                write_png(tmp_path / "members" / name / part / f"{number}.png", noisy)
    config = tmp_path / "submission.yaml"
    config.write_text(
        f"{{name: joint, data: {root}, predictions: {tmp_path / 'members'}, submissions: {tmp_path / 'submissions'}, "
        "members: [{folder: good}, {folder: bad}], weights: psnr}"
    )
    return config


def rows(output: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in output.splitlines() if "│" in line]
    return {cell[0]: cell[1:] for cell in cells}


def test_a_submission_is_the_vote_rounded_once_in_folder_and_zip(members, tmp_path, capsys):
    submit([str(members)])
    table = rows(capsys.readouterr().out)
    psnr = {name: float(cells[0]) for name, cells in table.items()}
    assert psnr["vote"] > psnr["good"] > psnr["bad"]
    shares = [float(table[name][3]) for name in ("good", "bad")]
    assert shares[0] / shares[1] == pytest.approx(psnr["good"] / psnr["bad"], abs=1e-3)
    folder, archive = tmp_path / "submissions/joint", tmp_path / "submissions/joint.zip"
    assert sorted(path.name for path in folder.iterdir()) == ["92.png", "93.png", "manifest.json"]
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == ["92.png", "93.png"]
        assert all(content.read(name) == (folder / name).read_bytes() for name in content.namelist())
    pair = [read_prediction(tmp_path / f"members/{name}/test/92.png").astype(np.float64) for name in ("good", "bad")]
    weight = psnr["good"] / (psnr["good"] + psnr["bad"])
    expected = np.floor((weight * pair[0] + (1 - weight) * pair[1]) / 257 + 0.5)
    assert np.mean(read_rgb(folder / "92.png") != expected) < 1e-3  # the table shows the weights to four digits


def test_the_same_submission_has_the_same_bytes_and_replaces_the_old_one(members, tmp_path):
    archive = tmp_path / "submissions/joint.zip"
    submit([str(members)])
    first = hashlib.sha256(archive.read_bytes()).digest()
    (tmp_path / "submissions/joint/stale.png").write_bytes(b"")
    submit([str(members)])
    assert hashlib.sha256(archive.read_bytes()).digest() == first
    assert not (tmp_path / "submissions/joint/stale.png").exists()
    submit([str(members), "weights=uniform"])
    assert hashlib.sha256(archive.read_bytes()).digest() != first


def test_given_weights_decide(members, tmp_path):
    folders = "members=[{folder: good, weight: 1}, {folder: bad, weight: 0}]"
    submit([str(members), "weights=given", folders])
    good = to_bytes(read_prediction(tmp_path / "members/good/test/92.png"))
    assert np.array_equal(read_rgb(tmp_path / "submissions/joint/92.png"), good)
    with pytest.raises(UsageError, match="a weight is missing"):
        submit([str(members), "weights=given"])


def damage_missing(folder: Path) -> None:
    (folder / "93.png").unlink()


def damage_extra(folder: Path) -> None:
    (folder / "94.png").write_bytes((folder / "93.png").read_bytes())


def damage_name(folder: Path) -> None:
    (folder / "93.png").rename(folder / "093.png")


def damage_size(folder: Path) -> None:
    write_png(folder / "93.png", np.zeros((92, 96, 3), np.uint8))


def damage_mode(folder: Path) -> None:
    cv2.imwrite(str(folder / "93.png"), np.zeros((96, 96, 4), np.uint8))


def damage_grey(folder: Path) -> None:
    cv2.imwrite(str(folder / "93.png"), np.zeros((96, 96), np.uint8))


def damage_truncated(folder: Path) -> None:
    (folder / "93.png").write_bytes((folder / "93.png").read_bytes()[:-20])


def damage_other_kind(folder: Path) -> None:
    (folder / "notes.txt").write_text("stale")


DAMAGES = {
    damage_missing: "93.png: missing",
    damage_extra: "94.png: is no picture of this contest",
    damage_name: "93.png: missing",
    damage_size: "93.png: 96x92, expected 96x96",
    damage_mode: "93.png: RGBA picture",
    damage_grey: "93.png: grey picture",
    damage_truncated: "93.png: truncated",
    damage_other_kind: "notes.txt: not named .png",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_member_is_refused_and_nothing_is_written(members, tmp_path, damage):
    damage(tmp_path / "members/bad/test")
    with pytest.raises(BadInput) as error:
        submit([str(members)])
    assert DAMAGES[damage] in str(error.value)
    assert not list(tmp_path.glob("submissions/*"))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_submission_is_refused_when_judged(members, tmp_path, damage):
    submit([str(members)])
    line = [str(tmp_path / "submissions/joint"), str(tmp_path / "contest")]
    verify(line)
    damage(tmp_path / "submissions/joint")
    with pytest.raises(BadInput) as error:
        verify(line)
    words = DAMAGES[damage] if damage is not damage_other_kind else "notes.txt: is no picture of this contest"
    assert words in str(error.value)


def test_a_zip_that_was_changed_after_it_was_made_is_refused(members, tmp_path):
    submit([str(members)])
    archive = tmp_path / "submissions/joint.zip"
    with zipfile.ZipFile(archive, "a") as content:
        content.writestr("stale.png", encode_png(np.zeros((96, 96, 3), np.uint8)))
    with pytest.raises(BadInput) as error:
        verify([str(archive), str(tmp_path / "contest")])
    told = [line.removeprefix(str(archive)).split(". ")[0] for line in error.value.lines]
    assert told == [
        "/stale.png: is no picture of this contest",
        ": is not the file that the manifest of joint tells of",
    ]


# ---- share ----------------------------------------------------------------------------------------------------------


def test_shared_weights_are_half_as_large_and_predict_the_same_to_a_grey_level(contest, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/best.safetensors").write_bytes(tiny.read_bytes())
    share([str(tmp_path / "run"), str(tmp_path / "shared.safetensors")])
    assert (tmp_path / "shared.safetensors").stat().st_size < 0.75 * tiny.stat().st_size
    root = contest(count=1)
    pictures = []
    for name, source in (("whole", tiny), ("half", tmp_path / "shared.safetensors")):
        infer([str(source), "--input", str(root / "train/lr"), "--output", str(tmp_path / name)])
        pictures.append(to_bytes(read_prediction(tmp_path / name / "000.png")).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


# ---- the command line -----------------------------------------------------------------------------------------------


COMMANDS = [
    "train",
    "train_gan",
    "infer",
    "evaluate",
    "benchmark",
    "submit",
    "verify",
    "demo",
    "flare",
    "share",
    "soup",
    "export",
    "curves",
    "video",
    "convert",
    "study",
    "pretrained",
]


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_explains_itself(module):
    done = command(module, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m competition.") and not done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train", "absent.yaml"), 2, "absent.yaml: no such file"),
        (("infer", "absent", "--input", "absent", "--output", "out"), 3, "absent: no such f"),
        (("infer", "bicubic", "--output", "out"), 2, "--input"),
        (("evaluate", "absent", "absent"), 3, "absent: no such f"),
        (("submit", "absent.yaml"), 2, "absent.yaml: no such file"),
        (("verify", "absent.zip", "absent"), 3, "absent/test/lr: no such f"),
        (("verify", "absent.zip", "absent", "--scale", "0"), 2, "--scale: 0 is no enlargement"),
        (("demo", "out", "--seed", "-1"), 2, "--seed: -1 is negative"),
        (("soup", "absent", "absent"), 4, "experiment.json: no such file"),
        (("export", "absent", "--output", "out"), 2, "absent: neither a file nor known weights"),
        (("benchmark", "absent", "bicubic"), 3, "absent: no folder in it holds hr and lr_bicubic_x4"),
        (("video", "frames", "absent.mp4", "out"), 3, "absent.mp4: no such file"),
        (("video", "enlarge", "absent.mp4", "out.mp4", "--run", "bicubic"), 3, "absent.mp4: no such file"),
        (("convert", "absent.png", "out.png", "--run", "bicubic"), 3, "absent.png: no such file"),
        (("curves", "absent"), 4, "metrics.jsonl: no such file"),
        (("study", "absent.yaml"), 2, "absent.yaml: no such file"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_code(tmp_path, arguments, code, words):
    line = [sys.executable, "-m", f"competition.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert words.lower() in done.stderr.lower()


def test_a_disk_that_refuses_is_named_with_the_file_that_was_meant(contest, tmp_path):
    (tmp_path / "out").write_text("a file where a folder should be")
    done = command("infer", "bicubic", "--input", contest() / "train/lr", "--output", tmp_path / "out")
    assert done.returncode == 5
    assert done.stderr.startswith(f"error: {tmp_path / 'out'}") and len(done.stderr.splitlines()) == 1
    assert ".tmp" not in done.stderr


def test_the_main_path_needs_neither_basicsr_nor_timm_nor_torchvision(contest, tmp_path):
    root = contest(count=4)
    (root / "test").mkdir()
    (root / "train/lr").parent.joinpath("../test/lr").mkdir()
    (root / "test/lr/9.png").write_bytes((root / "train/lr/000.png").read_bytes())
    (tmp_path / "c.yaml").write_text(
        f"{{name: blocked, data: {{root: {root}, validation: 0.25, high_patch: 32}}, pretrained: null, "
        "steps: 2, batch: 2, model: {name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}"
    )
    (tmp_path / "s.yaml").write_text(
        f"{{name: blocked, data: {root}, predictions: runs/blocked, members: [{{folder: out}}]}}"
    )
    script = f"""
import sys
for name in ("basicsr", "timm", "torchvision"):
    sys.modules[name] = None
from competition import infer, submit, train
train.main(["c.yaml"])
out = "runs/blocked/out"
names = ["--names", "runs/blocked/validation.txt"]
infer.main(["runs/blocked", "--input", "{root}/train/lr", "--output", out + "/validation", *names])
infer.main(["runs/blocked", "--input", "{root}/test/lr", "--output", out + "/test"])
submit.main(["s.yaml"])
"""
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "submissions/blocked/9.png").exists()
