"""A small picture of any picture or film."""

from pathlib import Path

from PIL import Image, ImageOps

from competition.errors import BadInput
from competition.files import write_atomic
from competition.media.films import Film, opened, orientation
from competition.media.kinds import FILMS, PICTURES, Kind, identify
from competition.media.limits import OWN, Limits
from competition.media.pictures import read_first, thumbnail_of


def thumbnail(
    path: Path,
    target: Path,
    side: int = 320,
    limits: Limits = OWN,
    allowed: tuple[Kind, ...] = (*PICTURES, *FILMS),
    name: str | None = None,
) -> None:
    """Write a JPEG of at most `side` pixels: the picture, or a film's frame a tenth of the way in.

    Raises BadInput like `probe`.
    """
    if identify(path, allowed, name) in PICTURES:
        image = read_first(path, limits, name)
    else:
        with opened(path, limits, allowed, name) as film:
            image = _frame(film)
    write_atomic(target, thumbnail_of(image, side))


def _frame(film: Film) -> Image.Image:
    if film.seconds > 10:
        film.seek((film.stream.start_time or 0) + round(film.seconds / 10 / film.stream.time_base))
    for frame in film.frames():
        turns, mirrored = orientation(frame)
        image: Image.Image = frame.to_image().rotate(90 * turns, expand=True)
        return ImageOps.mirror(image) if mirrored else image
    raise BadInput(f"{film.subject}: none of its frames can be decoded. Convert it, or fetch it again")
