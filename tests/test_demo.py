"""The demo contest: scenes that are the same for a seed, and a folder that is laid out like a real one."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.data.degrade import Degradation, degrade
from competition.data.scenes import draw_scene
from competition.demo import main as demo
from competition.errors import BadInput
from competition.images import read_rgb, write_png


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.mark.parametrize("index", range(7))
def test_a_scene_is_the_same_for_its_seed_and_number_and_another_for_others(index):
    scene = draw_scene(0, index, 256)
    assert scene.shape == (256, 256, 3) and scene.dtype == np.uint8
    assert np.array_equal(scene, draw_scene(0, index, 256))
    for other in (draw_scene(1, index, 256), draw_scene(0, index + 7, 256)):
        assert np.mean(scene != other) > 0.5


@pytest.mark.parametrize("index", range(0, 7, 2))
def test_a_scene_holds_detail_that_its_low_picture_lacks(index):
    scene = draw_scene(0, index, 512)
    low = degrade(scene, Degradation(), generator())
    enlarged = cv2.resize(low, (512, 512), interpolation=cv2.INTER_CUBIC).astype(float)
    assert 10 * np.log10(255**2 / np.mean((enlarged - scene) ** 2)) < 32


def test_the_demo_is_not_drawn_into_a_folder_with_other_pictures(tmp_path: Path):
    write_png(tmp_path / "mine/train/hr/1.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadInput, match="not the demo's"):
        demo([str(tmp_path / "mine")])


@pytest.mark.slow
def test_the_demo_contest_is_laid_out_like_a_real_one_and_kept_when_it_stands(tmp_path: Path, capsys):
    root = tmp_path / "demo"
    demo([str(root)])
    names = {
        part: sorted(path.name for path in (root / part).iterdir()) for part in ("train/lr", "train/hr", "test/lr")
    }
    assert names["train/lr"] == names["train/hr"] and len(names["train/lr"]) == 16 and len(names["test/lr"]) == 3
    assert len((root / "validation.txt").read_text().split()) == 4
    assert read_rgb(root / "train/hr" / names["train/hr"][0]).shape == (2048, 2048, 3)
    assert sum(path.stat().st_size for path in root.rglob("*.*")) < 150e6
    demo([str(root)])
    assert "stands already" in capsys.readouterr().out
