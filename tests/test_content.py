"""Every planted fault of content is named; honest pairs raise no alarm, however strongly degraded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Texture

from competition.data.content import content_faults
from competition.data.degrade import KINDS, degrade
from competition.errors import Fault
from competition.images import Bytes, read_rgb

Change = Callable[[Bytes], Bytes]


def faults(low: Bytes, high: Bytes, scale: int = 4) -> list[Fault]:
    return content_faults(Path("lr/1.png"), Path("hr/1.png"), np.ascontiguousarray(low), high, scale)


def kinds(low: Bytes, high: Bytes, scale: int = 4) -> list[str]:
    return [fault.kind for fault in faults(low, high, scale)]


def rounded(values: npt.NDArray[np.floating]) -> Bytes:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)


def bicubic(high: Bytes) -> Bytes:
    return degrade(high, "bicubic", np.random.default_rng(0))


def noisy(sigma: float) -> Change:
    def change(low: Bytes) -> Bytes:
        return rounded(low + np.random.default_rng(1).normal(0, sigma, low.shape))

    return change


def compressed(quality: int) -> Change:
    def change(low: Bytes) -> Bytes:
        _, content = cv2.imencode(".jpg", low[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1])

    return change


def enlarged(low: Bytes, method: int, scale: int = 4) -> Bytes:
    return np.asarray(cv2.resize(low, None, fx=scale, fy=scale, interpolation=method), np.uint8)


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> list[tuple[Bytes, Bytes]]:
    """Every 12th real pair, cut to a square of at most 512 high pixels; no two are alike."""

    def read() -> Iterator[tuple[Bytes, Bytes]]:
        for label in ("set5", "bsd100", "urban100"):
            for path in sorted((shared_data / label / "lr_bicubic_x4").glob("*.png"))[::12]:
                low = read_rgb(path)
                side = min(*low.shape[:2], 128)
                high = read_rgb(shared_data / label / "hr" / path.name)[: side * 4, : side * 4]
                yield np.ascontiguousarray(low[:side, :side]), np.ascontiguousarray(high)

    return list(read())


# ---- honest pairs ---------------------------------------------------------------------------------------------------

STRONG: dict[str, Change] = {
    "noise of 30 levels": lambda high: noisy(30)(bicubic(high)),
    "blur of 3 pixels": lambda high: bicubic(rounded(cv2.GaussianBlur(high.astype(np.float32), (0, 0), 3))),
    "quality 30": lambda high: compressed(30)(bicubic(high)),
    "median of 7": lambda high: degrade(np.asarray(cv2.medianBlur(high, 7)), "area", np.random.default_rng(0)),
    "first of four pixels": lambda high: high[::4, ::4],
    "last of four pixels": lambda high: high[3::4, 3::4],
    "all at once": lambda high: compressed(40)(noisy(20)(bicubic(np.asarray(cv2.GaussianBlur(high, (0, 0), 2.5))))),
    "contrast of 0.8": lambda high: rounded(bicubic(high) * 0.8),
    "15 levels brighter": lambda high: rounded(bicubic(high) + 15.0),
} | {kind: lambda high, kind=kind: degrade(high, kind, np.random.default_rng(2)) for kind in KINDS}  # type: ignore[misc]


@pytest.mark.parametrize("reduction", STRONG)
def test_strong_but_honest_degradations_raise_no_alarm(reduction: str, photographs: list[tuple[Bytes, Bytes]]) -> None:
    for _, high in photographs:
        assert faults(STRONG[reduction](high), high) == []


@pytest.mark.parametrize("label", ["set5", "bsd100", "urban100"])
def test_whole_photographs_raise_no_alarm(label: str, shared_data: Path) -> None:
    for path in sorted((shared_data / label / "lr_bicubic_x4").glob("*.png"))[::3]:
        low = read_rgb(path)
        high = read_rgb(shared_data / label / "hr" / path.name)[: low.shape[0] * 4, : low.shape[1] * 4]
        assert faults(low, np.ascontiguousarray(high)) == [], path


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("side", [4, 8, 9, 24, 65])
def test_no_size_and_no_scale_raise_an_alarm(side: int, scale: int, texture: Texture) -> None:
    high = texture(1, side * scale, side * scale)
    assert faults(cv2.resize(high, (side, side), interpolation=cv2.INTER_AREA), high, scale) == []


# ---- planted faults -------------------------------------------------------------------------------------------------


def test_another_scene_is_named(photographs: list[tuple[Bytes, Bytes]]) -> None:
    for change in (lambda low: low, noisy(20)):
        for (low, _), (_, high) in zip(photographs[1:], photographs, strict=False):
            if low.shape[0] * 4 == high.shape[0]:
                (fault,) = faults(change(low), high)
                assert str(fault) == "lr/1.png: shows another scene than hr/1.png. Replace one of the two"
                assert fault.kind == "other scene"


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (1, 1), (-3, 2), (0, 9)])
def test_a_shift_by_whole_pixels_is_named(shift: tuple[int, int], photographs: list[tuple[Bytes, Bytes]]) -> None:
    for low, high in photographs:
        (fault,) = faults(np.roll(low, shift, (0, 1)), high)
        assert fault.kind == "shifted"
        assert f"shifted by about ({shift[0]}.0, {shift[1]}.0) low pixels down and right against hr/1.png" in str(fault)


@pytest.mark.parametrize("change", [lambda low: low, noisy(6), compressed(60)], ids=["clean", "noise", "jpeg"])
@pytest.mark.parametrize("shift", [(2, 0), (0, -2), (2, 2)])
def test_half_a_low_pixel_is_refused(
    shift: tuple[int, int], change: Change, photographs: list[tuple[Bytes, Bytes]]
) -> None:
    for _, high in photographs:
        assert kinds(change(bicubic(np.roll(high, shift, (0, 1)))), high) == ["shifted"]


@pytest.mark.parametrize("method", [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4], ids=str)
def test_an_enlargement_is_named(method: int, photographs: list[tuple[Bytes, Bytes]]) -> None:
    for low, _ in photographs:
        (fault,) = faults(low, enlarged(low, method))
        assert fault.kind == "enlarged"
        assert str(fault).startswith("hr/1.png: is only an enlargement of lr/1.png. Replace it")


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda low: np.rot90(low), "turned left"),
        (lambda low: np.rot90(low, 2), "turned by 180 degrees"),
        (lambda low: np.rot90(low, 3), "turned right"),
        (lambda low: low[:, ::-1], "mirrored left to right"),
        (lambda low: low[::-1], "mirrored top to bottom"),
        (lambda low: low.swapaxes(0, 1), "mirrored at a diagonal"),
        (lambda low: np.rot90(low, 2).swapaxes(0, 1), "mirrored at the other diagonal"),
    ],
    ids=["r90", "r180", "r270", "h", "v", "t", "hvt"],
)
def test_a_turned_low_picture_is_named_with_the_turn(
    turn: Change, words: str, photographs: list[tuple[Bytes, Bytes]]
) -> None:
    for low, high in photographs:
        (fault,) = faults(noisy(5)(turn(low)), high)
        assert fault.kind == "turned"
        assert str(fault).startswith(f"lr/1.png: is hr/1.png {words}. ")


def test_an_oblong_picture_is_tested_for_the_turns_that_keep_its_size(texture: Texture) -> None:
    high = texture(3, 160, 256)
    low = bicubic(high)
    assert kinds(low, high) == []
    assert kinds(low[::-1, ::-1], high) == ["turned"]


def test_swapped_channels_are_named_where_there_is_colour(photographs: list[tuple[Bytes, Bytes]]) -> None:
    coloured = [(low, high) for low, high in photographs if np.abs(low[..., 0] - low[..., 2].astype(float)).mean() > 4]
    assert len(coloured) >= 10
    for low, high in coloured:
        for side in (faults(low[..., ::-1], high), faults(compressed(60)(low), np.ascontiguousarray(high[..., ::-1]))):
            (fault,) = side
            assert fault.kind == "channels swapped"
            assert str(fault).startswith("lr/1.png: has red and blue swapped against hr/1.png. ")


@pytest.mark.parametrize(
    "change",
    [
        lambda low: low * 0.4,
        lambda low: low + 60.0,
        lambda low: 255 * (low / 255.0) ** 2.2,
        lambda low: low * np.array([1.6, 1.0, 0.45]),
    ],
    ids=["dark", "bright", "gamma", "white balance"],
)
def test_other_brightness_is_named(
    change: Callable[[Bytes], npt.NDArray[np.floating]], photographs: list[tuple[Bytes, Bytes]]
) -> None:
    for low, high in photographs:
        (fault,) = faults(rounded(change(low)), high)
        assert fault.kind == "brightness"
        assert str(fault).startswith("lr/1.png: differs in brightness from hr/1.png: contrast times ")


def test_a_negative_is_refused(photographs: list[tuple[Bytes, Bytes]]) -> None:
    assert all(faults(255 - low, high) for low, high in photographs)


@pytest.mark.parametrize("side", ["low", "high", "both"])
def test_a_picture_of_one_colour_is_named(side: str, texture: Texture) -> None:
    high = texture(2)
    low = bicubic(high)
    if side != "high":
        low[:] = (1, 20, 255)
    if side != "low":
        high[:] = 9
    found = [str(fault) for fault in faults(low, high)]
    expected = {
        "low": "lr/1.png: is all one colour, (1, 20, 255). Replace it by the real picture",
        "high": "hr/1.png: is all one colour, (9, 9, 9). Replace it by the real picture",
    }
    assert found == (list(expected.values()) if side == "both" else [expected[side]])
