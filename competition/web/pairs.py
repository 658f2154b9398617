"""Training pairs of one upload; called in the limited process, so what is heavy is imported there."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from competition.images import Bytes

SCALE = 4
_LEAST = 64  # pixels on the shorter side of a high picture; less teaches nothing


class Made(NamedTuple):
    """A pair: its name without ending, size of its high picture, and the second of the film that it shows."""

    name: str
    width: int
    height: int
    second: float | None = None


def make_pairs(path: Path, name: str, media: Literal["picture", "film"], folder: Path, identity: str) -> list[Made]:
    """Write pixels and their bicubic quarter: of a picture, or of a few frames of a film, into `folder`/lr and /hr.

    Their names begin with `identity`; those of frames go on with milliseconds, ID_000012480. What the file says beside
    its pixels (where it was taken, with what) is left out. Raises BadInput for what is too small to learn from, and for
    films without a sharp frame.
    """
    from competition.errors import BadInput
    from competition.images import write_png
    from competition.video.pairs import pair_of

    made = []
    for second, picture in _pictures(path, name, media):
        if min(picture.shape[:2]) < _LEAST:
            size = f"{picture.shape[1]}x{picture.shape[0]} pixels"
            raise BadInput(f"{name}: has {size}, less than {_LEAST} on a side. Give a larger one")
        stem = identity if second is None else f"{identity}_{round(second * 1000):09d}"
        pair = pair_of(picture, SCALE)
        for side, pixels in zip(("lr", "hr"), pair, strict=True):
            write_png(folder / side / f"{stem}.png", pixels)
        made.append(Made(stem, pair.high.shape[1], pair.high.shape[0], second))
    if not made:
        raise BadInput(f"{name}: has no sharp frame. Give another film")
    return made


def _pictures(path: Path, name: str, media: str) -> Iterator[tuple[float | None, "Bytes"]]:
    from competition.media.limits import STRANGERS
    from competition.media.pictures import read_picture

    if media == "picture":
        yield None, read_picture(path, STRANGERS, name).pixels
        return
    from competition.video.stills import stills

    for still in stills(path, STRANGERS, name):
        yield float(still.seconds), still.picture
