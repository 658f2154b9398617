"""The preview of a run: what its table says, how memory grows, and that it leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from competition.config import load
from competition.errors import UsageError
from competition.experiment import Experiment
from competition.preview import estimate, preview

TINY = """
name: tiny
data: {root: nowhere, high_patch: 64}
model: {name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}
"""


def memory(tmp_path: Path, processes: int = 1, **settings: object) -> float:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    experiment = load(path, Experiment, [f"{key.replace('__', '.')}={value}" for key, value in settings.items()])
    network = experiment.model.build()
    fixed = 5 * 4 * sum(parameter.numel() for parameter in network.parameters())
    return estimate(experiment, network, experiment.all_stages()[0], processes).memory - fixed


def test_memory_grows_with_batch_and_area(tmp_path: Path) -> None:
    once = memory(tmp_path, batch=4)
    assert memory(tmp_path, batch=8) == pytest.approx(2 * once)
    assert memory(tmp_path, batch=4, data__high_patch=256) == pytest.approx(16 * once, rel=0.05)
    assert memory(tmp_path, batch=8, accumulate=2) == pytest.approx(once)
    assert memory(tmp_path, processes=2, batch=8) == pytest.approx(once)


def test_memory_holds_what_the_gradients_need(tmp_path: Path) -> None:
    low = 16 * 16 * 4  # bytes of a channel of a low patch of float32
    block = 8 + 4 * 4  # a dense block keeps its input and four features
    ends = (3 + 8 + 8) + 4 * 8 + 16 * (8 + 8)  # inputs of the other convolutions
    assert (3 * block + ends) * low <= memory(tmp_path, batch=1) <= 1.1 * (3 * block + ends) * low


def test_recomputing_saves_what_lies_inside_the_blocks(tmp_path: Path) -> None:
    size = {"batch": 1, "model__num_block": 10}
    low = 16 * 16 * 4
    saved = memory(tmp_path, **size) - memory(tmp_path, **size, recompute="true")
    # Of three dense blocks only the first one's input stays; the inside of one block is there at a time.
    assert saved == pytest.approx(9 * (3 * (8 + 4 * 4) - 8) * low, rel=0.15)


def test_a_dry_run_shows_every_stage_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + "steps: 50\nbatch: 2\npretrained: null\nstages: [{from_step: 30, batch: 4, lr: 5e-5}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "competition.train", str(path), f"runs={tmp_path / 'runs'}", "--dry-run"],
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for words in ("tiny: 50 steps, 1 x cpu", "0–30", "30–50", "60", "80", "5e-05", "140 samples in"):
        assert words in done.stdout
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("override", "words"),
    [("optimizer.layers=[{layers: conv3, factor: 0.1}]", "conv3: no such layers"), ("loss={name: ssim}", "11x11")],
)
def test_a_dry_run_refuses_what_training_would(tmp_path: Path, override: str, words: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    with pytest.raises(UsageError, match=words):
        preview(load(tmp_path / "tiny.yaml", Experiment, ["data.high_patch=8", "batch=1", override]), 1)
