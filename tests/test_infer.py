"""infer on real files: what the self-ensemble's members score, and memory that does not suffice for a picture."""

import json
from pathlib import Path

import pytest
import torch

from competition import weights
from competition.errors import OutOfMemory, UsageError
from competition.evaluate import evaluate
from competition.images import read_prediction, read_rgb, write_png
from competition.infer import main as infer
from competition.metrics import MetricConfig
from competition.models.rrdbnet import RRDBNetConfig


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A weights file of a tiny network whose output is within [0, 1] and unlike in every direction."""
    torch.manual_seed(0)
    config = RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4)
    network = config.build().requires_grad_(False)
    network.conv_last.weight.mul_(2)
    network.conv_last.bias.fill_(0.5)  # type: ignore[union-attr]
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(weights.encode(weights.Weights(network.state_dict(), {}, weights.Description(model=config))))
    return path


def test_every_symmetry_is_scored_and_the_gain_of_all_together(contest, tiny, tmp_path, capsys):
    root, out = contest(count=2), tmp_path / "out"
    metric = MetricConfig()
    line = [str(tiny), "--input", str(root / "train/lr"), "--output"]
    infer([*line, str(tmp_path / "plain")])
    infer([*line, str(out), "--self-ensemble", "median", "--truth", str(root / "train/hr")])
    pictures = json.loads((tmp_path / "out.json").read_text())["pictures"]
    plain, joined = (evaluate(folder, root / "train/hr", metric) for folder in (tmp_path / "plain", out))
    for one, all_eight in zip(plain, joined, strict=True):
        scores = pictures[f"{one.image}.png"]["psnr"]
        assert len(scores) == 9 and len(set(scores.values())) == 9
        assert (scores["e"], scores["together"]) == (one.psnr, all_eight.psnr)
    told = capsys.readouterr().out
    gain = sum(row.psnr for row in joined) / 2 - sum(row.psnr for row in plain) / 2
    assert f"{gain:+.4f}" in next(row for row in told.splitlines() if "together" in row)
    infer([*line, str(out), "--self-ensemble", "median", "--truth", str(root / "train/hr")])
    again = capsys.readouterr().out
    assert "0 enlarged" in again and "together" in again
    write_png(root / "train/hr/000.png", 255 - read_rgb(root / "train/hr/000.png"))
    infer([*line, str(out), "--self-ensemble", "median", "--truth", str(root / "train/hr")])
    assert "1 enlarged" in capsys.readouterr().out


def test_scores_need_members(contest, tiny, tmp_path):
    root = contest(count=1)
    with pytest.raises(UsageError, match="--truth: scores the members"):
        infer([str(tiny), "--input", str(root / "train/lr"), "--output", str(tmp_path / "out"), "--truth", str(root)])


def test_a_picture_that_memory_does_not_suffice_for_is_named_and_the_others_are_done(
    contest, tiny, tmp_path, monkeypatch
):
    root = contest(count=3)
    large = read_rgb(root / "train/lr/001.png").repeat(2, 1)
    write_png(root / "train/lr/001.png", large)

    def failing(network, precision, backend):
        def forward(low):
            if low.shape[-1] > 24:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return network(low)

        return forward

    monkeypatch.setattr("competition.upscaler.build_engine", failing)
    line = ["--input", str(root / "train/lr"), "--output", str(tmp_path / "out")]
    with pytest.raises(OutOfMemory, match=r"^\S+/001\.png: memory: does not suffice for 16x16 of 48x24 pixels"):
        infer([str(tiny), *line])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "002.png"]


@pytest.mark.parametrize("option", [["--precision", "bf16"], ["--precision", "float64"], ["--tile", "16"]])
def test_options_of_the_forward_give_the_same_picture_within_a_level(option, contest, tiny, tmp_path):
    root = contest(count=1)
    line = [str(tiny), "--input", str(root / "train/lr"), "--output"]
    infer([*line, str(tmp_path / "plain")])
    infer([*line, str(tmp_path / "other"), *option])
    names = [tmp_path / folder / "000.png" for folder in ("plain", "other")]
    plain, other = (read_prediction(name).astype(float) for name in names)
    assert abs(plain - other).max() < (257 if option[1] == "bf16" else 1.5)
