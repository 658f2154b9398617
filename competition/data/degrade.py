"""Makes the low picture of a pair from the high one, in ways a contest may have used."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field as Setting

from competition.config import Config

Picture = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Values = TypeVar("Values", Picture, Field)

Resize = Literal[
    "matlab_bicubic",
    "area",
    "nearest",
    "nearest_exact",
    "opencv_linear",
    "opencv_cubic",
    "opencv_lanczos4",
    "pil_bilinear",
    "pil_lanczos",
]
Median = Literal[0, 3, 5, 7]
LowMedian = Literal[0, 3, 5]
LowWindow = Literal[0, 3, 5]
STEPS = ("median", "blur", "low_median", "low_blur", "noise", "jpeg")
RESIZES: tuple[Resize, ...] = get_args(Resize)
MEDIANS: tuple[Median, ...] = get_args(Median)
LOW_MEDIANS: tuple[LowMedian, ...] = get_args(LowMedian)
LOW_WINDOWS: tuple[LowWindow, ...] = get_args(LowWindow)


class Degradation(Config):
    """How a high picture became a low one: the steps, in the order of the keys, the reduction after `blur`.

    `resize` names what differs at a scale of four. `matlab_bicubic` widens Keys' kernel (a = -0.5) by the scale, as
    torch with antialias and PIL do too: but for the border they agree within one level (MATLAB and PIL also round
    between the two passes). `pil_bilinear` and `pil_lanczos` (a = 3) are widened likewise; OpenCV's linear, cubic
    (a = -0.75) and lanczos4 look at 2, 4 and 8 pixels however much they reduce. `area` is the mean of scale x scale
    pixels, PIL's box too. `nearest` takes pixel `scale * i` (OpenCV's INTER_NEAREST), `nearest_exact` pixel
    `scale * i + scale // 2` (INTER_NEAREST_EXACT, PIL).
    """

    resize: Resize = "matlab_bicubic"
    """Way of reducing, after median and blur."""
    median: Median = 0
    """Side of the median window on the high picture, 0 for none."""
    blur: float = Setting(0.0, ge=0, le=10)
    """Gaussian sigma in high pixels, before reducing; 0 for none."""
    low_median: LowMedian = 0
    """Side of the median window on the low picture, 0 for none."""
    low_blur: float = Setting(0.0, ge=0, le=10)
    """Gaussian sigma in low pixels, after reducing; 0 for none."""
    low_window: LowWindow = 0
    """Side of the window that cuts the low blur off, in low pixels; 0 for as large as it needs."""
    noise: float = Setting(0.0, ge=0, le=100)
    """Sigma of the white noise on the low picture, in 8-bit levels."""
    jpeg: int | None = Setting(None, ge=1, le=100)
    """Quality of the JPEG the low picture went through, or null."""

    @property
    def kind(self) -> str:
        """What was done, without its strengths: `area+median`, `matlab_bicubic+noise+jpeg`."""
        return "+".join([self.resize, *(step for step in STEPS if getattr(self, step))])


def degrade(high: Picture, degradation: Degradation, rng: np.random.Generator, scale: int = 4) -> Picture:
    """Reduce a high picture to its low picture; `rng` draws the noise.

    high: uint8 RGB, shape (H, W, 3), H and W multiples of `scale`.
    Returns uint8 RGB, shape (H / scale, W / scale, 3), rounded once (and once more by the decoder of a JPEG).
    Raises ValueError for a scale below 1 or a picture of another type or shape.
    """
    if high.dtype != np.uint8 or high.ndim != 3 or high.shape[2] != 3:
        raise ValueError(f"expected a uint8 picture of shape (H, W, 3), got {high.dtype} {high.shape}")
    if scale < 1 or high.shape[0] % scale or high.shape[1] % scale:
        raise ValueError(f"height and width must be multiples of scale {scale}, got {high.shape[:2]}")
    low = make_clean(high, degradation, scale)
    if degradation.noise:
        low = low + np.float32(degradation.noise) * rng.standard_normal(low.shape, dtype=np.float32)
    return round_half_up(low) if degradation.jpeg is None else jpeg(round_half_up(low), degradation.jpeg)


def make_clean(high: Values, degradation: Degradation, scale: int) -> Field:
    """The low picture before noise and JPEG, not rounded: float32 (H / scale, W / scale, 3) in about [0, 255].

    A high picture of floats cannot pass the median of 7 x 7.
    """
    filtered = blur(filter_median(high, degradation.median).astype(np.float32), degradation.blur)
    low = reduce(filtered, degradation.resize, scale)
    return blur(filter_median(low, degradation.low_median), degradation.low_blur, degradation.low_window)


# ---- the steps ------------------------------------------------------------------------------------------------------


def filter_median(picture: Values, window: int) -> Values:
    """The median of window x window pixels of each channel (floats: up to 5 x 5); the picture itself for 0."""
    return np.asarray(cv2.medianBlur(picture, window), picture.dtype) if window else picture


def blur(picture: Field, sigma: float, window: int = 0) -> Field:
    """Isotropic Gaussian blur of a float32 (H, W) or (H, W, 3) picture with mirrored border.

    sigma in pixels, 0 for none; window: odd side of the kernel, 0 for 8 sigma.
    """
    # The kernel is basicsr's `bivariate_Gaussian` to the last bit but one, applied row- and column-wise.
    if not sigma:
        return picture
    return np.asarray(cv2.GaussianBlur(picture, (window, window), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def reduce(picture: Field, resize: Resize, scale: int) -> Field:
    """Reduce float32 (H, W) or (H, W, 3) to (H / scale, W / scale[, 3]), without rounding; values keep their range."""
    return np.ascontiguousarray(_REDUCTIONS[resize](picture, scale))


def round_half_up(values: Field) -> Picture:
    """Round half up and clip to the uint8 range."""
    rounded: Field = np.floor(values + np.float32(0.5))
    return rounded.clip(0, 255).astype(np.uint8)


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encode and decode a uint8 RGB (H, W, 3) or grey (H, W) picture by libjpeg, RGB with halved chroma."""
    encoded, code = cv2.imencode(".jpg", picture[..., ::-1] if picture.ndim == 3 else picture, [_QUALITY, quality])
    if not encoded:
        raise RuntimeError(f"JPEG encoding failed for a picture of shape {picture.shape}")
    decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_UNCHANGED), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1]) if picture.ndim == 3 else decoded


_QUALITY = cv2.IMWRITE_JPEG_QUALITY
Reduction = Callable[[Field, int], Field]


def _by_opencv(method: int) -> Reduction:
    def reduce(picture: Field, scale: int) -> Field:
        height, width = picture.shape[:2]
        return np.asarray(cv2.resize(picture, (width // scale, height // scale), interpolation=method), np.float32)

    return reduce


def _by_pil(method: Image.Resampling) -> Reduction:
    def reduce(picture: Field, scale: int) -> Field:
        if picture.ndim == 3:  # PIL has no colour pictures of floats
            return np.stack([reduce(channel, scale) for channel in np.moveaxis(picture, 2, 0)], -1)
        size = (picture.shape[1] // scale, picture.shape[0] // scale)
        return np.asarray(Image.fromarray(picture).resize(size, method), np.float32)

    return reduce


def _matlab_bicubic(picture: Field, scale: int) -> Field:
    # MATLAB mirrors the picture where PIL cuts the kernel off; four low pixels are more than the kernel reaches.
    margin = 4 * scale
    mirrored = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REFLECT)
    return _by_pil(Image.Resampling.BICUBIC)(np.asarray(mirrored, np.float32), scale)[4:-4, 4:-4]


_REDUCTIONS: dict[Resize, Reduction] = {
    "matlab_bicubic": _matlab_bicubic,
    "area": _by_opencv(cv2.INTER_AREA),
    "nearest": lambda picture, scale: picture[::scale, ::scale],
    "nearest_exact": lambda picture, scale: picture[scale // 2 :: scale, scale // 2 :: scale],
    "opencv_linear": _by_opencv(cv2.INTER_LINEAR),
    "opencv_cubic": _by_opencv(cv2.INTER_CUBIC),
    "opencv_lanczos4": _by_opencv(cv2.INTER_LANCZOS4),
    "pil_bilinear": _by_pil(Image.Resampling.BILINEAR),
    "pil_lanczos": _by_pil(Image.Resampling.LANCZOS),
}


# ---- drawing --------------------------------------------------------------------------------------------------------


def draw(kinds: Sequence[tuple[Degradation, float]], rng: np.random.Generator) -> Degradation:
    """A degradation for a new pair: one of `kinds`, by weight, its strengths varied by up to a tenth.

    kinds: degradations with positive weights, of any sum. What a degradation lacks stays absent; a JPEG's loss grows
    with 100 - quality, so that is what varies. The draw depends on `rng` alone.
    """
    weights = np.array([weight for _, weight in kinds])
    chosen = kinds[rng.choice(len(kinds), p=weights / weights.sum())][0]
    blur, low_blur, noise, loss = rng.uniform(0.9, 1.1, 4)
    strengths = {
        "blur": min(blur * chosen.blur, 10.0),
        "low_blur": min(low_blur * chosen.low_blur, 10.0),
        "noise": min(noise * chosen.noise, 100.0),
        "jpeg": chosen.jpeg and round(np.clip(100 - loss * (100 - chosen.jpeg), 1, 100)),
    }
    return chosen.model_copy(update=strengths)


def draw_example(kind: str, rng: np.random.Generator) -> Degradation:
    """One of the demo contest's degradations: `kind` of `EXAMPLES` with a random strength."""
    return EXAMPLES[kind](rng)


EXAMPLES: dict[str, Callable[[np.random.Generator], Degradation]] = {
    "bicubic": lambda rng: Degradation(),
    "area": lambda rng: Degradation(resize="area"),
    "nearest": lambda rng: Degradation(resize="nearest_exact"),
    "median_blur": lambda rng: Degradation(resize="area", median=(3, 5)[rng.integers(2)]),
    "gaussian_blur": lambda rng: Degradation(blur=rng.uniform(0.8, 2.0)),
    "noise": lambda rng: Degradation(noise=rng.uniform(2.0, 6.0)),
    "jpeg": lambda rng: Degradation(jpeg=int(rng.integers(60, 91))),
}
