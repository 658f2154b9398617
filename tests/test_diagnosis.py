"""The tables of the error analysis: known values, sums that must agree, and what is missing is named."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import mispredicted
import numpy as np
import pandas as pd
import pytest
from drawn import draw_contest
from peak_memory import forget_peak_memory, peak_memory
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from competition.analysis.diagnosis.budget import FIXES
from competition.analysis.diagnosis.door import SAMPLE, analyse
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.diagnosis.frames import COLUMNS, write_csv
from competition.analysis.diagnosis.places import ORIENTATIONS, TEXTURE, textures
from competition.ensemble import bicubic
from competition.errors import BadInput
from competition.geometry import SYMMETRIES
from competition.images import read_prediction, read_rgb, to_bytes, write_png
from competition.predictions import write_record
from competition.statistics import compare

Change = Callable[[mispredicted.Levels], mispredicted.Levels]
CENTRE = (slice(20, 40), slice(70, 80))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_contest(tmp_path_factory.mktemp("drawn"), 4)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fair predictions with their sizes and names."""
    return mispredicted.write(tmp_path_factory.mktemp("run"), mispredicted.fair(data))


@pytest.fixture(scope="module")
def findings(run: Path, data: Path) -> Findings:
    return analyse(run, data, progress=False)


def exactly(data: Path, folder: Path, change: Change) -> Findings:
    """The analysis of predictions that are the truth but for a change."""
    truths = {path.name: read_rgb(path).astype(np.float64) for path in (data / "train/hr").iterdir()}
    return analyse(mispredicted.write(folder, truths, change), data, progress=False)


def fixes(findings: Findings) -> pd.DataFrame:
    return findings.budget.set_index("fix")


# ---- scores ---------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_image(findings: Findings, run: Path, data: Path) -> None:
    for _, row in findings.pictures.iterrows():
        truth = read_rgb(data / "train/hr" / row["name"])
        shown = to_bytes(read_prediction(run / "validation" / row["name"]))
        plain = bicubic(read_rgb(data / "train/lr" / row["name"]), 4)
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, shown, data_range=255), abs=1e-6)
        assert row["psnr_bicubic"] == pytest.approx(peak_signal_noise_ratio(truth, plain, data_range=255), abs=1e-6)
        assert row["gain"] == row["psnr"] - row["psnr_bicubic"]
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
        _, full = structural_similarity(truth, shown, data_range=255, channel_axis=-1, **settings)
        assert row["ssim"] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


def test_shares_and_the_sample_are_told(findings: Findings) -> None:
    assert findings.pictures["share"].sum() == pytest.approx(1)
    assert findings.looked == ("000.png", "001.png", "002.png", "003.png")
    assert findings.metric == "PSNR on 8-bit rgb, border 0"


def test_a_sample_is_drawn_by_its_seed_and_all_pictures_are_scored(run: Path, data: Path) -> None:
    drawn = [analyse(run, data, sample=2, seed=seed, progress=False) for seed in (1, 1, 2, 3)]
    assert all(len(one.looked) == 2 and one.pictures["psnr"].notna().all() for one in drawn)
    assert drawn[0].looked == drawn[1].looked
    assert len({one.looked for one in drawn}) > 1
    assert list(drawn[0].pictures.loc[drawn[0].pictures["looked"], "name"]) == list(drawn[0].looked)


# ---- the budget -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["none", *mispredicted.FAULTS])
def test_the_budget_adds_up_to_the_loss(fault: str, data: Path, tmp_path: Path) -> None:
    plant = mispredicted.FAULTS.get(fault, lambda levels: levels)
    found = analyse(mispredicted.write(tmp_path, mispredicted.fair(data), plant), data, progress=False)
    assert tuple(found.budget["fix"]) == FIXES
    assert found.budget["squared_error"].sum() == pytest.approx(found.pictures["mse"].mean(), rel=1e-6)
    assert found.budget["share"].sum() == pytest.approx(1)
    assert (found.budget["squared_error"][1:] > -1e-6).all()


def test_an_offset_is_all_colour_and_mending_it_leaves_nothing(data: Path, tmp_path: Path) -> None:
    found = fixes(exactly(data, tmp_path, lambda levels: levels * 0.9 + 3))
    assert found.loc[["gamma", "colour"], "share"].sum() > 0.98
    assert found.loc["colour", "gain"] > 20
    assert found.loc["border", "gain"] > 0 and found.loc["channel order", "gain"] == 0


def test_a_shift_of_half_a_pixel_is_told_in_pixels(data: Path, tmp_path: Path) -> None:
    found = exactly(data, tmp_path, lambda levels: (levels + np.roll(levels, 1, 0)) / 2)
    assert found.pictures["shift_down"].to_numpy() == pytest.approx(np.full(4, 0.5), abs=0.03)
    assert found.pictures["shift_right"].to_numpy() == pytest.approx(np.zeros(4), abs=0.02)


def test_what_rounding_takes_away_counts_against_it(data: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    # Below half a level, so that it is rounded away: the prediction is worse before it is rounded.
    found = exactly(data, tmp_path, lambda levels: levels + generator.uniform(-0.49, 0.49, levels.shape))
    assert np.isinf(found.pictures["psnr"]).all()
    assert fixes(found).loc["rounding", "squared_error"] == pytest.approx(-(0.49**2) / 3, rel=0.02)
    assert (found.budget["gain"] == 0).all() and "worst" not in set(found.tiles["kind"])


def test_clipped_samples_are_told_apart(data: Path, tmp_path: Path) -> None:
    burnt = np.random.default_rng(0).random((96, 96, 1)) < 0.01
    found = exactly(data, tmp_path, lambda levels: np.where(burnt, 255, levels.clip(1, 254)))
    assert fixes(found)["gain"].idxmax() == "clipping" and fixes(found).loc["clipping", "gain"] > 15


# ---- places and frequencies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["textures", "brightness", "channels", "border", "bands"])
def test_parts_sum_to_the_whole(table: str, findings: Findings) -> None:
    parts, mse = getattr(findings, table), findings.pictures["mse"].mean()
    assert parts["share"].sum() == pytest.approx(1)
    if table == "bands":
        assert parts["residual_power"].sum() == pytest.approx(mse, rel=1e-5)
    elif table in ("channels", "brightness"):
        area = parts.get("area", pd.Series(1, parts.index)) / 3
        assert (parts["mse"] * area).sum() == pytest.approx(mse, rel=1e-5)
    else:
        assert parts["area"].sum() == pytest.approx(1)
        assert (parts["mse"] * parts["area"]).sum() == pytest.approx(mse, rel=1e-5)


def test_the_bands_hold_the_pictures_power(findings: Findings, data: Path) -> None:
    """Parseval."""
    truths = [read_rgb(path).astype(np.float64) for path in (data / "train/hr").iterdir()]
    assert findings.bands["truth_power"].sum() == pytest.approx(np.mean(np.square(truths)), rel=1e-5)
    assert findings.bands["coefficients"].sum() == pytest.approx(1)


def test_a_wave_of_error_lies_in_its_band(data: Path, tmp_path: Path) -> None:
    # One coefficient of the cosine transform: 24 half waves down 96 rows, 24 / 192 = 0.125 cycles per pixel.
    wave = 5 * np.cos(np.pi * 24 * (np.arange(96) + 0.5) / 96)[:, None, None]
    bands = exactly(data, tmp_path, lambda levels: levels.clip(20, 235) + wave).bands
    loudest = bands.loc[bands["residual_power"].idxmax()]
    assert (loudest["low"], loudest["high"]) == (0.125, 0.140625)


@pytest.mark.parametrize("number", range(8))
def test_edges_are_sorted_by_their_direction(number: int) -> None:
    angle = np.radians(ORIENTATIONS[number])
    y, x = np.mgrid[:64, :64]
    # Along the edge, counter-clockwise from horizontal with y downwards, the phase does not change.
    phase = x * np.sin(angle) + y * np.cos(angle)
    stripes = np.repeat((128 + 60 * np.sin(phase * 0.4))[..., None], 3, 2).astype(np.uint8)
    assert (textures(stripes)[8:-8, 8:-8] == number + 1).mean() > 0.95


def test_flat_places_and_textures_are_neither() -> None:
    assert (textures(np.full((40, 40, 3), 90, np.uint8)) == 0).all()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 1), np.uint8).repeat(3, 2)
    assert (textures(noise) == TEXTURE).mean() > 0.8


def test_a_spoilt_place_is_the_worst_tile_and_carries_everything(data: Path, tmp_path: Path) -> None:
    def spoilt(levels: mispredicted.Levels) -> mispredicted.Levels:
        levels = levels.copy()
        levels[CENTRE] += 20
        return levels

    found = exactly(data, tmp_path, spoilt)
    worst = found.tiles.query("kind == 'worst'")
    assert len(worst) == 4 and worst["share"].sum() == pytest.approx(1)
    assert worst[["y", "x", "height", "width"]].to_numpy().tolist() == [[0, 64, 64, 32]] * 4
    curve = found.concentration.set_index("tiles")["error"]
    assert curve.loc[0] == 0 and curve.loc[0.25] == pytest.approx(1) and curve.is_monotonic_increasing


def test_best_tiles_are_those_where_bicubic_errs_most(data: Path, tmp_path: Path) -> None:
    best = exactly(data, tmp_path, lambda levels: levels + 1).tiles.query("kind == 'best'")
    assert (best["psnr"] > best["psnr_bicubic"]).all() and (best.groupby("name").size() <= 3).all()


def test_errors_of_one_channel_and_of_the_border_are_found(data: Path, tmp_path: Path) -> None:
    def framed(levels: mispredicted.Levels) -> mispredicted.Levels:
        levels = levels.clip(20, 235)
        levels[:2, :, 1] -= 9
        return levels

    found = exactly(data, tmp_path, lambda levels: framed(levels))
    clipped = exactly(data, tmp_path / "clipped", lambda levels: levels.clip(20, 235))
    more = found.channels["mse"] - clipped.channels["mse"]
    assert more.to_numpy() == pytest.approx([0, 81 * 2 / 96, 0], abs=0.3)
    assert found.border.set_index("low")["mse"].idxmax() in (0, 1)
    likeness = found.channels[["like_red", "like_green", "like_blue"]].to_numpy()
    assert likeness.diagonal().min() > 0.99 and np.abs(likeness - np.diag(likeness.diagonal())).max() < 0.5


def test_bias_is_told_at_the_predicted_brightness(data: Path, tmp_path: Path) -> None:
    found = exactly(data, tmp_path, lambda levels: np.where(levels > 128, levels + 2, levels)).brightness
    assert found.query("low >= 144 and high < 250")["bias"].to_numpy() == pytest.approx(2, abs=1e-6)
    assert found.query("high <= 128")["bias"].to_numpy() == pytest.approx(0, abs=1e-6)


# ---- members, symmetries, comparison, clusters ----------------------------------------------------------------------


def test_members_with_independent_errors_are_all_variance(data: Path, tmp_path: Path) -> None:
    truths = {path.name: read_rgb(path).clip(30, 225).astype(np.float64) for path in (data / "train/hr").iterdir()}
    for name, truth in truths.items():
        write_png(tmp_path / "data/train/hr" / name, truth.astype(np.uint8))
    generators = [np.random.default_rng(seed) for seed in range(4)]
    members = [
        mispredicted.write(tmp_path / str(number), truths, lambda levels, g=g: levels + g.normal(0, 4, levels.shape))
        for number, g in enumerate(generators)
    ]
    found = analyse(members[0], tmp_path / "data", members=members, progress=False)
    spread = found.spread.set_index("quantity")["squared_error"]
    assert spread["mean member"] == pytest.approx(16, rel=0.02)
    assert spread["mean of members"] == pytest.approx(4, rel=0.05)
    assert spread["variance"] == pytest.approx(16, rel=0.02) and spread["bias"] == pytest.approx(0, abs=0.3)
    assert found.members["weight"].to_numpy() == pytest.approx(0.25, abs=0.02)
    assert found.members["worth"].to_numpy() == pytest.approx(10 * np.log10(4 / 3), abs=0.1)


def test_symmetries_are_read_from_the_record(run: Path, data: Path, tmp_path: Path) -> None:
    folder = mispredicted.write(tmp_path, mispredicted.fair(data)) / "validation"
    scores = {name: 30.0 + number / 10 for number, name in enumerate((*SYMMETRIES, "together"))}
    entries = {f"{number:03d}.png": {"seconds": 1.5, "psnr": scores} for number in range(3)}
    write_record(folder, {"pictures": entries | {"003.png": {"seconds": "soon"}}})
    found = analyse(tmp_path, data, progress=False)
    assert tuple(found.symmetries["symmetry"]) == SYMMETRIES
    assert found.symmetries["gain"].to_numpy() == pytest.approx([0.8 - number / 10 for number in range(8)])
    assert (found.symmetries["wins"] == 3).all()
    assert found.pictures["seconds"].tolist()[:3] == [1.5] * 3 and np.isnan(found.pictures["seconds"][3])


def test_two_runs_are_compared_picture_by_picture(run: Path, data: Path, tmp_path: Path) -> None:
    before = mispredicted.write(tmp_path, mispredicted.fair(data), lambda levels: levels + 1)
    found = analyse(run, data, previous=before, progress=False)
    row = found.comparison.set_index("against").loc["previous"]
    expected = compare(found.pictures["psnr"].to_numpy(), found.pictures["psnr_previous"].to_numpy())
    assert (row["mean"], row["low"], row["high"], row["wins"]) == (*expected[:3], 4)
    assert (found.pictures["gain_previous"] > 0).all() and row["same_winner"] == 1
    assert "previous" in set(found.verdict["about"])


def test_clusters_are_those_of_the_audit(run: Path, data: Path, tmp_path: Path) -> None:
    pairs = [{"name": f"{number:03d}.png", "cluster": number % 2} for number in range(3)] + [{"name": "003.png"}]
    (tmp_path / "audit.json").write_text(json.dumps({"pairs": pairs, "clusters": [{"kind": "area"}, {"kind": "blur"}]}))
    clusters = analyse(run, data, audit=tmp_path / "audit.json", progress=False).clusters
    assert clusters[["cluster", "kind", "pictures"]].values.tolist() == [[0, "area", 2], [1, "blur", 1]]


# ---- what is missing ------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named_and_the_rest_is_shown(data: Path, tmp_path: Path) -> None:
    run = mispredicted.write(tmp_path / "run", mispredicted.fair(data))
    (run / "validation.txt").write_text("000.png\n001.png\n002.png\n003.png\nghost.png\n")
    (run / "validation/001.png").unlink()
    (run / "validation/002.png").write_bytes(b"no picture")
    write_png(run / "validation/003.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "audit.json").write_text('{"pairs": [')
    (tmp_path / "run/validation.json").write_text('{"pictures"')
    found = analyse(run, data, previous=tmp_path / "nowhere", audit=tmp_path / "audit.json", progress=False)
    assert found.pictures["success"].tolist() == [True, False, False, False]
    assert [word in fault for word, fault in zip(("001", "002", "8x8"), found.pictures["fault"][1:], strict=True)]
    assert found.looked == ("000.png",) and not found.budget.empty
    told = "\n".join(found.lacks)
    assert all(word in told for word in ("ghost.png", "nowhere", "audit.json", "members", "symmetries"))
    assert found.verdict["about"].iloc[0] == "failures" and "3 of 4" in found.verdict["sentence"].iloc[0]


def test_without_low_pictures_everything_but_bicubic_is_told(run: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/hr").symlink_to(data / "train/hr")
    found = analyse(run, tmp_path, progress=False)
    assert found.pictures["gain"].isna().all() and found.pictures["psnr"].notna().all()
    assert found.textures["mse_bicubic"].isna().all() and found.budget["squared_error"].notna().all()
    assert any("no gain over bicubic" in line for line in found.lacks)


def test_without_any_truth_all_tables_are_empty_with_their_columns(run: Path, tmp_path: Path) -> None:
    found = analyse(run, tmp_path, progress=False)
    assert {name: tuple(table.columns) for name, table in found.tables().items()} == COLUMNS
    assert all(table.empty for table in found.tables().values())
    assert any("no picture has a truth" in line for line in found.lacks)


def test_no_predictions_at_all_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no predictions of validation pictures"):
        analyse(tmp_path, data, progress=False)


def test_a_run_is_judged_by_its_self_ensemble_where_there_is_one(data: Path, tmp_path: Path) -> None:
    predictions = mispredicted.fair(data)
    mispredicted.write(tmp_path / "predictions/model", predictions)
    assert analyse(tmp_path, data, progress=False).sources.folder == tmp_path / "predictions/model/validation"
    mispredicted.write(tmp_path / "predictions/self_ensemble", predictions)
    assert analyse(tmp_path, data, progress=False).sources.folder == tmp_path / "predictions/self_ensemble/validation"


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 200), (200, 12), (64, 64)])
@pytest.mark.parametrize("change", [0, 1, 255])
def test_flat_and_small_pictures_are_no_exception(height: int, width: int, change: int, tmp_path: Path) -> None:
    for number in range(3):
        flat = np.full((height, width, 3), 100 * number, np.uint8)
        write_png(tmp_path / "data/train/hr" / f"{number}.png", flat)
        write_png(tmp_path / "data/train/lr" / f"{number}.png", flat[::4, ::4])
        write_png(
            tmp_path / "run/validation" / f"{number}.png", np.minimum(flat.astype(int) + change, 255).astype(np.uint8)
        )
    found = analyse(tmp_path / "run", tmp_path / "data", progress=False)
    assert found.pictures["success"].all() and len(found.looked) == 3
    assert found.budget["squared_error"].sum() == pytest.approx(found.pictures["mse"].mean())


def test_a_whole_picture_of_perfect_tiles_says_nothing_of_tiles(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_png(data / "train/hr/0.png", np.random.default_rng(0).integers(0, 256, (704, 704, 3), np.uint8))
    found = analyse(data / "train/hr", data, progress=False)
    assert np.isinf(found.pictures["psnr"]).all() and found.concentration.empty and found.verdict.empty


# ---- files ----------------------------------------------------------------------------------------------------------


def test_every_table_is_written_as_csv(findings: Findings, tmp_path: Path) -> None:
    write_csv(findings.tables(), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(COLUMNS)
    for name, table in findings.tables().items():
        read = pd.read_csv(tmp_path / f"{name}.csv")
        assert tuple(read.columns) == COLUMNS[name] == tuple(table.columns)
        assert len(read) == len(table)
    assert pd.read_csv(tmp_path / "pictures.csv")["psnr"].to_numpy() == pytest.approx(
        findings.pictures["psnr"].to_numpy(), rel=1e-5
    )


# ---- many pictures --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_as_many_pictures_as_the_contest_trains_on(tmp_path: Path) -> None:
    """Prints the seconds, for the record; what is held of each picture is small."""
    data = draw_contest(tmp_path / "data", 1640)
    run = mispredicted.write(tmp_path / "run", mispredicted.fair(data))
    forget_peak_memory()
    began = time.monotonic()
    found = analyse(run, data, members=[run], previous=run, progress=False)
    print(f"1640 pictures: {time.monotonic() - began:.0f} s, {peak_memory() / 2**20:.2f} GiB at most")
    assert len(found.pictures) == 1640 and found.pictures["psnr"].notna().all() and len(found.looked) == SAMPLE
    assert peak_memory() < 2 * 2**20
