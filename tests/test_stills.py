"""Stills of films: one sharp frame of each take, of different scenes, spread over the film; and what gives none."""

import cv2
import drawn
import numpy as np
import pytest
from film_files import make_film

from competition.data.likeness import SAME_SCENE, likeness, signature
from competition.errors import BadInput
from competition.images import Bytes
from competition.media.limits import STRANGERS, Limits
from competition.video.stills import MOST, stills

pytest.importorskip("av")
LOSSLESS = {"codec": "ffv1", "pixel_format": "yuv444p", "sound": False}


def scene(number: int, height: int, width: int) -> Bytes:
    return drawn.texture(number, height, width)


def blurred(picture: Bytes, sigma: float = 2) -> Bytes:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def error(one: Bytes, other: Bytes) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_a_take_gives_its_sharpest_frame_and_no_blend_of_two(tmp_path):
    """Takes of 20 frames, the first frame a blend with the take before; one frame of each is not blurred by motion."""
    sharp = {7: 1, 27: 2, 47: 3}

    def bright(take: int, *size: int) -> Bytes:  # so that even a blended cut is one
        return np.asarray((scene(take, *size).astype(int) * 2 - 128).clip(0, 255), np.uint8)

    def taken(number: int, *size: int) -> Bytes:
        take = number // 20 + 1
        if number in (20, 40):
            return np.asarray((bright(take, *size).astype(int) + bright(take - 1, *size)) // 2, np.uint8)
        return bright(take, *size) if number in sharp else blurred(bright(take, *size))

    film = make_film(tmp_path / "film.mkv", 60, (96, 128), picture=taken, **LOSSLESS)
    found = list(stills(film, STRANGERS))
    assert [round(float(still.seconds) * 25) for still in found] == list(sharp)
    for still, take in zip(found, sharp.values(), strict=True):
        assert error(still.picture, bright(take, 96, 128)) < 3


def test_hard_cuts_part_takes_and_a_scene_that_comes_back_counts_once(tmp_path):
    order = [1, 2, 1, 3, 2]

    def cut(number: int, height: int, width: int) -> Bytes:
        picture = scene(order[number // 12], height, width)
        return np.roll(picture, number % 12, axis=1)  # a camera that moves

    film = make_film(tmp_path / "film.mp4", 60, (96, 128), sound=False, picture=cut)
    found = list(stills(film, STRANGERS))
    assert [order[round(float(still.seconds) * 25) // 12] for still in found] == [1, 2, 3]
    marks = [signature(still.picture) for still in found]
    assert all(likeness(one, other) < SAME_SCENE for at, one in enumerate(marks) for other in marks[:at])


def test_stills_of_a_long_film_are_few_and_lie_all_over_it(tmp_path):
    stamps = [number * 50 for number in range(160)]  # two frames a second, for 80 seconds

    def changing(number: int, height: int, width: int) -> Bytes:
        return scene(number // 3, height, width)

    film = make_film(tmp_path / "film.mkv", 160, (72, 96), sound=False, stamps=stamps, picture=changing)
    found = list(stills(film, STRANGERS))
    assert [int(still.seconds // 10) for still in found] == list(range(MOST))
    for still in found:
        assert 3 <= still.seconds % 10 <= 7
        number = round(float(still.seconds) * 2)
        assert error(still.picture, changing(number, 72, 96)) < 12
    assert [len(list(stills(film, STRANGERS, most=most))) for most in (1, 3)] == [1, 3]


@pytest.mark.parametrize("ending", ["gif", "webm", "wmv"])
def test_every_container_gives_its_takes(tmp_path, ending):
    def cut(number: int, height: int, width: int) -> Bytes:
        return scene(number // 8, height, width)

    film = make_film(tmp_path / f"film.{ending}", 24, (72, 96), sound=False, picture=cut)
    found = list(stills(film, STRANGERS))
    assert len(found) == 3
    for number, still in enumerate(found):
        assert error(still.picture, scene(number, 72, 96)) < 40


@pytest.mark.parametrize("kind", ["black", "blurred", "interlaced"])
def test_what_teaches_nothing_gives_none(tmp_path, kind):
    def drawn_as(number: int, height: int, width: int) -> Bytes:
        if kind == "black":
            return np.zeros((height, width, 3), np.uint8)
        return blurred(scene(1, height, width), 8) if kind == "blurred" else scene(number, height, width)

    options = {"options": {"x264-params": "tff=1"}} if kind == "interlaced" else {}
    film = make_film(tmp_path / "film.mp4", 10, (96, 128), sound=False, picture=drawn_as, **options)
    assert list(stills(film, STRANGERS)) == []


def test_hdr_and_what_is_beyond_the_limits_are_refused(tmp_path):
    film = make_film(tmp_path / "film.mkv", 3, (72, 96), picture=scene, color_trc=16, **LOSSLESS)
    with pytest.raises(BadInput, match=r"mine.mkv: is HDR"):
        list(stills(film, STRANGERS, "mine.mkv"))
    with pytest.raises(BadInput, match=r"film.mkv: has 6,912 pixels a frame"):
        list(stills(film, Limits(pixels=5000)))


def test_ten_bits_become_eight(tmp_path):
    film = make_film(
        tmp_path / "film.mkv", 3, (72, 96), sound=False, codec="ffv1", pixel_format="yuv444p10le", picture=scene
    )
    [*found] = stills(film, STRANGERS)
    assert found and all(still.picture.dtype == np.uint8 for still in found)
    assert error(found[0].picture, scene(round(found[0].seconds * 25), 72, 96)) < 3
