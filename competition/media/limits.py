"""How much a film or picture may ask for: read from its header first, and enforced while it is decoded."""

import math
from dataclasses import dataclass

from competition.errors import BadInput


@dataclass(frozen=True)
class Limits:
    """The most that is accepted. Compared with what the header says, and with what really comes out of the decoder."""

    bytes: float = math.inf
    seconds: float = math.inf
    frames: float = math.inf
    pixels: int = 2**26  # of one frame
    side: int = 2**14  # of one frame, in pixels
    rate: float = 1000.0  # frames a second
    streams: int = 32
    attachments: bool = True

    def require(self, subject: str, what: str, value: float) -> None:
        """Raise BadInput where `value` of `what` (a field of this class) is more than it may be."""
        most = getattr(self, what)
        if value > most:
            amount = f"{value:,.0f} {_WORDS[what]}, more than the {most:,.0f} that are accepted"
            raise BadInput(f"{subject}: has {amount}. Give a smaller one")


_WORDS = {
    "bytes": "bytes",
    "seconds": "seconds",
    "frames": "frames",
    "pixels": "pixels a frame",
    "side": "pixels on one side",
    "rate": "frames a second",
    "streams": "streams",
}

# For the owner's own files on the command line, for what was made of files within limits, and for files of strangers.
OWN = Limits()
MADE = Limits(pixels=2**40, side=2**31)
STRANGERS = Limits(
    bytes=64 * 2**30, seconds=6 * 3600, frames=1_000_000, pixels=2**25, side=2**13, rate=300.0, attachments=False
)
