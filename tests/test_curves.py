"""The curves of a run: what its log holds is drawn, what it lacks is named, and a torn log stops nothing."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competition.analysis.series import Series, read_history
from competition.curves import main as curves
from competition.errors import BadCheckpoint

KEYS = ("loss", "psnr", "lr", "grad_norm", "steps_per_s")


def write_run(folder: Path, lines: int = 200, channel: str = "rgb", leave_out: str = "") -> Path:
    """A run folder with a record and a log like that of training."""
    generator = np.random.default_rng(lines)
    log = []
    for step in range(10, 10 * lines + 1, 10):
        loss = 0.01 * (1 + 30 / step) * generator.lognormal(0, 0.3)
        line = {"step": step, "lr": 1e-4 * 0.5 ** (step // 700), "loss": loss, "grad_norm": loss * 3}
        log.append(line | {"steps_per_s": 2 - 10 / step, "eta_s": 100})
        if step % 500 == 0:
            log.append({"step": step, "psnr": 25 + step / 1000})
    folder.mkdir(parents=True)
    text = "".join(json.dumps({key: value for key, value in line.items() if key != leave_out}) + "\n" for line in log)
    (folder / "metrics.jsonl").write_text(text)
    metric = {"channel": channel, "border": 0}
    (folder / "experiment.json").write_text(json.dumps({"config": {"metric": metric}, "data": {}, "sha256": ""}))
    return folder


def picture(path: Path) -> Any:
    """(H, W, 3), after a look whether anything is drawn there."""
    pixels = cv2.imread(str(path))
    assert pixels is not None and pixels.std() > 3, path
    return pixels


def has_colour(pixels: Any, rgb: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels[..., ::-1].astype(int) - rgb).max(axis=-1) <= 2).sum() > 50)


BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


# ---- what is drawn --------------------------------------------------------------------------------------------------


def test_every_quantity_gets_a_picture_and_all_an_overview(tmp_path, capsys):
    run = write_run(tmp_path / "first")
    curves([str(run)])
    assert sorted(path.name for path in (run / "curves").iterdir()) == sorted(
        f"{key}.png" for key in (*KEYS, "overview")
    )
    for key in KEYS:
        pixels = picture(run / f"curves/{key}.png")
        assert pixels.shape == (675, 1200, 3) and has_colour(pixels, BLUE) and not has_colour(pixels, VERMILION)
    assert picture(run / "curves/overview.png").shape[1] == 1800
    assert capsys.readouterr().out.startswith(f"{run / 'curves'}: loss, psnr, lr, grad_norm, steps_per_s, overview")


def test_several_runs_share_the_pictures_each_in_its_colour(tmp_path):
    runs = [write_run(tmp_path / name, lines) for name, lines in (("first", 200), ("second", 120))]
    curves([*map(str, runs), "--output", str(tmp_path / "out")])
    for key in (*KEYS, "overview"):
        pixels = picture(tmp_path / f"out/{key}.png")
        assert has_colour(pixels, BLUE) and has_colour(pixels, VERMILION)
    assert not (runs[0] / "curves").exists()


def test_the_same_log_gives_the_same_bytes(tmp_path):
    run = write_run(tmp_path / "first")
    for name in ("once", "twice"):
        curves([str(run), "--output", str(tmp_path / name)])
    for key in (*KEYS, "overview"):
        assert (tmp_path / f"once/{key}.png").read_bytes() == (tmp_path / f"twice/{key}.png").read_bytes()


def test_more_runs_than_colours_and_awkward_names_are_drawn(tmp_path, capsys):
    runs = [write_run(tmp_path / f"{number}", 10) for number in range(8)]
    runs += [write_run(tmp_path / name, 10) for name in ("_hidden", "costs $5 and $6", "[red]", "other/0")]
    curves([*map(str, runs), "--output", str(tmp_path / "out")])
    picture(tmp_path / "out/overview.png")
    assert "psnr" in capsys.readouterr().out


def test_pictures_say_what_psnr_means_and_warn_where_it_differs(tmp_path, capsys):
    first, second = write_run(tmp_path / "first"), write_run(tmp_path / "second", channel="y")
    assert read_history(first, "first").score == "PSNR on 8-bit rgb, border 0"
    curves([str(first), str(first), "--output", str(tmp_path / "same")])
    assert "warning" not in capsys.readouterr().out
    curves([str(first), str(second), "--output", str(tmp_path / "out")])
    warning = "first: PSNR on 8-bit rgb, border 0; second: PSNR on 8-bit y, border 0"
    assert warning in capsys.readouterr().out


# ---- the smoothed line ----------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300))
def test_a_smoothed_line_stays_within_the_values_and_has_their_number(values):
    series = Series(np.arange(len(values), dtype=float), np.array(values))
    smooth = series.smoothed()
    assert len(smooth) == len(values)
    assert smooth.min() >= min(values) * (1 - 1e-9) and smooth.max() <= max(values) * (1 + 1e-9)


def test_smoothing_keeps_a_constant_does_not_lag_and_calms_noise():
    steps = np.arange(500.0)
    assert np.allclose(Series(steps, np.full(500, 3.0)).smoothed(), 3)
    assert np.allclose(Series(steps, steps).smoothed()[50:-50], steps[50:-50])
    noise = np.random.default_rng(0).normal(size=500)
    assert Series(steps, noise).smoothed().std() < 0.4 * noise.std()


# ---- torn, empty and missing logs -----------------------------------------------------------------------------------


def test_a_partial_last_line_is_passed_over_wherever_it_was_cut(tmp_path):
    run = write_run(tmp_path / "first", 20)
    log = run / "metrics.jsonl"
    whole = log.read_bytes()
    expected = read_history(run, "first").series["loss"].values
    start = whole.rstrip(b"\n").rfind(b'{"step": 200, "lr"')
    for length in range(start, len(whole)):
        log.write_bytes(whole[:length])
        values = read_history(run, "first").series["loss"].values
        assert np.array_equal(values, expected[: len(values)]) and len(values) >= 19


def test_foreign_lines_and_values_are_passed_over(tmp_path, capsys):
    run = write_run(tmp_path / "first")
    with open(run / "metrics.jsonl", "ab") as log:
        log.write(b'\xff\xfe\x00\n[1, 2]\n3\nnull\n{"loss": 1}\n{"step": "x", "loss": 1}\n')
        log.write(b'{"step": 3000, "loss": NaN, "lr": Infinity, "psnr": "high", "grad_norm": true}\n')
    history = read_history(run, "first")
    assert all(series.steps.max() == 2000 and np.isfinite(series.values).all() for series in history.series.values())
    curves([str(run)])
    assert "overview" in capsys.readouterr().out


def test_steps_logged_twice_count_once_and_are_in_order(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    lines = [{"step": 2, "loss": 5.0}, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    series = read_history(run, "run").series["loss"]
    assert series.steps.tolist() == [1, 2] and series.values.tolist() == [1, 2]


@pytest.mark.parametrize("key", KEYS)
def test_a_quantity_that_was_not_logged_is_named_and_the_others_drawn(tmp_path, capsys, key):
    run = write_run(tmp_path / "first", leave_out=key)
    curves([str(run)])
    assert f"first: has not logged {key}\n" in capsys.readouterr().out
    assert {path.stem for path in (run / "curves").iterdir()} == {*KEYS, "overview"} - {key}


def test_a_single_point_and_a_rate_of_zero_are_drawn(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5, "lr": 0.0, "psnr": 25.0}\n')
    curves([str(run)])
    for key in ("loss", "lr", "psnr", "overview"):
        picture(run / f"curves/{key}.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("", "holds no whole line"),
        ('{"step": 10, "lo', "holds no whole line"),
        ('{"step": 10}\n', "holds no whole line"),
        ('{"step": 10, "other": 1}\n', "holds none of loss, psnr"),
    ],
)
def test_a_log_with_nothing_to_draw_is_one_error(tmp_path, content, words):
    run = tmp_path / "run"
    run.mkdir()
    if content is not None:
        (run / "metrics.jsonl").write_text(content)
    with pytest.raises(BadCheckpoint, match=rf"metrics\.jsonl: {words}") as error:
        curves([str(run)])
    assert len(error.value.lines) == 1 and not (run / "curves").exists()


def test_runs_without_a_log_are_named_and_the_others_drawn(tmp_path):
    run = write_run(tmp_path / "first")
    with pytest.raises(BadCheckpoint, match="absent") as error:
        curves([str(run), str(tmp_path / "absent"), "--output", str(tmp_path / "out")])
    assert len(error.value.lines) == 1 and error.value.code == 4
    picture(tmp_path / "out/loss.png")


def test_values_are_those_of_the_log(tmp_path):
    run = write_run(tmp_path / "first", 50)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for key in KEYS:
        series = read_history(run, "first").series[key]
        logged = {line["step"]: line[key] for line in lines if key in line}
        assert dict(zip(series.steps.tolist(), series.values.tolist(), strict=True)) == logged
        assert not any(map(math.isnan, logged.values()))
