"""Flares: the same for a seed, light that only adds, known values, and a folder of pairs that training accepts."""

import math

import numpy as np
import pytest

from competition.audit import main as audit
from competition.data.flare import Ghost, Glow, Streak, Veil, draw_flare, lay_on, light
from competition.errors import BadInput, UsageError
from competition.flare import main as flare
from competition.images import read_rgb, write_png

WHITE = (1.0, 1.0, 1.0)
BLACK = np.zeros((5, 5, 3), np.uint8)


def level(linear: float) -> int:
    """The 8-bit sRGB level of a light, by IEC 61966-2-1."""
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return math.floor(255 * encoded + 0.5)


def test_a_flare_is_the_same_for_its_seed_and_number_and_another_for_others():
    flare_ = draw_flare(3, 5)
    assert flare_ == draw_flare(3, 5)
    assert len({str(draw_flare(*key)) for key in [(3, 5), (4, 5), (3, 6), (3, 5, 1), (5, 3)]}) == 5
    kinds = {type(part) for number in range(10) for part in draw_flare(0, number)}
    assert kinds == {Glow, Streak, Ghost, Veil}


@pytest.mark.parametrize("number", range(12))
def test_a_flare_never_darkens_and_brightens_somewhere(texture, number):
    picture = texture(number, 60, 44)
    flared = lay_on(picture, draw_flare(1, number))
    assert flared.shape == picture.shape and flared.dtype == np.uint8
    assert (flared >= picture).all() and (flared > picture).any()
    assert light(draw_flare(1, number), 60, 44).min() >= 0


def test_without_light_every_level_stays_what_it_is():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert np.array_equal(lay_on(levels, [Veil(0, 0, (0, 0, 0))]), levels)


def test_a_glow_on_black_has_its_colour_at_its_place_and_falls_off_by_rule():
    # Of five pixels the third is the middle; the next ones are a fifth of the side away.
    seen = lay_on(BLACK, [Glow(0, 0, 0.2, (0.8, 0.2, 0.0))])
    assert seen[2, 2].tolist() == [level(0.8), level(0.2), 0]
    assert seen[2, 3, 0] == seen[1, 2, 0] == level(0.8 / 2**1.5)
    assert seen[1, 1, 0] == level(0.8 / 3**1.5)
    assert seen[2, 4, 1] == level(0.2 / 5**1.5)


def test_streak_ghost_and_veil_on_black_have_known_values():
    along = lay_on(BLACK, [Streak(0, 0, 0, 0.4, 0.1, WHITE)])[..., 0]
    assert along[2].tolist() == [level(math.exp(-abs(x) / 0.4)) for x in (-0.4, -0.2, 0, 0.2, 0.4)]
    assert along[1, 2] == level(math.exp(-4))
    disc = light([Ghost(0, 0, 0.3, 1e-4, WHITE)], 5, 5)[..., 0]
    assert disc[2, 2] == pytest.approx(0.7) and disc[2, 3] == pytest.approx(0.7 + 0.3 * (2 / 3) ** 4)
    assert disc[2, 4] == disc[0, 2] == pytest.approx(0)
    veil = light([Veil(0, 0.5, (0.1, 0.0, 0.0))], 5, 5)
    assert veil[0, :, 0] == pytest.approx([0.06, 0.08, 0.1, 0.12, 0.14]) and not veil[..., 1:].any()


def test_lights_add_up_before_they_are_clipped():
    grey = np.full((5, 5, 3), 128, np.uint8)
    linear = ((128 / 255 + 0.055) / 1.055) ** 2.4
    assert (lay_on(grey, [Veil(0, 0, (0.1,) * 3), Veil(0, 0, (0.2,) * 3)]) == level(linear + 0.3)).all()
    assert (lay_on(grey, [Veil(0, 0, (0.9,) * 3)]) == 255).all()


def test_a_flare_is_as_large_on_a_large_picture_as_on_a_small_one():
    small, large = (light(draw_flare(0, 4), *size) for size in ((48, 64), (192, 256)))
    reduced = large.reshape(48, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 0.02 * small.mean()


def test_the_command_lays_out_pairs_that_the_audit_accepts(texture, tmp_path, capsys):
    for number in range(4):
        write_png(tmp_path / f"clean/{number}.png", texture(number, 110, 130))
    line = [str(tmp_path / "made"), "--clean", str(tmp_path / "clean"), "--side", "96", "--copies", "2", "--held", "1"]
    flare(line)
    assert "6 training and 2 validation pairs" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "made/train/lr").iterdir())
    assert names == [f"{number}_{copy}.png" for number in range(4) for copy in range(2)]
    assert (tmp_path / "made/validation.txt").read_text().split() == ["3_0.png", "3_1.png"]
    for name in names:
        low, high = (read_rgb(tmp_path / "made/train" / side / name) for side in ("lr", "hr"))
        assert np.array_equal(high, texture(int(name[0]), 110, 130)[7:103, 17:113])
        assert (low >= high).all() and (low > high).any()
    audit([str(tmp_path / "made"), "--scale", "1", "--quick"])
    first = {path: path.read_bytes() for path in tmp_path.rglob("made/train/*/*.png")}
    flare([str(tmp_path / "again"), *line[1:]])
    assert all((tmp_path / "again" / path.relative_to(tmp_path / "made")).read_bytes() == first[path] for path in first)


def test_what_cannot_be_made_is_refused_and_nothing_is_written(texture, tmp_path):
    clean = tmp_path / "clean"
    write_png(clean / "0.png", texture(0))
    with pytest.raises(BadInput, match="leave none"):
        flare([str(tmp_path / "made"), "--clean", str(clean)])
    with pytest.raises(UsageError, match="--copies: 0 is too small"):
        flare([str(tmp_path / "made"), "--copies", "0"])
    assert not (tmp_path / "made").exists()
    with pytest.raises(BadInput, match="holds pictures already"):
        flare([str(clean), "--clean", str(clean)])
    write_png(clean / "1.png", np.full((96, 96, 3), 7, np.uint8))
    with pytest.raises(BadInput, match="1: is all one colour"):
        flare([str(tmp_path / "other"), "--clean", str(clean), "--held", "1", "--side", "64"])


@pytest.mark.slow
def test_without_clean_pictures_scenes_are_drawn(tmp_path):
    flare([str(tmp_path), "--copies", "1"])
    assert len(list((tmp_path / "train/lr").glob("*.png"))) == 16
    assert len((tmp_path / "validation.txt").read_text().split()) == 4
