"""How members vote: evidence gathered picture by picture, weights by name, and the joined picture."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from competition import weighting
from competition.agreement import gram
from competition.backprojection import Reduction, corrections
from competition.ensemble import vote
from competition.errors import BadInput, UsageError
from competition.images import Bytes, Words, quantize, read_header, read_prediction, read_rgb, to_bytes
from competition.manifest import WEIGHTED_MEAN
from competition.metrics import MetricConfig
from competition.parts import PARTS, Kind, join

Scheme = Literal["uniform", "psnr", "given", "convex", "greedy"]
Array = npt.NDArray[np.float64]


class Validation(NamedTuple):
    """The pictures that judge: their names, the folders of low pictures and truths, how they are scored."""

    names: Sequence[str]
    low: Path
    truth: Path
    metric: MetricConfig
    scale: int

    def read(self, folder: Path, name: str) -> Words:
        """A member's prediction; raises BadInput where it has not the truth's size."""
        picture = read_prediction(folder / name)
        truth = read_header(self.truth / name)
        if picture.shape[:2] != (truth.height, truth.width):
            raise BadInput(
                f"{folder / name}: {picture.shape[1]}x{picture.shape[0]}, not {truth.width}x{truth.height}. "
                "Predict it again"
            )
        return picture


class Evidence(NamedTuple):
    """What the validation pictures say of the members."""

    grams: Array
    """(pictures, parts, members, members), see `competition.weighting`."""
    psnr: Array
    """Scores as submitted, rounded to 8 bits: (members, pictures) in dB."""


class Ballot(NamedTuple):
    """How the members vote."""

    weights: Array
    """(parts, members)"""
    kind: Kind = "all"
    reduction: Reduction = "bicubic"
    strengths: tuple[float, ...] = ()
    """Of the back-projection, one for each of its low passes, in [0, 1] and of sum 1 at most; none for none."""
    scale: int = 4

    @property
    def way(self) -> str:
        """In words, for the manifest: WEIGHTED_MEAN where that is all."""
        apart = f" per {self.kind}" if self.weights.shape[0] > 1 else ""
        steps = " ".join(f"{strength:.4f}" for strength in self.strengths)
        return f"{WEIGHTED_MEAN}{apart}" + (f", back-projection ({self.reduction}) {steps}" if steps else "")

    @property
    def shares(self) -> Array:
        """One weight a member: the mean over the parts."""
        return np.asarray(self.weights.mean(0))

    def join(self, members: Sequence[Words], low: Bytes) -> Tensor:
        """The vote as float64 (1, 3, H, W) in about [0, 1], not rounded; `low` is the picture they enlarged."""
        parts = PARTS[self.kind]
        if parts.number == 1:
            joined = vote(members, [float(weight) for weight in self.weights[0]])
        else:
            joined = join(members, self.weights, parts.label(low, self.scale), parts)
        if self.strengths:
            steps = corrections(joined, low, self.reduction, self.scale)
            joined += sum(strength * step for strength, step in zip(self.strengths, steps, strict=True))
        return joined


def gather(folders: Sequence[Path], validation: Validation, kind: Kind = "all") -> Evidence:
    """Read every validation picture of every member once; only one picture of each is in memory at a time."""
    looks = [_look(folders, name, validation, kind) for name in validation.names]
    return Evidence(np.array([grams for grams, _ in looks]), np.array([scores for _, scores in looks]).T)


def _look(folders: Sequence[Path], name: str, validation: Validation, kind: Kind) -> tuple[Array, list[float]]:
    parts, metric = PARTS[kind], validation.metric
    truth, low = read_rgb(validation.truth / name), read_rgb(validation.low / name)
    members = [validation.read(folder, name) for folder in folders]
    scores = [metric.psnr(to_bytes(member), truth) for member in members]
    return gram(members, truth, metric, parts, parts.label(low, validation.scale)), scores


def elect(scheme: Scheme, kind: Kind, evidence: Evidence, given: Sequence[float | None]) -> tuple[Ballot, list[str]]:
    """The weights of a scheme, and lines that tell how they came about.

    Those fitted to the validation pictures must gain on pictures left out, else the plain mean votes, or the best
    member alone where that is better. Raises UsageError where `given` weights are missing or all 0.
    """
    grams = evidence.grams
    if scheme == "given":
        if None in given or not sum(weight or 0 for weight in given):
            raise UsageError("members: weights is `given`, but a weight is missing or all are 0. Write them down")
        weights = np.array([given], np.float64)
        weights /= weights.max()  # so that no sum of them is too large
        return Ballot(weights / math.fsum(weights[0])), []
    if scheme == "uniform" or grams.shape[2] == 1:
        return Ballot(weighting.uniform(grams.sum(1, keepdims=True))), []
    if scheme == "psnr":
        weights = weighting.by_psnr(grams.sum(1, keepdims=True))
        off = np.abs(weights * weights.size - 1).max()
        return Ballot(weights), [f"psnr: nearly the plain mean, no member's share is more than {off:.1%} off it"]
    return _fitted(scheme, kind, grams)


def _fitted(scheme: Scheme, kind: Kind, grams: Array) -> tuple[Ballot, list[str]]:
    whole = grams.sum(1, keepdims=True)
    if len(grams) < weighting.FEWEST_PICTURES:
        pictures = f"{len(grams)} validation pictures cannot tell"
        return Ballot(weighting.uniform(whole)), [f"{scheme}: {pictures}; the plain mean votes"]
    fit = weighting.convex if scheme == "convex" else weighting.greedy
    plain = [
        weighting.attempt("the plain mean", weighting.uniform, whole),
        weighting.attempt("the best member", weighting.best_member, whole),
    ]
    plainest = max(plain, key=lambda trial: trial.left_out.mean())
    chosen, line = weighting.prefer(plainest, weighting.attempt(scheme, fit, whole))
    if kind == "all":
        return Ballot(chosen.weights), [line]
    apart = weighting.attempt(f"{scheme} per {kind}", fit, grams)
    finest, second = weighting.prefer(chosen, apart)
    return Ballot(finest.weights, kind if finest is apart else "all"), [line, second]


# ---- on the validation pictures -------------------------------------------------------------------------------------


def joined(ballot: Ballot, folders: Sequence[Path], validation: Validation) -> Iterator[tuple[str, Bytes, Tensor]]:
    """Name, low picture and vote of every validation picture."""
    for name in validation.names:
        low = read_rgb(validation.low / name)
        yield name, low, ballot.join([validation.read(folder, name) for folder in folders], low)


def scores(ballot: Ballot, folders: Sequence[Path], validation: Validation) -> Array:
    """PSNR in dB of the vote on each validation picture, rounded to 8 bits."""
    return np.array(
        [
            validation.metric.psnr(quantize(picture, 8), read_rgb(validation.truth / name))
            for name, _, picture in joined(ballot, folders, validation)
        ]
    )


def with_back_projection(
    ballot: Ballot, folders: Sequence[Path], validation: Validation, reduction: Reduction
) -> tuple[Ballot, str]:
    """The ballot with the strengths of back-projection that serve the validation pictures, and a line about it.

    A step of strength s is the vote 1 - s : s of a picture and its full back-projection, so that strengths are fitted
    and refused as weights are.
    """
    everything, grams = PARTS["all"], []
    for name, low, picture in joined(ballot, folders, validation):
        steps = corrections(picture, low, reduction, validation.scale)
        choices = [quantize(each, 16) for each in (picture, *(picture + step for step in steps))]
        truth = read_rgb(validation.truth / name)
        labels = everything.label(low, validation.scale)
        grams.append(gram(choices, truth, validation.metric, everything, labels))
    if len(grams) < weighting.FEWEST_PICTURES:
        return ballot, f"back-projection: {len(grams)} validation pictures cannot tell its strengths; left out"
    evidence = np.array(grams)
    as_it_is = np.eye(1, evidence.shape[2])
    plain = weighting.attempt("the vote", lambda _: as_it_is, evidence)
    fitted = weighting.attempt("back-projection", weighting.convex, evidence)
    chosen, line = weighting.prefer(plain, fitted)
    if chosen is plain:
        return ballot, line
    return ballot._replace(reduction=reduction, strengths=tuple(map(float, chosen.weights[0, 1:]))), line
