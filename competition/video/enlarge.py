"""Enlarge a film: frames stream through the network, chunks survive a kill, everything else is copied."""

from pathlib import Path
from typing import NamedTuple

from competition.ensemble import SelfEnsemble
from competition.media.limits import OWN, Limits
from competition.media.sandbox import Report, silent

CHUNK = 64


class Enlarged(NamedTuple):
    """How many frames were written, of how many pixels, the film's length and the time it took, in seconds.

    `kept` is the number of frames that a run before this one had finished; `notes` tell what could not be copied as it
    was, such as sound that the container does not take and that was encoded anew.
    """

    frames: int
    width: int
    height: int
    seconds: float
    took: float
    kept: int
    notes: tuple[str, ...]


def enlarge_film(
    path: Path,
    output: Path,
    source: str,
    scale: int | None = None,
    self_ensemble: SelfEnsemble = "none",
    tile: int | None = None,
    chunk: int = CHUNK,
    start: float = 0.0,
    seconds: float | None = None,
    limits: Limits = OWN,
    name: str | None = None,
    report: Report = silent,
) -> Enlarged:
    """Enlarge every frame of a film; OUTPUT's ending chooses the container: .mp4 .mov .mkv .webm .wmv .gif.

    Frame times, pixel aspect, colour (range, matrix, primaries, transfer; 10 bits stay 10 bits), sound, subtitles,
    chapters and titles are kept; frames are turned upright. Finished chunks of `chunk` frames lie in the folder
    `.work_OUTPUT` beside OUTPUT until it is whole, so that the same call after a kill goes on at the last of them: with
    the same settings and file, else it begins anew. `report` hears (frames done, frames in all).

    `start` and `seconds` choose a part of the film, without sound; a preview is `seconds=1`.

    Raises BadInput for the film, UsageError for the options, BadCheckpoint for the weights, OSError for the disk,
    KeyboardInterrupt as it comes.
    """
    raise NotImplementedError


def forget(output: Path) -> None:
    """Delete what an unfinished `enlarge_film` left beside OUTPUT."""
    raise NotImplementedError
