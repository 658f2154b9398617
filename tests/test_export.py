"""Exported files: every network of the union, any size of picture, the same pixels, and nothing left that disagrees."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_models import build, members, picture
from torch import nn

from competition import exchange, export, weights
from competition.errors import NumericalError, UsageError
from competition.export import main
from competition.images import write_png
from competition.models.bicubic import BicubicConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.networks import Chosen

SMALL = RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4)
# None of these is compared by the command itself.
SIZES = [(5, 9), (24, 16), (33, 101)]


@pytest.fixture
def lows(texture, tmp_path) -> Path:
    """A folder with two small pictures, quicker than the scene that is drawn otherwise."""
    for number, shape in enumerate([(40, 27), (200, 191)]):
        write_png(tmp_path / f"lows/{number}.png", texture(number, *shape))
    return tmp_path / "lows"


def save(config: Any, path: Path) -> nn.Module:
    """A weights file of a network of random weights, and the network."""
    network = build(config).eval()
    description = weights.Description(model=config, step=7)
    path.write_bytes(weights.encode(weights.Weights(network.state_dict(), {}, description)))
    return network


def open_pt2(path: Path) -> exchange.Run:
    return torch.no_grad()(torch.export.load(io.BytesIO(path.read_bytes())).module())


def open_onnx(path: Path) -> exchange.Run:
    session = pytest.importorskip("onnxruntime").InferenceSession(path.read_bytes())
    return lambda low: torch.from_numpy(session.run(["high"], {"low": low.numpy()})[0])


# Tracing takes torch seconds of algebra on sizes.
QUICK = {"bicubic x4", "srcnn x4", "rrdbnet x4", "swinir x4"}


@pytest.mark.parametrize(
    "config",
    [pytest.param(*one.values, id=one.id, marks=[pytest.mark.slow] * (one.id not in QUICK)) for one in members()],
)
def test_every_network_becomes_files_that_enlarge_any_picture_alike(config, lows, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    network = save(config, tmp_path / "net.safetensors")
    main([str(tmp_path / "net.safetensors"), "--output", str(tmp_path), "--pictures", str(lows)])
    output = capsys.readouterr().out
    sizes = [f"{width * config.scale}x{height * config.scale}" for width, height in ((27, 40), (189, 151))]
    for word in ("net.onnx", "net.pt2", "0.png", "1.png", *sizes):  # of the larger picture its middle
        assert word in output
    for run in (open_pt2(tmp_path / "net.pt2"), open_onnx(tmp_path / "net.onnx")):
        for size in SIZES:
            low = picture(1, 3, *size)
            with torch.inference_mode():
                torch.testing.assert_close(run(low), network(low), rtol=0, atol=1e-4)


def test_files_say_what_they_are(tmp_path, lows):
    config = BicubicConfig(scale=2)
    save(config, tmp_path / "net.safetensors")
    main([str(tmp_path / "net.safetensors"), "--output", str(tmp_path), "--pictures", str(lows), "--formats", "pt2"])
    extra = {exchange.NOTE: ""}
    torch.export.load(io.BytesIO((tmp_path / "net.pt2").read_bytes()), extra_files=extra)
    note = json.loads(extra[exchange.NOTE])
    assert note["made_from"]["model"] == config.model_dump() and note["made_from"]["step"] == 7
    assert "2 * height" in note["high"] and "[0, 1]" in note["low"]


def test_onnx_files_say_what_they_are_and_the_command_nothing_on_stderr(tmp_path, lows):
    runtime = pytest.importorskip("onnxruntime")
    line = [sys.executable, "-m", "competition.export", "bicubic", "--output", str(tmp_path / "new")]
    done = subprocess.run([*line, "--pictures", str(lows)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bicubic.onnx", "bicubic.pt2"]
    session = runtime.InferenceSession(tmp_path / "new/bicubic.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map[exchange.NOTE])["made_from"]["step"] == 0
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("low", [1, 3, "height", "width"])]


@pytest.mark.slow
def test_without_pictures_a_drawn_scene_is_compared(tmp_path, capsys):
    main(["bicubic", "--output", str(tmp_path), "--formats", "pt2"])
    output = capsys.readouterr().out
    assert "drawn scene" in output and "noise 30x17" in output


# ---- what is refused ------------------------------------------------------------------------------------------------


class Halves(nn.Module):
    """Takes another way for pictures of odd width, which no exported program can."""

    def forward(self, low):
        high = nn.functional.interpolate(low, scale_factor=4)
        return high * 2 if low.shape[-1] % 2 else high


def test_a_network_that_exports_for_some_sizes_only_is_refused(monkeypatch, tmp_path, lows):
    monkeypatch.setattr(export, "choose", lambda _: Chosen(Halves(), weights.Description(model=BicubicConfig()), None))
    with pytest.raises(UsageError, match=r"halves\.pt2: .*cannot be exported for pictures of every size") as error:
        main(["halves", "--output", str(tmp_path / "out"), "--pictures", str(lows), "--formats", "pt2"])
    assert len(str(error.value).splitlines()) == 1 and not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("fault", [0.5 / 255, float("nan")])
def test_a_file_that_disagrees_is_not_written_and_the_old_one_stays(monkeypatch, tmp_path, lows, fault):
    def write(program, note):
        content, run = exchange.write_pt2(program, note)
        return exchange.Exported(content, lambda low: run(low) + fault)

    monkeypatch.setitem(exchange.WRITERS, "pt2", write)
    (tmp_path / "bicubic.pt2").write_text("old")
    with pytest.raises(NumericalError, match=r"bicubic\.pt2: enlarges noise .* (0\.5|nan) grey levels off"):
        main(["bicubic", "--output", str(tmp_path), "--pictures", str(lows), "--formats", "pt2"])
    assert (tmp_path / "bicubic.pt2").read_text() == "old"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tmp")]


def test_missing_packages_are_named_before_any_work(tmp_path):
    script = (
        "import sys; sys.modules['onnxscript'] = None; "
        "from competition.export import main; from competition.errors import run_command; run_command(main)"
    )
    line = [sys.executable, "-c", script, "bicubic", "--output", str(tmp_path / "out"), "--formats", "onnx"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "onnxscript" in done.stderr and "[export]" in done.stderr and not (tmp_path / "out").exists()
