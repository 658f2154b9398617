"""What enlarging a film will take, measured on a few of its frames."""

import io
import time
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from competition.ensemble import SelfEnsemble
from competition.errors import BadInput
from competition.media.films import library, opened
from competition.media.limits import OWN, Limits
from competition.upscaler import Enlarger
from competition.video.encoding import Encoder
from competition.video.shots import Part, shots
from competition.video.targets import lasting, target_of


class Estimate(NamedTuple):
    """Seconds that the whole film will take and bytes it will be, frames to do, seconds a frame, size in pixels.

    Until the end the finished chunks lie beside the film, so twice `bytes` must be free.
    """

    seconds: float
    bytes: int
    frames: int
    per_frame: float
    width: int
    height: int


def estimate_film(
    path: Path,
    output: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    trial: float = 5.0,
    limits: Limits = OWN,
    name: str | None = None,
) -> Estimate:
    """Enlarge and encode frames from a third of the film on for `trial` seconds, at least two; writes nothing.

    OUTPUT only says which container is meant. Raises what `enlarge_film` raises.
    """
    target, enlarger = lasting(target_of(output)), Enlarger(source, scale, self_ensemble, tile)
    with opened(path, limits, name=name) as film:
        frames, middle = Part().frames(film), film.seconds / 3
        beside = sum(stream.bit_rate or 0 for stream in film.container.streams.audio) * film.seconds / 8
    buffer, taken, encode, picture = io.BytesIO(), list[float](), None, None
    with library().open(buffer, "w", format="nut") as container:
        for shot in shots(path, Part(middle), limits, name):
            begun = time.monotonic()
            picture = enlarger(shot.picture)
            taken.append(time.monotonic() - begun)
            enlarged = shot._replace(picture=picture)
            encode = encode or Encoder(container, target, enlarged)
            container.mux(encode(enlarged))
            if sum(taken) > trial and len(taken) > 1:
                break
        if encode is None or picture is None:
            raise BadInput(f"{name or path}: none of its frames can be decoded. Convert it, or fetch it again")
        container.mux(encode.flush())
    per_frame = fmean(taken[1:] or taken)  # the first one of a size takes longer
    size = round(len(buffer.getvalue()) / len(taken) * frames + beside)
    height, width = picture.shape[:2]
    return Estimate(per_frame * frames, size, frames, per_frame, width, height)
