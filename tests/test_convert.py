"""One picture through the network: every kind in, three kinds out, with what files say beside their pixels."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from competition.convert import convert, estimate, main
from competition.ensemble import enlarge
from competition.errors import BadCheckpoint, BadInput, UsageError
from competition.images import quantize, read_rgb, to_tensor
from competition.media.limits import Limits
from competition.networks import choose

INPUTS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "webp": "WEBP", "gif": "GIF"}


@pytest.fixture
def photo(texture) -> np.ndarray:
    return texture(5, 24, 36)


def save(folder: Path, pixels: np.ndarray, ending: str, **options: object) -> Path:
    path = folder / f"in.{ending}"
    Image.fromarray(pixels).save(path, INPUTS[ending], **options)
    return path


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("ending", INPUTS)
@pytest.mark.parametrize("out", ["png", "jpg", "webp"])
def test_every_kind_becomes_every_other(tmp_path, photo, ending, out):
    path = save(tmp_path, photo, ending)
    done = convert(path, tmp_path / f"out.{out}", "nearest", 2, quality=100)
    with opened(path) as low, opened(tmp_path / f"out.{out}") as high:
        assert high.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[out]
        assert high.size == (72, 48) == done[:2] and done.bytes == (tmp_path / f"out.{out}").stat().st_size
        difference = np.asarray(high)[::2, ::2].astype(int) - np.asarray(low.convert("RGB"))
    assert np.abs(difference).mean() <= (3 if out == "jpg" else 0)


def test_the_pixels_are_the_networks_rounded_once(tmp_path, photo):
    path = save(tmp_path, photo, "png")
    convert(path, tmp_path / "out.png", "mini_x4", self_ensemble="mean")
    expected = quantize(enlarge(choose("mini_x4").network, to_tensor(photo), 4, "mean"), 8)
    assert np.abs(read_rgb(tmp_path / "out.png").astype(int) - expected).max() <= 1
    convert(path, tmp_path / "three.png", "mini_x4", 3)
    assert read_rgb(tmp_path / "three.png").shape == (72, 108, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_and_say_so_no_more(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769)[0xA002] = 36
    path = save(tmp_path, photo, "png", exif=exif)
    convert(path, tmp_path / "out.png", "nearest", 2)
    turns = {1: photo, 2: photo[:, ::-1], 3: photo[::-1, ::-1], 4: photo[::-1], 5: photo.swapaxes(0, 1)}
    turns |= {6: np.rot90(photo, -1), 7: photo[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(photo)}
    with opened(tmp_path / "out.png") as high:
        assert np.array_equal(np.asarray(high)[::2, ::2], turns[orientation])
        kept = high.getexif()
        assert kept[0x010F] == "Maker" and 0x0112 not in kept
        assert kept.get_ifd(0x8769)[0xA002] == high.width


@pytest.mark.parametrize("out", ["png", "jpg", "webp"])
def test_exif_and_colour_profile_are_kept(tmp_path, photo, out):
    exif, profile = Image.Exif(), bytes(range(256)) * 3
    exif[0x010E] = "<script>alert(1)</script>"
    path = save(tmp_path, photo, "jpg", exif=exif, icc_profile=profile)
    convert(path, tmp_path / f"out.{out}", "nearest", 2)
    with opened(tmp_path / f"out.{out}") as high:
        assert high.info["icc_profile"] == profile
        assert high.getexif()[0x010E] == "<script>alert(1)</script>"


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_what_is_transparent_stays_so_or_is_laid_on_white(tmp_path, photo, ending):
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, 18:] = 255
    path = save(tmp_path, np.dstack([photo, alpha]), ending, **({"lossless": True} if ending == "webp" else {}))
    convert(path, tmp_path / "out.png", "nearest", 2)
    with opened(tmp_path / "out.png") as high:
        found = np.asarray(high)
        assert high.mode == "RGBA" and found[:, :32, 3].max() == 0 and found[:, 40:, 3].min() == 255
    convert(path, tmp_path / "out.jpg", "nearest", 2)
    with opened(tmp_path / "out.jpg") as high:
        assert high.mode == "RGB" and np.asarray(high)[:, :24].min() > 245


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "I;16"])
def test_grey_and_palettes_become_rgb(tmp_path, photo, mode):
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "in.png")
    convert(tmp_path / "in.png", tmp_path / "out.png", "nearest", 2)
    with opened(tmp_path / "out.png") as high:
        found = np.asarray(high.convert("RGB"))[::2, ::2]
    expected = np.asarray(Image.fromarray(grey).convert("1").convert("L")) if mode == "1" else grey
    assert np.array_equal(found, np.dstack([expected] * 3))


def test_denoising_and_sharpening_are_those_of_opencv_and_come_first(tmp_path, photo):
    path = save(tmp_path, photo, "png")
    filters = {
        "bilateral": lambda low: cv2.bilateralFilter(low, 7, 20, 3),
        "nlmeans": lambda low: cv2.fastNlMeansDenoisingColored(low, None, 20, 20, 7, 21),
        "none": lambda low: low,
    }
    for denoise, smooth in filters.items():
        convert(path, tmp_path / "out.png", "nearest", 2, denoise, 20.0, 1.5)
        low = smooth(photo)
        low = cv2.addWeighted(low, 2.5, cv2.GaussianBlur(low, (0, 0), 1), -1.5, 0)
        assert np.array_equal(read_rgb(tmp_path / "out.png")[::2, ::2], low)


def test_an_estimate_is_near_the_truth(tmp_path, texture):
    path = save(tmp_path, texture(1, 160, 200), "png")
    told = estimate(path, "bicubic", 4)
    done = convert(path, tmp_path / "out.png", "bicubic", 4)
    assert told[2:] == done[:2] == (800, 640)
    assert 0.4 < told.bytes / done.bytes < 2.5 and told.seconds > 0


def test_faults_are_one_line_each_and_leave_nothing(tmp_path, photo):
    path = save(tmp_path, photo, "png")
    for options, words in (
        ({"output": tmp_path / "out.tif"}, r"out.tif: its ending names no format. Choose .png"),
        ({"scale": 8, "source": "mini_x4"}, r"--scale"),
        ({"strength": 31.0}, r"--strength: 31 is out of range. Give 0 to 30"),
        ({"sharpen": -1.0}, r"--sharpen: -1 is out of range"),
        ({"quality": 0}, r"--quality: 0 is out of range. Give 1 to 100"),
    ):
        with pytest.raises(UsageError, match=words):
            convert(**{"path": path, "output": tmp_path / "out.png", "source": "nearest"} | options)
    with pytest.raises((UsageError, BadCheckpoint), match="nothing"):
        convert(path, tmp_path / "out.png", "nothing")
    with pytest.raises(BadInput, match=r"shown.png: has 864 pixels a frame, more than the 100"):
        convert(path, tmp_path / "out.png", "nearest", limits=Limits(pixels=100), name="shown.png")
    with pytest.raises(BadInput, match=r"webp: holds at most 16,383 pixels on a side"):
        convert(save(tmp_path, np.zeros((2, 5000, 3), np.uint8), "png"), tmp_path / "out.webp", "nearest")
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.png"]


def test_the_command_says_what_it_wrote(tmp_path, photo, capsys):
    path = save(tmp_path, photo, "jpg")
    main([str(path), str(tmp_path / "out.webp"), "--run", "bicubic", "--scale", "2", "--denoise", "bilateral"])
    assert "out.webp: 72x48, 0.00 MB, enlarged in" in capsys.readouterr().out
