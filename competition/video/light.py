"""What HDR films say of the display they were graded on and of their light: read from frames, written by x264."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from competition.media.films import side_data

_XY, _NITS = 50_000, 10_000  # units of a coordinate and of a candela per square metre in the bitstream


class Light(NamedTuple):
    """SMPTE ST 2086 and CTA-861.3, as H.264's messages hold them; empty where a film says nothing.

    `display` is x and y of the red, green and blue primaries and of white, in units of 0.00002, then the lowest and
    the highest luminance, in units of 0.0001 cd/m2. `levels` are the brightest pixel's and the brightest frame's
    mean, in cd/m2. `dynamic` tells that there is more, for each frame or scene (HDR10+, Dolby Vision).
    """

    display: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    dynamic: bool = False

    def parameters(self) -> str:
        """For x264, which writes both before every key frame."""
        said = []
        if self.display:
            red, green, blue, white = (
                f"({x},{y})" for x, y in zip(self.display[:8:2], self.display[1:8:2], strict=True)
            )
            least, most = self.display[8:]
            said.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({most},{least})")
        if self.levels:
            said.append(f"cll={self.levels[0]},{self.levels[1]}")
        return ":".join(said)

    def lost(self, codec: str, muxer: str) -> list[str]:
        """What an encoder cannot write of it, for the notes."""
        notes: list[str] = []
        if codec != "libx264" and (self.display or self.levels):
            notes.append(f"HDR10 metadata left out, {muxer} does not take it")
        if self.dynamic:
            notes.append("HDR10+ or Dolby Vision metadata left out")
        return notes


def light_of(frame: Any) -> Light:
    """What a frame carries; values that the bitstream has no room for count as not said."""
    dynamic = any(side_data(frame, kind) for kind in ("DYNAMIC_HDR_PLUS", "DOVI_METADATA"))
    return Light(_display(side_data(frame, "MASTERING_DISPLAY_METADATA")), _levels(frame), dynamic)


def _display(content: bytes) -> tuple[int, ...]:
    """FFmpeg's AVMasteringDisplayMetadata: ten fractions, then whether primaries and luminance are said."""
    if len(content) < 88:
        return ()
    *terms, primaries, luminance = struct.unpack_from("22i", content)
    if not (primaries and luminance) or not all(terms[1::2]):
        return ()
    found = [Fraction(over, under) for over, under in zip(terms[::2], terms[1::2], strict=True)]
    coordinates, nits = [round(one * _XY) for one in found[:8]], [round(one * _NITS) for one in found[8:]]
    fits = _within(coordinates, 2**16) and _within(nits, 2**32) and nits[0] < nits[1]
    return (*coordinates, *nits) if fits else ()


def _levels(frame: Any) -> tuple[int, ...]:
    content = side_data(frame, "CONTENT_LIGHT_LEVEL")
    levels = struct.unpack_from("2I", content) if len(content) >= 8 else ()
    return levels if any(levels) and _within(levels, 2**16) else ()


def _within(values: Sequence[int], end: int) -> bool:
    return all(0 <= value < end for value in values)
