"""Plain enlargers: known values, OpenCV and PIL as judges, and their names on the command line."""

from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from competition.errors import UsageError
from competition.images import read_rgb, write_png
from competition.infer import main
from competition.models.area import AreaConfig
from competition.models.bilinear import BilinearConfig
from competition.models.lanczos import LanczosConfig
from competition.models.nearest import NearestConfig
from competition.networks import PLAIN, choose

SCALES = pytest.mark.parametrize("scale", [2, 3, 4])
Plane = npt.NDArray[np.float32]


def enlarge(config, plane: Plane) -> Plane:
    with torch.inference_mode():
        high: Tensor = config.build()(torch.from_numpy(plane).expand(1, 3, -1, -1))
    assert torch.equal(high[0, 0], high[0, 2])
    return high[0, 0].numpy()


def random_plane(height: int, width: int) -> Plane:
    return np.random.default_rng(0).random((height, width), np.float32)


@SCALES
@pytest.mark.parametrize(
    ("config", "method"),
    [(NearestConfig, cv2.INTER_NEAREST), (BilinearConfig, cv2.INTER_LINEAR), (AreaConfig, cv2.INTER_AREA)],
)
def test_these_are_those_of_opencv(config, method, scale) -> None:
    plane = random_plane(7, 10)
    expected = cv2.resize(plane, (10 * scale, 7 * scale), interpolation=method)
    np.testing.assert_allclose(enlarge(config(scale=scale), plane), expected, atol=1e-6)


@SCALES
def test_lanczos_is_that_of_pil_where_its_kernel_fits(scale) -> None:
    plane, inside = random_plane(11, 14), slice(3 * scale, -3 * scale)
    expected = np.asarray(Image.fromarray(plane).resize((14 * scale, 11 * scale), Image.Resampling.LANCZOS))
    found = enlarge(LanczosConfig(scale=scale), plane)
    np.testing.assert_allclose(found[inside, inside], expected[inside, inside], atol=1e-5)


@SCALES
def test_the_border_of_lanczos_is_mirrored(scale) -> None:
    plane = random_plane(9, 8)
    mirrored = np.pad(plane, 3, mode="symmetric")
    inside = slice(3 * scale, -3 * scale)
    expected = enlarge(LanczosConfig(scale=scale), mirrored)[inside, inside]
    np.testing.assert_allclose(enlarge(LanczosConfig(scale=scale), plane), expected, atol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_picture_stays_flat(name, value) -> None:
    for scale in (2, 3, 4):
        high = choose(name, scale).network(torch.full((1, 3, 5, 6), value))
        assert high.shape == (1, 3, 5 * scale, 6 * scale)
        assert (high - value).abs().max() < 1e-6


def test_every_plain_enlarger_is_a_source_for_infer(tmp_path, texture) -> None:
    write_png(tmp_path / "low/a.png", texture(0, 12, 16))
    for name in PLAIN:
        main([name, "--input", str(tmp_path / "low"), "--output", str(tmp_path / name), "--scale", "3"])
    pictures = {name: cv2.imread(str(tmp_path / name / "a.png"), cv2.IMREAD_UNCHANGED) for name in PLAIN}
    assert all(picture.shape == (36, 48, 3) and picture.dtype == np.uint16 for picture in pictures.values())
    assert np.array_equal(pictures["nearest"], pictures["area"])
    assert len({picture.tobytes() for picture in pictures.values()}) == 4
    low = read_rgb(tmp_path / "low/a.png")[..., ::-1].astype(np.uint16) * 257
    assert np.array_equal(pictures["nearest"], low.repeat(3, 0).repeat(3, 1))


def test_a_scale_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="--scale: 5, but lanczos enlarges by 2 or 3 or 4"):
        choose("lanczos", 5)
    assert get_args(BilinearConfig.model_fields["scale"].annotation) == (2, 3, 4)
