"""A good submission of any pictures, and the ways in which it can be spoilt before it is handed in."""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from picture_files import png_of, saved, with_chunk
from PIL import Image, ImageCms

from competition.images import Bytes

Entries = list[tuple[str, bytes]]


class Good(NamedTuple):
    """By name: what was handed in, the predictions in 8-bit levels before they were rounded, the low pictures."""

    pictures: Mapping[str, Bytes]
    levels: Mapping[str, npt.NDArray[np.float64]]
    lows: Mapping[str, Bytes]
    earlier: Mapping[str, Bytes]

    @property
    def names(self) -> list[str]:
        return sorted(self.pictures)

    def entries(self, **changed: Bytes | bytes | None) -> Entries:
        """The entries of a zip, with one picture (its pixels or bytes) changed, or taken out: _1=… is the second."""
        by_name = {self.names[int(key[1:])]: value for key, value in changed.items()}
        contents = {**self.pictures, **by_name}
        return [(name, _png(content)) for name, content in sorted(contents.items()) if content is not None]

    def changed(self, change: Callable[[Bytes], Bytes | bytes]) -> Entries:
        """The entries with the second picture changed."""
        return self.entries(_1=change(self.pictures[self.names[1]]))

    def all_changed(self, change: Callable[[Bytes], Bytes]) -> Entries:
        return [(name, _png(change(self.pictures[name]))) for name in self.names]


class Planted(NamedTuple):
    """A way to spoil a submission, the words that must tell it, and what must be known to tell it.

    `findings` is how many lines there are; None for one of each picture.
    """

    plant: Callable[[Good], Entries | bytes]
    words: str
    known: str = "low pictures"
    findings: int | None = 1


def zipped(entries: Entries | bytes) -> bytes:
    if isinstance(entries, bytes):
        return entries
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def write(path: Path, entries: Entries | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zipped(entries))
    return path


def _png(content: Bytes | bytes) -> bytes:
    return content if isinstance(content, bytes) else saved(content, "RGB", "PNG")


# ---- one picture ----------------------------------------------------------------------------------------------------


def _bordered(pixels: Bytes, width: int, colour: int) -> Bytes:
    inner = pixels[width:-width, width:-width]
    return cv2.copyMakeBorder(inner, *[width] * 4, cv2.BORDER_CONSTANT, value=[colour] * 3)


def _pasted(pixels: Bytes) -> Bytes:
    side = len(pixels) // 3
    copy = pixels.copy()
    copy[side : 2 * side, :side] = pixels[:side, side : 2 * side]
    return copy


def _black_tile(pixels: Bytes) -> Bytes:
    side = len(pixels) // 3
    copy = pixels.copy()
    copy[side : 2 * side, :side] = 0
    return copy


def _with_tile_of_another(good: Good) -> Entries:
    first, second = (good.pictures[name] for name in good.names[:2])
    side = min(len(first), len(second)) // 3
    copy = second.copy()
    copy[side : 2 * side, side : 2 * side] = first[side : 2 * side, side : 2 * side]
    return good.entries(_1=copy)


def _brighter(pixels: Bytes, *by: int) -> Bytes:
    return np.asarray((pixels.astype(int) + by).clip(0, 255), np.uint8)


def _alpha(pixels: Bytes) -> bytes:
    return saved(np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]), "RGBA", "PNG")


def _sixteen(pixels: Bytes) -> bytes:
    return bytes(cv2.imencode(".png", pixels[..., ::-1].astype(np.uint16) * 257)[1])


def _profile(pixels: Bytes) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return saved(pixels, "RGB", "PNG", icc_profile=profile)


def _exif(pixels: Bytes) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    return saved(pixels, "RGB", "PNG", exif=exif)


def _flipped_byte(pixels: Bytes) -> bytes:
    content = bytearray(_png(pixels))
    content[len(content) // 2] ^= 1
    return bytes(content)


def _damaged_inside(pixels: Bytes) -> bytes:
    """Checksums of chunks are right, the data in them is cut short."""
    height, width = pixels.shape[:2]
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1).tobytes()
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(rows[: len(rows) // 2])), (b"IEND", b""))


def _bicubic(good: Good) -> Entries:
    low, like = good.lows[good.names[1]], good.pictures[good.names[1]]
    return good.entries(_1=np.asarray(Image.fromarray(low).resize(like.shape[1::-1], Image.Resampling.BICUBIC)))


# ---- names and archives ---------------------------------------------------------------------------------------------


def _renamed(good: Good, change: Callable[[str], str]) -> Entries:
    return [(change(name) if name == good.names[1] else name, content) for name, content in good.entries()]


def _reordered(good: Good, order: Callable[[int], int]) -> Entries:
    count = len(good.names)
    moved = [good.names[order(number) % count] for number in range(count)]
    return [(name, _png(good.pictures[other])) for name, other in zip(good.names, moved, strict=True)]


def _swapped(good: Good) -> Entries:
    return _reordered(good, lambda number: 1 - number if number < 2 else number)


def _link(good: Good) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in good.entries():
            info = zipfile.ZipInfo(name)
            if name == good.names[1]:
                info.external_attr, content = 0o120777 << 16, b"/etc/passwd"
            archive.writestr(info, content)
    return buffer.getvalue()


def _encrypted(good: Good) -> bytes:
    content = bytearray(zipped(good.entries()))
    content[content.find(b"PK\1\2") + 8] |= 1  # as the list of entries says of the first
    return bytes(content)


def _bomb(good: Good) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in good.entries(_1=None):
            archive.writestr(name, content)
        archive.writestr(good.names[1], bytes(9 * good.pictures[good.names[1]].size + 2**21))
    return buffer.getvalue()


PLANTED: dict[str, Planted] = {
    # names and archives
    "missing picture": Planted(lambda good: good.entries(_1=None), "missing"),
    "extra picture": Planted(lambda good: [*good.entries(), ("extra.png", good.entries()[0][1])], "is no picture of"),
    "entry twice": Planted(lambda good: [*good.entries(), good.entries()[1]], "is there twice"),
    "wrong name": Planted(lambda good: _renamed(good, lambda name: "0" + name), "is no picture of", findings=2),
    "extension in capitals": Planted(lambda good: _renamed(good, lambda name: name[:-3] + "PNG"), "shall be named"),
    "folder in the zip": Planted(
        lambda good: [(f"good/{name}", content) for name, content in good.entries()], "pictures lie in this folder"
    ),
    "__MACOSX": Planted(
        lambda good: [*good.entries(), (f"__MACOSX/._{good.names[0]}", b"\0\5\x16\7")], "by the operating system"
    ),
    ".DS_Store": Planted(lambda good: [*good.entries(), (".DS_Store", b"\0\0\0\1Bud1")], "by the operating system"),
    "way out of the folder": Planted(lambda good: [*good.entries(), ("../x.png", b"x")], "leads out of the folder"),
    "absolute path": Planted(lambda good: [*good.entries(), ("/etc/x.png", b"x")], "leads out of the folder"),
    "link": Planted(_link, "is a link or device"),
    "encrypted": Planted(_encrypted, "is encrypted"),
    "bomb": Planted(_bomb, "more than its picture can need"),
    "zip cut short": Planted(lambda good: zipped(good.entries())[:-40], "damaged zip"),
    "empty zip": Planted(lambda good: [], "missing", findings=None),
    "no zip at all": Planted(lambda good: good.entries()[0][1], "is PNG, no folder, zip or CSV"),
    "zip in the zip": Planted(lambda good: good.entries(_1=zipped([("a.png", b"")])), "is a zip archive inside"),
    # files
    "JPEG named .png": Planted(lambda good: good.changed(lambda p: saved(p, "RGB", "JPEG")), "is JPEG inside"),
    "file cut short": Planted(lambda good: good.changed(lambda p: _png(p)[:-50]), "truncated after"),
    "empty file": Planted(lambda good: good.entries(_1=b""), "empty file"),
    "flipped byte": Planted(lambda good: good.changed(_flipped_byte), "checksum"),
    "data cut short inside": Planted(lambda good: good.changed(_damaged_inside), "bytes of rows, expected"),
    "16 bit": Planted(lambda good: good.changed(_sixteen), "16 bits per sample"),
    "grey": Planted(lambda good: good.changed(lambda p: saved(p, "L", "PNG")), "grey picture"),
    "palette": Planted(lambda good: good.changed(lambda p: saved(p, "P", "PNG")), "palette picture"),
    "alpha": Planted(lambda good: good.changed(_alpha), "RGBA picture"),
    "ICC profile": Planted(lambda good: good.changed(_profile), "chunk iCCP carries a colour profile"),
    "gAMA": Planted(
        lambda good: good.changed(lambda p: with_chunk(_png(p), b"gAMA", (100_000).to_bytes(4, "big"))), "chunk gAMA"
    ),
    "EXIF": Planted(lambda good: good.changed(_exif), "chunk eXIf"),
    "transparent colour": Planted(
        lambda good: good.changed(lambda p: with_chunk(_png(p), b"tRNS", bytes(6))), "chunk tRNS"
    ),
    "a row too few": Planted(lambda good: good.changed(lambda p: p[:-1]), ", expected "),
    "a column too many": Planted(lambda good: good.changed(lambda p: np.hstack([p, p[:, -1:]])), ", expected "),
    # content
    "two pictures swapped": Planted(_swapped, "shows the low picture", findings=2),
    "order moved by one": Planted(
        lambda good: _reordered(good, lambda number: number + 1), "shows the low picture", findings=None
    ),
    "BGR": Planted(lambda good: good.changed(lambda p: p[..., ::-1]), "channels in the order BGR"),
    "all BGR": Planted(
        lambda good: good.all_changed(lambda p: p[..., ::-1]), "channels in the order BGR", findings=None
    ),
    "GBR": Planted(lambda good: good.changed(lambda p: p[..., [1, 2, 0]]), "channels in the order GBR"),
    "transposed": Planted(lambda good: good.changed(lambda p: p.transpose(1, 0, 2)), "is transposed"),
    "mirrored": Planted(lambda good: good.changed(lambda p: p[:, ::-1]), "is mirrored left to right"),
    "upside down": Planted(lambda good: good.changed(lambda p: p[::-1]), "is mirrored top to bottom"),
    "turned": Planted(lambda good: good.changed(lambda p: np.rot90(p)), "is turned by 90 degrees counter-clockwise"),
    "black": Planted(lambda good: good.changed(np.zeros_like), "is black throughout"),
    "one colour": Planted(lambda good: good.changed(lambda p: np.full_like(p, 90)), "is of one colour (90, 90, 90)"),
    "black border": Planted(lambda good: good.changed(lambda p: _bordered(p, 8, 0)), "border of one colour"),
    "black border of one pixel": Planted(lambda good: good.changed(lambda p: _bordered(p, 1, 0)), "(top 1 px, right 1"),
    "pasted tile": Planted(lambda good: good.changed(_pasted), "again at ("),
    "black tile": Planted(lambda good: good.changed(_black_tile), "shows something else than its low picture around"),
    "tile of another picture": Planted(_with_tile_of_another, "shows something else than its low picture around"),
    "moved right by one pixel": Planted(
        lambda good: good.changed(lambda p: np.roll(p, 1, 1)), "is moved by about (", findings=1
    ),
    "moved up by one pixel": Planted(lambda good: good.changed(lambda p: np.roll(p, -1, 0)), "is moved by about ("),
    "brighter by five levels": Planted(lambda good: good.changed(lambda p: _brighter(p, 5, 5, 5)), "levels off its"),
    "bluer by five levels": Planted(lambda good: good.changed(lambda p: _brighter(p, 0, 0, 5)), "mean blue lies +"),
    "bicubic": Planted(_bicubic, "is bicubic enlargement, others are not"),
    # what only predictions or an earlier submission tell
    "cut off instead of rounded": Planted(
        lambda good: [(name, _png(np.floor(good.levels[name]).astype(np.uint8))) for name in good.names],
        "was cut off instead of rounded",
        "predictions",
        None,
    ),
    "brighter by one level": Planted(
        lambda good: good.changed(lambda p: _brighter(p, 1, 1, 1)), "is not the prediction: ", "predictions"
    ),
    "one pixel off": Planted(
        lambda good: good.changed(lambda p: p ^ (np.indices(p.shape).sum(0) == 0)),
        "is not the prediction: ",
        "predictions",
    ),
    "picture of the earlier submission": Planted(
        lambda good: good.entries(_1=good.earlier[good.names[1]]), "is that of the earlier submission", "earlier"
    ),
}
