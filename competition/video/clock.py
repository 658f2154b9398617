"""When frames of sound begin, also where a packet that holds several tells it of the first only."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any


class Clock:
    """Follows one stream of sound."""

    def __init__(self) -> None:
        self._end = Fraction(0)

    def timed(self, frames: Iterable[Any]) -> Iterator[Any]:
        """The same frames, each with a `pts`: its own, or the end of the one before."""
        for frame in frames:
            if frame.pts is None:
                frame.time_base = frame.time_base or Fraction(1, frame.sample_rate)
                frame.pts = round(self._end / frame.time_base)
            self._end = frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
            yield frame
