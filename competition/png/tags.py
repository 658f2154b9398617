"""What chunks beside the pixels say: a turned picture, colours that are not plain sRGB."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

# More of a compressed text is never unpacked: a few bytes can hold gigabytes.
MAX_TEXT = 2**16

_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_SRGB_GAMMA = 45455
_ORIENTATION = 0x0112  # tag of TIFF 6.0 and EXIF


# ---- orientation ----------------------------------------------------------------------------------------------------


def orientation(kind: bytes, data: bytes) -> int:
    """The EXIF orientation 1 to 8 that a chunk holds, in any of the ways in use; 1 where it holds none."""
    if kind == b"eXIf":
        return _exif_orientation(data)
    keyword, _, rest = data[:MAX_TEXT].partition(b"\0")
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or not keyword.startswith((b"Raw profile type", b"XML:com.adobe.xmp")):
        return 1
    text = _text(kind, rest)
    if keyword.startswith(b"XML"):
        found = re.search(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([2-8])\b", text)
        return int(found[1]) if found else 1
    # ImageMagick's raw profile: its name, its length, then EXIF in hexadecimal.
    digits = re.sub(rb"\s", b"", b"".join(text.strip().split(b"\n")[2:]))
    return _exif_orientation(bytes.fromhex(digits.decode())) if re.fullmatch(rb"([0-9a-fA-F]{2})+", digits) else 1


def _text(kind: bytes, rest: bytes) -> bytes:
    """The text of a chunk after its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _unpack(rest[1:])
    text = rest[2:].split(b"\0", 2)[-1]
    return _unpack(text) if rest[:1] == b"\1" else text


def _unpack(data: bytes) -> bytes:
    """At most MAX_TEXT bytes of zlib data; what is there before a fault."""
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT)
    except zlib.error:
        return b""


def _exif_orientation(data: bytes) -> int:
    """The orientation of the first directory of a TIFF structure; 1 where it is absent or makes no sense."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", data, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


# ---- colours --------------------------------------------------------------------------------------------------------


def colour_notes(chunks: Mapping[bytes, bytes]) -> Iterator[tuple[str, str]]:
    """What chunks of `COLOUR_CHUNKS` say of colours other than 8-bit sRGB, as (name of the chunk, what it says).

    An sRGB chunk overrules gamma and primaries.
    """
    for kind, describe in _DESCRIPTIONS.items():
        text = describe(chunks[kind]) if kind in chunks else ""
        if text and not (kind in (b"gAMA", b"cHRM") and b"sRGB" in chunks):
            yield kind.decode(), text


def _gamma(data: bytes) -> str:
    gamma = int.from_bytes(data[:4], "big")
    return "" if abs(gamma - _SRGB_GAMMA) <= 500 else f"gamma {gamma / 100_000:g}, not sRGB's 0.45455"


def _primaries(data: bytes) -> str:
    values = struct.unpack(">8I", data) if len(data) == 32 else ()
    near = values and all(abs(a - b) <= 100 for a, b in zip(values, _SRGB_PRIMARIES, strict=True))
    return "" if near else "primaries other than sRGB's"


def _profile(data: bytes) -> str:
    name, _, packed = data.partition(b"\0")
    profile = _unpack(packed[1:])
    if b"sRGB" in profile or b"\0s\0R\0G\0B" in profile:
        return ""
    return f"profile {name.decode('latin-1')[:40]!a}, not sRGB"


def _significant_bits(data: bytes) -> str:
    return f"only {min(data)} significant bits" if data and min(data) < 8 else ""


def _code_points(data: bytes) -> str:
    # ITU-T H.273: BT.709 primaries, sRGB transfer, RGB, full range.
    return "" if data == bytes((1, 13, 0, 1)) else f"code points {tuple(data)}, not sRGB's (1, 13, 0, 1)"


_DESCRIPTIONS: dict[bytes, Callable[[bytes], str]] = {
    b"gAMA": _gamma,
    b"cHRM": _primaries,
    b"iCCP": _profile,
    b"sBIT": _significant_bits,
    b"cICP": _code_points,
}
COLOUR_CHUNKS = frozenset(_DESCRIPTIONS) | {b"sRGB"}
