"""One picture's measures: its scores, and where, at which frequencies and why it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from competition.agreement import gram
from competition.analysis.diagnosis.budget import Budget, budget
from competition.analysis.diagnosis.places import (
    Sums,
    Tiles,
    by_brightness,
    by_channel,
    by_distance,
    by_texture,
    by_tile,
    errors_of,
    moments,
)
from competition.analysis.diagnosis.sources import Picture, Sources
from competition.analysis.diagnosis.spectrum import Powers, powers
from competition.errors import BadInput
from competition.images import read_prediction
from competition.metrics import MetricConfig
from competition.parts import PARTS
from competition.scoring import psnr_and_ssim

Array = npt.NDArray[np.float64]
METRIC = MetricConfig()
NAN = float("nan")
# Of the low picture where none is at hand.
SCALE = 4


@dataclass(frozen=True)
class Score:
    """Scores of one picture in dB (ssim without unit), NaN where there is none; `fault` says why it has no `psnr`."""

    name: str
    height: int = 0
    width: int = 0
    psnr: float = NAN
    ssim: float = NAN
    psnr_bicubic: float = NAN
    psnr_previous: float = NAN
    fault: str = ""
    fault_previous: str = ""

    @property
    def mse(self) -> float:
        """In squared levels, by the very PSNR."""
        return float(255**2 / 10 ** (self.psnr / 10))


@dataclass(frozen=True)
class Look:
    """What a close look at one picture found."""

    name: str
    height: int
    width: int
    textures: Sums
    border: Sums
    brightness: Sums
    channels: Sums
    moments: Array
    tiles: Tiles
    powers: Powers
    budget: Budget
    grams: Array | None
    """Mean products of the members' errors, (members, members); None where there are none, or one lacks the picture."""


def look(sources: Sources, name: str, closely: bool) -> tuple[Score, Look | None]:
    """Score one picture and, where it can be scored, look closely at it if that is wanted."""
    try:
        picture = sources.read(name)
        psnr, ssim = psnr_and_ssim(picture.shown, picture.truth, METRIC, sources.truths[name])
    except BadInput as error:
        return Score(name, fault=str(error)), None
    plain = NAN if picture.bicubic is None else METRIC.psnr(picture.bicubic, picture.truth)
    before, fault = _previous(sources, name)
    height, width = picture.truth.shape[:2]
    score = Score(name, height, width, psnr, ssim, plain, before, fault_previous=fault)
    return score, _closely(picture, _members(sources, picture)) if closely else None


def _previous(sources: Sources, name: str) -> tuple[float, str]:
    """PSNR of the previous run's prediction, or why there is none."""
    if sources.previous is None:
        return NAN, ""
    try:
        picture = sources.read(name, sources.previous)
    except BadInput as error:
        return NAN, str(error)
    return METRIC.psnr(picture.shown, picture.truth), ""


def _closely(picture: Picture, grams: Array | None) -> Look:
    truth = picture.truth
    # Before the errors: it needs the most memory.
    spent = budget(picture, SCALE if picture.low is None else truth.shape[0] // picture.low.shape[0])
    errors = errors_of(picture)
    return Look(
        name=picture.name,
        height=truth.shape[0],
        width=truth.shape[1],
        textures=by_texture(errors, truth),
        border=by_distance(errors),
        brightness=by_brightness(errors, picture.shown),
        channels=by_channel(errors),
        moments=moments(picture),
        tiles=by_tile(errors),
        powers=powers(errors, truth),
        budget=spent,
        grams=grams,
    )


def _members(sources: Sources, picture: Picture) -> Array | None:
    """The members' Gram matrix about the truth."""
    members = _read_members(sources.members, picture)
    if not members:
        return None
    everywhere = np.zeros(picture.truth.shape[:2], np.uint8)
    return np.asarray(gram(members, picture.truth, METRIC, PARTS["all"], everywhere)[0])


def _read_members(folders: Sequence[Path], picture: Picture) -> list[npt.NDArray[np.uint16]]:
    try:
        members = [read_prediction(folder / picture.name) for folder in folders]
    except BadInput:
        return []
    return members if all(member.shape == picture.truth.shape for member in members) else []
