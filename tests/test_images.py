"""Pictures on disk: what is refused, what is read exactly, and what a failing disk leaves behind."""

import io
import os
import resource
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from peak_memory import forget_peak_memory, peak_memory
from picture_files import as_nobody, chunk, chunks_of, exif, header_png, png_of, saved, with_chunk
from PIL import Image

from competition.errors import BadInput, NumericalError
from competition.images import (
    Samples,
    encode_png,
    list_pictures,
    quantize,
    read_header,
    read_prediction,
    read_rgb,
    read_rgb_and_notes,
    scan_pictures,
    to_bytes,
    to_tensor,
    write_png,
)
from competition.memory import peak_bytes

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
DEEP_PIXELS = np.random.default_rng(1).integers(0, 65536, (5, 4, 3), dtype=np.uint16)

READERS = pytest.mark.parametrize("read", [read_rgb, read_prediction, read_header])


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes: a disk that fills up in the middle of a write."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


# ---- things that are no file of pixels ------------------------------------------------------------------------------


def zero_byte(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("no picture\n")


def directory(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere.png")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def missing(path: Path) -> None:
    pass


@READERS
@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (zero_byte, "empty file"),
        (text, "is text inside"),
        (directory, "is a folder"),
        (os.mkfifo, "is a FIFO"),
        (dangling_link, "dangling link"),
        (link_to_itself, "link that leads back to itself"),
        (missing, "no such file or directory"),
    ],
)
def test_what_holds_no_pixels_is_refused_by_name_and_cause(
    read: Callable[[Path], object], make: Callable[[Path], None], cause: str, tmp_path: Path, deadline: None
) -> None:
    path = tmp_path / "picture.png"
    make(path)
    with pytest.raises(BadInput) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: {cause}")


@READERS
def test_an_unreadable_file_is_refused(read: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "picture.png")
        write_png(path, PIXELS)
        path.chmod(0)
        with as_nobody(), pytest.raises(BadInput, match="Permission denied") as refusal:
            read(path)
        assert str(path) in str(refusal.value)


def test_an_unreadable_folder_and_what_lies_in_it_are_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_png(Path(folder, "picture.png"), PIXELS)
        os.chmod(folder, 0)
        with as_nobody():
            with pytest.raises(BadInput, match="Permission denied"):
                list_pictures(Path(folder))
            with pytest.raises(BadInput, match="permission denied"):
                read_rgb(Path(folder, "picture.png"))
        os.chmod(folder, 0o700)


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [PIXELS, DEEP_PIXELS])
def test_a_png_cut_at_any_byte_is_refused(pixels: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    path, content = tmp_path / "cut.png", encode_png(pixels)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(BadInput):
            read_prediction(path)


@pytest.mark.parametrize("pixels", [PIXELS, DEEP_PIXELS])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_png_with_any_byte_changed_is_refused(pixels: npt.NDArray[np.uint8], flip: int, tmp_path: Path) -> None:
    path, content = tmp_path / "changed.png", encode_png(pixels)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= flip
        path.write_bytes(changed)
        with pytest.raises(BadInput):
            read_prediction(path)


def test_pixel_data_that_ends_early_under_good_checksums_is_refused(tmp_path: Path) -> None:
    path, parts = tmp_path / "short.png", chunks_of(encode_png(PIXELS))
    for length in range(len(parts[b"IDAT"])):
        path.write_bytes(png_of((b"IHDR", parts[b"IHDR"]), (b"IDAT", parts[b"IDAT"][:length]), (b"IEND", b"")))
        with pytest.raises(BadInput, match="damaged"):
            read_rgb(path)


# ---- other kinds of picture -----------------------------------------------------------------------------------------


def zip_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("picture.png", encode_png(PIXELS))
    return file.getvalue()


def animated() -> bytes:
    return saved(PIXELS, "RGB", "PNG", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])])


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG": (lambda: saved(PIXELS, "RGB", "JPEG"), "is JPEG inside"),
    "GIF": (lambda: saved(PIXELS, "P", "GIF"), "is GIF inside"),
    "BMP": (lambda: saved(PIXELS, "RGB", "BMP"), "is BMP inside"),
    "TIFF": (lambda: saved(PIXELS, "RGB", "TIFF"), "is TIFF inside"),
    "WebP": (lambda: saved(PIXELS, "RGB", "WEBP"), "is WebP"),
    "AVIF": (lambda: b"\0\0\0\x20ftypavif" + bytes(100), "is AVIF inside"),
    "PDF": (lambda: saved(PIXELS, "RGB", "PDF"), "is PDF inside"),
    "Git LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer inside"),
    "zeros": (lambda: bytes(1000), "is zero bytes inside"),
    "noise": (lambda: bytes(range(1, 200)), "is no PNG inside"),
    "PNG sent as text": (lambda: encode_png(PIXELS).replace(b"\r\n", b"\n"), "damaged PNG header"),
    "zip": (zip_archive, "is a zip archive inside"),
    "OpenEXR": (lambda: b"v/1\x01" + bytes(100), "is OpenEXR inside"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is SVG inside"),
    "HTML": (lambda: b"<!doctype html><title>404</title>", "is HTML inside"),
    "1-bit PNG": (lambda: saved(PIXELS, "1", "PNG"), "grey picture"),
    "grey PNG": (lambda: saved(PIXELS, "L", "PNG"), "grey picture"),
    "16-bit grey PNG": (lambda: saved(PIXELS, "I;16", "PNG"), "grey picture"),
    "grey PNG with alpha": (lambda: saved(PIXELS, "LA", "PNG"), "grey with alpha picture"),
    "palette PNG": (lambda: saved(PIXELS, "P", "PNG"), "palette picture"),
    "RGBA PNG": (lambda: saved(PIXELS, "RGBA", "PNG"), "RGBA picture"),
    "PNG of an unknown colour type": (lambda: header_png(4, 5, colour=5), "unknown picture"),
    "PNG with a transparent colour": (lambda: saved(PIXELS, "RGB", "PNG", transparency=(1, 2, 3)), "transparent"),
    "animated PNG": (animated, "is animated"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("read", [read_rgb, read_prediction])
def test_other_kinds_named_png_are_refused_by_their_kind(
    read: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    make, cause = FOREIGN[name]
    path = tmp_path / "picture.png"
    path.write_bytes(make())
    with pytest.raises(BadInput, match=cause) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff", "not png"),
        (encode_png(PIXELS)[:20], "truncated"),
        (encode_png(PIXELS)[:-5], "truncated"),
        (header_png(4, 5, depth=4), "damaged header"),
        (encode_png(PIXELS).replace(b"IDAT", b"IDAt"), "checksum"),
        (header_png(400, 500), "damaged data"),
        (header_png(2**20, 2**20), "too large"),
        (header_png(0, 5), "no pixels"),
        (saved(PIXELS, "1", "PNG"), "1 bit"),
        (saved(PIXELS, "L", "PNG"), "grey"),
        (saved(PIXELS, "LA", "PNG"), "grey with alpha"),
        (saved(PIXELS, "P", "PNG"), "palette"),
        (saved(PIXELS, "RGBA", "PNG"), "rgba"),
        (encode_png(DEEP_PIXELS), "16 bit"),
        (encode_png(DEEP_PIXELS // 256), "16 bit"),
        (animated(), "animated"),
        (saved(PIXELS, "RGB", "PNG", transparency=(1, 2, 3)), "transparent"),
    ],
)
def test_a_refusal_is_one_fault_with_a_kind(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refusal:
        read_rgb(path)
    (fault,) = refusal.value.faults
    assert (fault.kind, fault.subject) == (kind, str(path))


def as_profile(orientation: int) -> bytes:
    digits = (b"Exif\0\0" + exif(orientation)).hex().encode()
    return b"Raw profile type exif\0\0" + zlib.compress(
        b"\nexif\n      44\n" + digits[:72] + b"\n" + digits[72:] + b"\n"
    )


def as_xmp(orientation: int) -> bytes:
    return b"XML:com.adobe.xmp\0\0\0\0\0" + f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()


ORIENTED: list[tuple[bytes, Callable[[int], bytes]]] = [
    (b"eXIf", exif),
    (b"eXIf", lambda orientation: exif(orientation, ">")),
    (b"zTXt", as_profile),
    (b"iTXt", as_xmp),
]


@pytest.mark.parametrize(("kind", "block"), ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stored_turned_is_refused(
    orientation: int, kind: bytes, block: Callable[[int], bytes], tmp_path: Path
) -> None:
    path, content = tmp_path / "picture.png", with_chunk(encode_png(PIXELS), kind, block(orientation))
    path.write_bytes(content)
    if orientation == 1:
        assert np.array_equal(read_rgb(path), PIXELS)
        return
    with pytest.raises(BadInput, match=rf"stored turned \(orientation {orientation}\)"):
        read_rgb(path)


def test_the_orientation_that_pillow_writes_is_seen(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "picture.png", exif=tags)
    with pytest.raises(BadInput, match=r"stored turned \(orientation 6\)"):
        read_rgb(tmp_path / "picture.png")


@pytest.mark.parametrize("length", range(len(exif(6))))
def test_a_damaged_orientation_is_none(length: int, tmp_path: Path) -> None:
    path, blocks = tmp_path / "picture.png", exif(6)[: min(length, 28)]
    path.write_bytes(with_chunk(encode_png(PIXELS), b"eXIf", blocks))
    assert np.array_equal(read_rgb(path), PIXELS)


SRGB_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
COLOURS: list[tuple[bytes, bytes, bool]] = [
    (b"gAMA", struct.pack(">I", 45455), False),
    (b"gAMA", struct.pack(">I", 100_000), True),
    (b"cHRM", SRGB_PRIMARIES, False),
    (b"cHRM", SRGB_PRIMARIES[::-1], True),
    (b"cHRM", b"", True),
    (b"iCCP", b"icc\0\0" + zlib.compress(b"... sRGB IEC61966-2.1"), False),
    (b"iCCP", b"icc\0\0" + zlib.compress(b"... Adobe RGB (1998)"), True),
    (b"iCCP", b"icc\0\0 not zlib", True),
    (b"sBIT", b"\x08\x08\x08", False),
    (b"sBIT", b"\x05\x06\x05", True),
    (b"cICP", bytes((1, 13, 0, 1)), False),
    (b"cICP", bytes((9, 16, 0, 1)), True),
    (b"sRGB", b"\0", False),
    (b"tIME", bytes(7), False),
    (b"pHYs", bytes(9), False),
    (b"tEXt", b"Comment\0made by hand", False),
]


@pytest.mark.parametrize(("kind", "data", "told"), COLOURS)
def test_colours_other_than_srgb_are_told_and_read_as_they_are(
    kind: bytes, data: bytes, told: bool, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(with_chunk(encode_png(PIXELS), kind, data))
    pixels, notes = read_rgb_and_notes(path)
    assert np.array_equal(pixels, PIXELS)
    assert [(note.kind, note.subject) for note in notes] == [(f"{kind.decode()} chunk", str(path))] * told


def test_an_srgb_chunk_overrules_gamma(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    content = with_chunk(encode_png(PIXELS), b"gAMA", struct.pack(">I", 100_000))
    path.write_bytes(with_chunk(content, b"sRGB", b"\0"))
    assert read_rgb_and_notes(path)[1] == []


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (encode_png(PIXELS), "not named .png, is PNG inside. Rename it"),
        (b"\xff\xd8\xff", "not named .png, is JPEG inside. Convert it to PNG"),
        (b"notes", "not named .png. Convert it to PNG or move it elsewhere"),
    ],
)
def test_a_file_of_another_name_is_told_by_what_it_is(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    pictures, ((name, fault),) = scan_pictures(tmp_path)
    assert pictures == {} and name == path.name
    assert str(fault) == f"{path}: {cause}"


def test_excluded_names_are_not_looked_at(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", PIXELS)
    for name in ("A.png", "b\n.png", "c.jpg"):
        (tmp_path / name).touch()
    assert len(scan_pictures(tmp_path)[1]) == 3
    assert list_pictures(tmp_path, {"A.png", "b\n.png", "c.jpg"}) == {"a.png": tmp_path / "a.png"}


def test_sixteen_bits_are_refused_where_bytes_are_wanted_and_read_as_predictions(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    write_png(path, DEEP_PIXELS)
    with pytest.raises(BadInput, match="16 bits per sample"):
        read_rgb(path)
    assert np.array_equal(read_prediction(path), DEEP_PIXELS)
    assert read_header(path) == (4, 5, 16)


# ---- bombs ----------------------------------------------------------------------------------------------------------


@READERS
@pytest.mark.parametrize("size", [(60000, 60000), (2**31 - 1, 2**31 - 1), (2**26 + 1, 1), (0, 7), (7, 0)])
def test_a_header_of_a_hostile_size_is_refused_before_pixels_are_made(
    read: Callable[[Path], object], size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(header_png(*size))
    forget_peak_memory()
    before = peak_memory()
    with pytest.raises(BadInput, match=f"{size[0]}x{size[1]} pixels"):
        read(path)
    assert peak_memory() - before < 20_000


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_compressed_chunk_that_would_fill_the_memory_is_never_unpacked(kind: bytes, tmp_path: Path) -> None:
    # Decoders may limit a chunk to 8 MB; a file holds as many chunks as it likes.
    prefix = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
    bomb = chunk(kind, prefix + zlib.compress(b"a" * 7_000_000))
    content = encode_png(PIXELS)
    path = tmp_path / "bomb.png"
    path.write_bytes(content[:33] + bomb * 50 + content[33:])
    forget_peak_memory()
    before = peak_memory()
    assert np.array_equal(read_rgb(path), PIXELS)
    assert peak_memory() - before < 50_000


def test_chunks_that_say_nothing_of_pixels_change_none(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(with_chunk(encode_png(PIXELS), b"gAMA", struct.pack(">I", 20000)))
    assert np.array_equal(read_rgb(path), PIXELS)


# ---- exact reading and writing --------------------------------------------------------------------------------------


def test_bytes_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    write_png(path, PIXELS)
    assert np.array_equal(read_rgb(path), PIXELS)
    assert np.array_equal(read_prediction(path), PIXELS.astype(np.uint16) * 257)
    assert read_header(path) == (4, 5, 8)


@pytest.mark.parametrize("largest", [65535, 255, 1, 0])
def test_sixteen_bits_survive_a_round_trip_however_dark(largest: int, tmp_path: Path) -> None:
    path, pixels = tmp_path / "deep.png", np.minimum(DEEP_PIXELS, largest).astype(np.uint16)
    write_png(path, pixels)
    read = read_prediction(path)
    assert read.dtype == np.uint16
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 70, 3), (70, 1, 3)])
def test_thin_pictures_survive_a_round_trip(shape: tuple[int, int, int], tmp_path: Path) -> None:
    path, pixels = tmp_path / "thin.png", np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    write_png(path, pixels)
    assert np.array_equal(read_rgb(path), pixels)


def test_another_decoder_sees_the_same_colours(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    write_png(path, PIXELS)
    assert np.array_equal(np.asarray(Image.open(path)), PIXELS)


@pytest.mark.parametrize("pixels", [PIXELS, DEEP_PIXELS])
def test_equal_pictures_give_equal_bytes(pixels: npt.NDArray[np.uint8]) -> None:
    turned_in_memory = np.asfortranarray(pixels)
    assert encode_png(pixels) == encode_png(pixels.copy()) == encode_png(turned_in_memory)


@pytest.mark.parametrize("limit", [0, 1, 50])
def test_a_write_that_fails_leaves_the_old_picture_and_nothing_else(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    write_png(path, PIXELS)
    before = path.read_bytes()
    with file_limit(limit), pytest.raises(OSError, match="File too large"):
        write_png(path, PIXELS[::-1])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["picture.png"]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    write_png(path, PIXELS)
    assert np.array_equal(read_rgb(path), PIXELS)


# ---- rounding -------------------------------------------------------------------------------------------------------


def quantized(value: float, depth: int) -> int:
    pixels = quantize(torch.full((1, 3, 1, 1), value, dtype=torch.float64), depth)
    assert pixels.shape == (1, 1, 3)
    assert pixels.dtype == (np.uint8 if depth == 8 else np.uint16)
    return int(pixels[0, 0, 0])


@pytest.mark.parametrize("depth", [8, 16])
def test_halves_are_rounded_up(depth: int) -> None:
    peak = 2**depth - 1
    halves = [k for k in range(255) if (k + 0.5) / peak * peak == k + 0.5]
    assert len(halves) > 100
    assert [quantized((k + 0.5) / peak, depth) for k in halves] == [k + 1 for k in halves]
    assert [quantized((k + 0.499) / peak, depth) for k in halves] == halves


@pytest.mark.parametrize(("value", "expected"), [(-0.3, 0), (0, 0), (0.25, 64), (0.5, 128), (1, 255), (1.7, 255)])
def test_known_values_of_eight_bits(value: float, expected: int) -> None:
    assert quantized(value, 8) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    picture = torch.zeros(1, 3, 4, 4)
    picture[0, 1, 2, 3] = value
    with pytest.raises(NumericalError):
        quantize(picture, 16)


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_every_value_survives_tensor_and_back(depth: int, dtype: type[np.uint8] | type[np.uint16]) -> None:
    values = np.arange(2**depth)
    pixels: Samples = np.stack([values, values[::-1], np.roll(values, 1)], -1)[None].astype(dtype)  # type: ignore[assignment]
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 1, 2**depth)
    assert tensor.dtype == torch.float32
    assert tensor.min() == 0
    assert tensor.max() == 1
    assert np.array_equal(quantize(tensor, depth), pixels)


def test_sixteen_bits_become_eight_by_rounding() -> None:
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(to_bytes(values), np.floor(values / 257 + 0.5).astype(np.uint8))


def test_a_large_picture_is_rounded_in_little_more_memory_than_it_takes():
    picture = torch.rand(1, 3, 1100, 1000, generator=torch.Generator().manual_seed(0))
    expected = np.floor(picture[0].permute(1, 2, 0).double().numpy() * 255 + 0.5)
    assert np.array_equal(quantize(picture, 8), expected)
    tall = picture.repeat(1, 1, 4, 1)
    assert peak_bytes(lambda: quantize(tall, 8)) < 2 * tall.nbytes
    tall[0, 0, -1, -1] = torch.nan
    with pytest.raises(NumericalError):
        quantize(tall, 8)
