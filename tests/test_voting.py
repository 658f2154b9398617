"""Votes of members' folders: fitted weights, parts, back-projection, and what the hidden pictures tell."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn import texture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from competition import weighting
from competition.agreement import disagreement, distances, gram, outliers
from competition.backprojection import corrections
from competition.data.degrade import Degradation, make_clean
from competition.ensemble import vote
from competition.errors import BadInput, UsageError
from competition.images import read_prediction, read_rgb, to_bytes, write_png
from competition.metrics import MetricConfig
from competition.parts import PARTS, join
from competition.submit import main as submit

VALIDATION, TEST = ("000", "001", "002", "003", "004"), ("005", "006", "007")
METRICS = [MetricConfig(), MetricConfig(channel="y"), MetricConfig(border=4), MetricConfig(channel="y", border=4)]


def noise(seed: int, strength: float, sigma: float = 0.0, size: int = 96) -> np.ndarray:
    """Errors in 8-bit levels, coarse where `sigma` is large."""
    field = np.random.default_rng(seed).normal(size=(size, size, 3))
    field = cv2.GaussianBlur(field, (0, 0), sigma) if sigma else field
    return field / field.std() * strength


def words(levels: np.ndarray) -> np.ndarray:
    return (levels * 257).clip(0, 65535).astype(np.uint16)


@pytest.fixture
def votes(contest, tmp_path):
    """votes(strong=…, weak=…): the YAML of members whose errors are made by a function of the picture's number."""
    root = contest(count=8)
    (root / "test/lr").mkdir(parents=True)
    for name in TEST:
        (root / f"test/lr/{name}.png").write_bytes((root / f"train/lr/{name}.png").read_bytes())

    def make(**members) -> str:
        for member, error in members.items():
            for number, name in enumerate((*VALIDATION, *TEST)):
                part = "test" if name in TEST else "validation"
                truth = read_rgb(root / f"train/hr/{name}.png").astype(np.float64)
                write_png(tmp_path / "members" / member / part / f"{name}.png", words(truth + error(number)))
        path = tmp_path / "joint.yaml"
        folders = ", ".join(f"{{folder: {member}}}" for member in members)
        path.write_text(
            f"{{name: joint, data: {root}, predictions: {tmp_path / 'members'}, "
            f"submissions: {tmp_path / 'submissions'}, members: [{folders}]}}"
        )
        return str(path)

    return make


def table(tmp_path: Path) -> dict[str, dict[str, float]]:
    manifest = json.loads((tmp_path / "submissions/joint/manifest.json").read_text())
    return {row["name"]: row for row in manifest["validation"]["rows"]}


# ---- the Gram matrix ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=MetricConfig.definition)
@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_weights_and_gram_matrix_give_the_measured_error_of_the_vote(metric, seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (36, 44, 3)).astype(np.uint8)
    members = [words(truth + rng.normal(0, 10, truth.shape)) for _ in range(3)]
    weights = rng.dirichlet(np.ones(3))
    parts = PARTS["all"]
    found = gram(members, truth, metric, parts, parts.label(truth[::4, ::4], 4))[None]
    joined = vote(members, list(weights))[0].permute(1, 2, 0).numpy() * 255
    planes = joined if metric.channel == "rgb" else joined @ np.array([65.481, 128.553, 24.966])[:, None] / 255
    targets = truth if metric.channel == "rgb" else truth @ np.array([65.481, 128.553, 24.966])[:, None] / 255
    inside = np.s_[metric.border : 36 - metric.border, metric.border : 44 - metric.border]
    measured = ((planes - targets)[inside] ** 2).mean()
    assert weighting.errors(found, weights[None])[0] == pytest.approx(measured, rel=1e-5)


@pytest.mark.parametrize("kind", ["band", "texture"])
@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_parts_have_gram_matrices_of_their_own_that_add_up_to_the_measured_error(kind, seed):
    rng = np.random.default_rng(seed)
    truth = texture(seed % 1000, 64, 48)
    members = [words(truth + rng.normal(0, 6, truth.shape)) for _ in range(3)]
    parts, low = PARTS[kind], truth[::4, ::4].copy()
    weights = rng.dirichlet(np.ones(3), parts.number)
    labels = parts.label(low, 4)
    found = gram(members, truth, MetricConfig(), parts, labels)[None]
    joined = join(members, weights, labels, parts)[0].permute(1, 2, 0).numpy() * 255
    assert weighting.errors(found, weights)[0] == pytest.approx(((joined - truth) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["band", "texture"])
def test_parts_that_weigh_alike_make_the_plain_vote(kind):
    truth = texture(3, 64, 48)
    members = [words(truth + noise(seed, 5, size=64)[:, :48]) for seed in range(3)]
    parts = PARTS[kind]
    labels = parts.label(truth[::4, ::4].copy(), 4)
    assert labels.shape == (64, 48) and set(np.unique(labels)) <= set(range(parts.number))
    joined = join(members, np.tile([0.2, 0.3, 0.5], (parts.number, 1)), labels, parts)
    assert torch.allclose(joined, vote(members, [0.2, 0.3, 0.5]), atol=1e-9)


def test_bands_end_where_the_low_picture_cannot_follow():
    """A wave that the low picture just holds lies in the band below the last, one it cannot hold in the last."""
    labels = PARTS["band"].label(np.zeros((16, 16, 3), np.uint8), 4)
    for cycles, band in ((1, 0), (3, 1), (7, 2), (9, 3), (30, 3)):
        wave = np.cos(np.pi * (np.arange(64) + 0.5) / 64 * 2 * cycles) * np.ones((64, 1))
        power = PARTS["band"].forward(wave) ** 2
        assert power[labels == band].sum() == pytest.approx(power.sum())


def test_textures_are_flat_middling_and_textured_places():
    low = np.full((30, 30, 3), 100, np.uint8)
    low[:, 10:20] += (np.indices((30, 10)).sum(0) % 2 * 16).astype(np.uint8)[..., None]
    low[:, 20:] += (np.indices((30, 10)).sum(0) % 2 * 60).astype(np.uint8)[..., None]
    labels = PARTS["texture"].label(low, 2)
    assert labels.shape == (60, 60)
    assert (labels[10:50, 10] == 0).all() and (labels[10:50, 30] == 1).all() and (labels[10:50, 50] == 2).all()


# ---- submissions ----------------------------------------------------------------------------------------------------


def test_a_planted_bad_member_gets_no_weight_and_the_vote_gains_on_the_best(votes, tmp_path, capsys):
    config = votes(
        good=lambda k: noise(k, 6), other=lambda k: noise(100 + k, 7), bad=lambda k: noise(k, 6) + noise(200 + k, 60)
    )
    submit([config, "weights=convex"])
    rows, said = table(tmp_path), capsys.readouterr().out
    assert rows["bad"]["weight"] < 0.01 and rows["good"]["weight"] > rows["other"]["weight"] > 0.3
    assert rows["vote"]["psnr"] > rows["good"]["psnr"] + 2
    assert "on pictures left out" in said and said.count("taken") == 1
    submit([config, "weights=greedy"])
    assert table(tmp_path)["bad"]["weight"] < 0.02 and table(tmp_path)["vote"]["psnr"] > rows["vote"]["psnr"] - 0.01
    submit([config, "weights=psnr"])
    assert table(tmp_path)["bad"]["weight"] > 0.15 and table(tmp_path)["vote"]["psnr"] < rows["good"]["psnr"]
    assert "nearly the plain mean" in capsys.readouterr().out


@pytest.mark.parametrize("scheme", ["convex", "greedy"])
def test_members_that_are_alike_are_refused_weights_of_their_own(votes, tmp_path, capsys, scheme):
    config = votes(**{f"m{i}": lambda k, i=i: noise(10 * i + k, 6) for i in range(4)})
    submit([config, f"weights={scheme}"])
    assert [table(tmp_path)[f"m{i}"]["weight"] for i in range(4)] == [0.25] * 4
    assert "no sure gain, the plain mean stays" in capsys.readouterr().out


def test_one_member_votes_alone_whatever_the_weights(votes, tmp_path):
    config = votes(only=lambda k: noise(k, 6))
    expected = to_bytes(read_prediction(tmp_path / "members/only/test/005.png"))
    for scheme in ("uniform", "psnr", "convex", "greedy"):
        submit([config, f"weights={scheme}"])
        assert np.array_equal(read_rgb(tmp_path / "submissions/joint/005.png"), expected)
    assert not (tmp_path / "submissions/joint_disagreement").exists()


def test_two_validation_pictures_are_too_few_to_fit_weights(votes, tmp_path, capsys):
    config = votes(good=lambda k: noise(k, 6), bad=lambda k: noise(100 + k, 30))
    for path in tmp_path.glob("members/*/validation/00[234].png"):
        path.unlink()
    submit([config, "weights=convex"])
    assert table(tmp_path)["bad"]["weight"] == 0.5
    assert "2 validation pictures cannot tell; the plain mean votes" in capsys.readouterr().out


def test_bands_are_weighed_apart_where_members_are_good_in_different_ones(votes, tmp_path, capsys):
    config = votes(
        fine=lambda k: noise(k, 8, 8.0) + noise(50 + k, 1), coarse=lambda k: noise(100 + k, 1, 8.0) + noise(150 + k, 8)
    )
    submit([config, "weights=convex"])
    whole = table(tmp_path)["vote"]["psnr"]
    capsys.readouterr()
    submit([config, "weights=convex", "weights_per=band"])
    assert table(tmp_path)["vote"]["psnr"] > whole + 3
    assert "convex per band: +" in capsys.readouterr().out
    submit([config, "weights=convex", "weights_per=texture"])
    assert table(tmp_path)["vote"]["psnr"] == pytest.approx(whole, abs=0.05)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["weights_per=band"], "weights_per: band needs weights: convex"),
        (["weights=convex", "weights_per=band", "metric.border=4"], "needs whole frames"),
        (["weights=best"], "weights: Input should be"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(votes, overrides, words):
    with pytest.raises(UsageError, match=words):
        submit([votes(only=lambda k: noise(k, 6)), *overrides])


NO_WEIGHTS = (-1, -1e-300, ".nan", ".inf", "-.inf", "1e400", "null", "true", "no")
WEIGHTS = st.sampled_from([0, 1, 2.5, 1e-320, 1e308]) | st.sampled_from(NO_WEIGHTS)


@given(st.lists(WEIGHTS, min_size=2, max_size=2))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_weights_of_every_kind_vote_or_are_refused_in_lines(two, tmp_path, weights):
    config, levels = two
    members = ", ".join(f"{{folder: m{number}, weight: {weight}}}" for number, weight in enumerate(weights))
    usable = [weight for weight in weights if weight not in NO_WEIGHTS]
    shutil.rmtree(tmp_path / "submissions", ignore_errors=True)
    if len(usable) < 2 or not any(usable):
        with pytest.raises(UsageError) as error:
            submit([config, "weights=given", f"members=[{members}]"])
        assert all(": " in line and ". " in line and line.isprintable() for line in error.value.lines)
        assert not (tmp_path / "submissions").exists()
        return
    submit([config, "weights=given", f"members=[{members}]"])
    shares = np.array(weights) / max(weights)
    shares /= shares.sum()
    assert [table(tmp_path)[f"m{number}"]["weight"] for number in range(2)] == pytest.approx(list(shares))
    assert table(tmp_path)["vote"]["weight"] == pytest.approx(1)
    joined = sum(share * level for share, level in zip(shares, levels, strict=True))
    found = read_rgb(tmp_path / "submissions/joint/005.png")
    assert np.abs(found - joined.clip(0, 255)).max() <= 0.5 + 1 / 257


@pytest.fixture
def two(votes, tmp_path) -> tuple[str, list[np.ndarray]]:
    """The YAML of two members, and their predictions of the first test picture in 8-bit levels."""
    config = votes(m0=lambda k: noise(k, 6), m1=lambda k: noise(100 + k, 7))
    for path in [*tmp_path.glob("members/*/validation/00[1234].png"), *tmp_path.glob("members/*/test/00[67].png")]:
        path.unlink()
    for name in ("006", "007"):
        (tmp_path / f"contest/test/lr/{name}.png").unlink()
    return config, [read_prediction(tmp_path / f"members/m{number}/test/005.png") / 257 for number in range(2)]


def test_the_weights_are_printed(two, capsys):
    submit([two[0], "weights=given", "members=[{folder: m0, weight: 3}, {folder: m1, weight: 1}]"])
    said = capsys.readouterr().out
    assert all(any(name in row and share in row for row in said.splitlines()) for name, share in SHARES.items())


SHARES = {"m0": "0.7500", "m1": "0.2500", "vote": "1.0000"}


@pytest.mark.parametrize("again", ["m0", "./m0", "m1/../m0", "linked", "{members}/m0"])
def test_a_member_that_is_listed_twice_by_any_name_is_refused(two, tmp_path, again):
    (tmp_path / "members/linked").symlink_to("m0")
    again = again.format(members=tmp_path / "members")
    with pytest.raises(UsageError, match="is listed twice"):
        submit([two[0], f"members=[{{folder: m0}}, {{folder: {again}}}]"])
    assert not (tmp_path / "submissions").exists()


def test_a_copy_of_a_member_is_refused_and_one_that_differs_in_a_value_is_not(two, tmp_path):
    shutil.copytree(tmp_path / "members/m0", tmp_path / "members/m2")
    picture = read_prediction(tmp_path / "members/m0/test/005.png")
    (tmp_path / "members/m2/test/005.png").write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    line = [two[0], "weights=uniform", "members=[{folder: m0}, {folder: m1}, {folder: m2}]"]
    with pytest.raises(BadInput) as error:
        submit(line)
    members = tmp_path / "members"
    assert error.value.lines == (
        f"{members}/m2/test: holds the predictions of {members}/m0/test, which would vote twice. Leave one of them out",
    )
    picture[0, 0, 0] ^= 1
    write_png(tmp_path / "members/m2/test/005.png", picture)
    submit(line)


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("shape", [(192, 192, 3), (48, 48, 3), (96, 95, 3)])
def test_a_member_of_another_scale_or_size_is_refused_in_one_line(two, tmp_path, part, shape):
    name = {"test": "005.png", "validation": "000.png"}[part]
    write_png(tmp_path / "members/m1" / part / name, np.zeros(shape, np.uint16))
    with pytest.raises(BadInput) as error:
        submit([two[0]])
    (line,) = error.value.lines
    assert line.startswith(f"{tmp_path}/members/m1/{part}/{name}: {shape[1]}x{shape[0]}, ") and "96x96" in line
    assert not (tmp_path / "submissions").exists()


# ---- hidden pictures ------------------------------------------------------------------------------------------------


def test_the_report_tells_the_diversity_that_the_truth_confirms(votes, tmp_path):
    config = votes(one=lambda k: noise(k, 6), two=lambda k: noise(100 + k, 6, 2.0))
    submit([config, "weights=given", "members=[{folder: one, weight: 3}, {folder: two, weight: 1}]"])
    report = json.loads((tmp_path / "submissions/joint_disagreement/report.json").read_text())
    for name in TEST:
        truth = read_rgb(tmp_path / f"contest/train/hr/{name}.png")
        members = [read_prediction(tmp_path / f"members/{m}/test/{name}.png") / 257 for m in ("one", "two")]
        alone = sum(w * ((member - truth) ** 2).mean() for w, member in zip((0.75, 0.25), members, strict=True))
        joined = ((0.75 * members[0] + 0.25 * members[1] - truth) ** 2).mean()
        assert report[f"{name}.png"]["diversity"] == pytest.approx(alone - joined, rel=1e-3)
        assert read_rgb(tmp_path / f"submissions/joint_disagreement/{name}.png").shape == (96, 96, 3)


def test_maps_show_where_members_disagree_and_their_square_is_the_diversity():
    truth = np.full((40, 40, 3), 100.0)
    other = truth.copy()
    other[10:20, 5:15] += 16
    shares = np.array([0.75, 0.25])
    found = disagreement([words(truth), words(other)], shares)
    assert found[15, 10] == pytest.approx(16 * np.sqrt(0.75 * 0.25), rel=1e-3) and found[30, 30] == 0
    parts = PARTS["all"]
    labels = parts.label(np.zeros((10, 10, 3), np.uint8), 4)
    members = [words(truth), words(other)]
    grams = gram(members, members[0], MetricConfig(), parts, labels)[None]
    assert (found**2).mean() == pytest.approx(weighting.diversity(grams, shares[None])[0], rel=1e-3)


def test_a_member_that_went_wrong_on_one_picture_is_named(votes, tmp_path, capsys):
    config = votes(
        a=lambda k: noise(k, 6), b=lambda k: noise(100 + k, 6), c=lambda k: noise(200 + k, 40 if k == 6 else 8)
    )
    submit([config])
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1 and warnings[0].startswith("warning: c: 006.png: ")


def test_a_bad_member_is_usual_and_a_member_that_is_bad_on_all_test_pictures_is_not():
    rng = np.random.default_rng(0)

    def pictures(count: int, strengths: list[float]) -> np.ndarray:
        errors = rng.normal(size=(count, 1, 4, 500)) * np.array(strengths)[:, None]
        errors *= rng.uniform(0.5, 2, (count, 1, 1, 1))
        return distances(errors @ np.swapaxes(errors, 2, 3) / 500)

    usual = pictures(10, [5, 5, 5, 50])
    assert outliers(usual, pictures(18, [5, 5, 5, 50])) == []
    found = outliers(usual, pictures(18, [5, 60, 5, 50]))
    assert [(one.picture, one.member) for one in found] == [(k, 1) for k in range(18)]
    easy = pictures(18, [5, 5, 5, 50])
    easy[:, [0, 2], [2, 0]] /= 20
    assert outliers(usual, easy) and outliers(usual, easy / 20) == []
    assert outliers(usual[:, :2, :2], pictures(3, [5, 60, 5, 50])[:, :2, :2]) == []


# ---- back-projection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [Degradation(), Degradation(blur=1.2), Degradation(resize="area", median=3)])
def test_a_fitted_step_takes_a_coarse_error_away(way):
    truth = texture(7, 192, 192)
    low = (make_clean(truth, way, 4) + 0.5).clip(0, 255).astype(np.uint8)
    wrong = torch.from_numpy((truth + noise(1, 6, 20.0, 192)) / 255).permute(2, 0, 1).unsqueeze(0)
    before, after = (
        ((picture[0].permute(1, 2, 0).numpy() * 255 - truth) ** 2).mean()
        for picture in (wrong, wrong + corrections(wrong, low, "fitted", 4)[0])
    )
    assert after < 0.35 * before


def test_a_prediction_that_fits_its_low_picture_is_left_as_it_is():
    truth = texture(8, 96, 96)
    low = np.floor(make_clean(truth, Degradation(), 4) + 0.5).clip(0, 255).astype(np.uint8)
    high = torch.from_numpy(truth / 255).permute(2, 0, 1).unsqueeze(0)
    assert all(step.abs().max() < 1.5 / 255 for step in corrections(high, low, "bicubic", 4))


def test_back_projection_is_used_with_the_strength_that_gains_and_refused_without_gain(votes, tmp_path, capsys):
    config = votes(a=lambda k: noise(k, 6, 16.0), b=lambda k: noise(100 + k, 6, 16.0))
    submit([config])
    plain = table(tmp_path)["vote"]["psnr"]
    submit([config, "back_projection=bicubic"])
    assert "back-projection: +" in capsys.readouterr().out and table(tmp_path)["vote"]["psnr"] > plain + 1
    first = read_rgb(tmp_path / "submissions/joint/005.png")
    for name in VALIDATION:  # low pictures of something else: nothing to be corrected by
        write_png(tmp_path / f"contest/train/lr/{name}.png", np.full((24, 24, 3), 128, np.uint8))
    submit([config, "back_projection=bicubic"])
    assert "no sure gain, the vote stays" in capsys.readouterr().out
    assert table(tmp_path)["vote"]["psnr"] == plain
    assert not np.array_equal(read_rgb(tmp_path / "submissions/joint/005.png"), first)
