"""Pictures of strangers, read and written by Pillow: size first, then pixels, with EXIF and ICC."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from competition.errors import BadInput, CompetitionError
from competition.files import printable
from competition.media.kinds import PICTURES, identify, require_file
from competition.media.limits import OWN, Limits

Format = Literal["png", "jpeg", "webp"]
MIME = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16", "I;16B", "I")
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0xA002, 0xA003
Image.MAX_IMAGE_PIXELS = None  # our own limits are looked at behind each header; what we make is beyond Pillow's
_SIDES = {"jpeg": 65535, "webp": 16383, "png": 2**31 - 1}


class Header(NamedTuple):
    """Width and height as shown, in pixels, and how many pictures the file holds."""

    width: int
    height: int
    pictures: int


class Picture(NamedTuple):
    """uint8 RGB (H, W, 3), upright; alpha uint8 (H, W) where there is one; EXIF and ICC as files hold them."""

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None
    exif: bytes
    icc: bytes


def header(path: Path, limits: Limits = OWN, name: str | None = None) -> Header:
    """Size and number of pictures, before anything is decoded; raises BadInput like `read_picture`."""
    with _opened(path, limits, name) as image:
        _require_mode(image, printable(name or path))
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = image.size[::-1] if turned else image.size
        return Header(width, height, getattr(image, "n_frames", 1))


def read_picture(path: Path, limits: Limits = OWN, name: str | None = None) -> Picture:
    """Decode a PNG, JPEG, GIF, BMP or WebP, turned upright; grey and palettes become RGB, 16 bits become 8.

    Raises BadInput for damaged files, several pictures in one, CMYK, sizes beyond the limits, and names that lie.
    """
    subject = printable(name or path)
    with _opened(path, limits, name) as image:
        if (count := getattr(image, "n_frames", 1)) > 1:
            raise BadInput(f"{subject}: holds {count} pictures. Enlarge a GIF as a video, others picture by picture")
        _require_mode(image, subject)
        image.load()
        exif, icc = image.getexif(), image.info.get("icc_profile") or b""
        upright: Image.Image = ImageOps.exif_transpose(image)
    coloured = image.mode not in ("1", "L", "LA", "I;16", "I;16B", "I")  # a grey profile would be wrong for RGB
    exif.pop(_ORIENTATION, None)
    pixels, alpha = _split(upright)
    return Picture(pixels, alpha, exif.tobytes() if exif else b"", icc if coloured else b"")


def read_first(path: Path, limits: Limits = OWN, name: str | None = None) -> Image.Image:
    """The first picture of a file, upright, as Pillow has it; raises BadInput like `read_picture`."""
    with _opened(path, limits, name) as image:
        image.draft("RGB", (512, 512))  # a JPEG is decoded at a half, a quarter or an eighth, but not below this
        image.load()
        upright: Image.Image = ImageOps.exif_transpose(image)
        return upright


def encode_picture(picture: Picture, format: Format, quality: int = 92) -> bytes:
    """The bytes of a file; alpha is laid on white in a JPEG. PNG is lossless, WebP too with a quality of 100.

    Raises BadInput for a picture larger than the format can be.
    """
    height, width = picture.pixels.shape[:2]
    if max(height, width) > _SIDES[format]:
        most = f"holds at most {_SIDES[format]:,} pixels on a side"
        raise BadInput(f"{format}: {most}, this has {width}x{height}. Take PNG")
    options: dict[str, Any] = {"exif": _sized(picture.exif, width, height)} if picture.exif else {}
    if picture.icc:
        options["icc_profile"] = picture.icc
    if format != "png":
        options["quality"] = quality
    if format == "webp":
        options["lossless"] = quality == 100
    target = io.BytesIO()
    _joined(picture, keep_alpha=format != "jpeg").save(target, format, **options)
    return target.getvalue()


def on_white(picture: Picture) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, 3) with what is transparent laid on white."""
    return np.asarray(_joined(picture, keep_alpha=False))


def thumbnail_of(picture: Image.Image, side: int) -> bytes:
    """A JPEG of at most `side` pixels, alpha on white."""
    small = picture.copy()
    small.thumbnail((side, side))
    pixels, alpha = _split(small)
    return encode_picture(Picture(pixels, alpha, b"", b""), "jpeg", 82)


@contextmanager
def _opened(path: Path, limits: Limits, name: str | None) -> Iterator[Any]:
    """Pillow's image before it is decoded; raises BadInput for what Pillow says against the file until the block ends.

    Whatever is asked of an image may decode it: a PNG's EXIF can stand behind its pixels.
    """
    kind, subject = identify(path, PICTURES, name), printable(name or path)
    limits.require(subject, "bytes", require_file(path))
    try:
        image = Image.open(path, formats=[kind.decoder])
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise BadInput(f"{subject}: damaged as {kind.name}. Fetch it again, or convert it") from error
    with image:
        limits.require(subject, "pixels", image.width * image.height)
        limits.require(subject, "side", max(image.size))
        try:
            yield image
        except (CompetitionError, MemoryError):
            raise
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise BadInput(f"{subject}: damaged ({error}). Fetch it again") from error


def _require_mode(image: Any, subject: str) -> None:
    if image.mode not in _MODES:
        raise BadInput(f"{subject}: its colours are {image.mode}. Convert it to RGB")


def _split(image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scaling
        image = Image.fromarray((np.asarray(image, np.float64) / 257 + 0.5).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        whole = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(whole[..., :3]), np.ascontiguousarray(whole[..., 3])
    return np.array(image.convert("RGB")), None


def _joined(picture: Picture, keep_alpha: bool) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    if picture.alpha is None:
        return image
    alpha = Image.fromarray(picture.alpha)
    if keep_alpha:
        image.putalpha(alpha)
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), alpha)


def _sized(content: bytes, width: int, height: int) -> bytes:
    """EXIF with the picture's new size, where it tells one."""
    exif = Image.Exif()
    exif.load(content)
    lens = exif.get_ifd(0x8769)
    for tag, value in ((_WIDTH, width), (_HEIGHT, height)):
        if tag in lens:
            lens[tag] = value
    return exif.tobytes()
