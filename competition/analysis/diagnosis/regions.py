"""The rules by which a bad border and a bad band of frequencies are named."""

from collections.abc import Iterator, Sequence

import numpy as np

from competition.analysis.diagnosis.case import Case, Sentence, surely
from competition.analysis.diagnosis.frames import log_ratio, ratio
from competition.analysis.diagnosis.places import DISTANCES
from competition.analysis.diagnosis.spectrum import WIDTH, Powers

# How many times bicubic's error, against the inside's, makes a bad border; bicubic's error, a bad band; and how many
# times less of the truth's amplitude than at a higher frequency, a blocked one.
_BORDER, _BEHIND, _BLOCKED = np.log(1.2), np.log(1.25), np.log(2)
# Share of the squared error below which a ring of frequencies does not matter; shares of the truth's amplitude that are
# worth holding, and that may be held by chance; share of the truth's power below which a ring tells nothing.
_ERROR, _HELD, _CHANCE, _FAINT = 0.005, 0.1, 0.01, 1e-3


def border(case: Case) -> Iterator[Sentence]:
    """Bins near the sides against the inside, both measured by what bicubic errs there: content differs."""
    squares, plain = (np.array([getattr(one.border, key) for one in case.looks]) for key in ("squares", "plain"))
    inside = ratio(squares[:, -2:].sum(1), plain[:, -2:].sum(1))
    excess = log_ratio(ratio(squares[:, :-2], plain[:, :-2]), inside[:, None])
    wide = [number for number, column in enumerate(excess.T) if surely(column, _BORDER, above=True)]
    if wide:
        width = DISTANCES[max(wide)]
        near = ratio(squares[:, : max(wide) + 1].sum(), plain[:, : max(wide) + 1].sum())
        times = near / ratio(squares[:, -2:].sum(), plain[:, -2:].sum())
        yield Sentence(
            "border",
            f"The outer {width} pixels have {times:.1f} times the squared error of the inside, bicubic's error there "
            f"being the measure; they carry {squares[:, : max(wide) + 1].sum() / squares.sum():.0%} of all of it.",
            "the interval of the mean excess lies above 1.2 times in a bin of distance, in 4 of 5 pictures above 1",
        )


def blocked_band(case: Case) -> Iterator[Sentence]:
    """Frequencies that the predictions lack although they hold higher ones."""
    powers = _powers(case)
    if blocked := [ring for ring in _rings(powers) if _is_blocked(powers, ring)]:
        held = powers.product[:, blocked].sum() / powers.truth[:, blocked].sum()
        error = powers.residual[:, blocked].sum() / powers.residual.sum()
        yield Sentence(
            "band",
            f"Frequencies of {_range(blocked)} are blocked: the predictions hold {held:.0%} of the truth's amplitude, "
            f"less than at higher ones; {error:.0%} of the squared error lies there.",
            "a band holds less than half the share of the truth's amplitude that a higher one holds, with its interval",
        )


def lost_band(case: Case) -> Iterator[Sentence]:
    """Frequencies at which bicubic is better."""
    powers = _powers(case)
    behind = log_ratio(powers.residual, powers.plain)
    if lost := [ring for ring in _rings(powers) if surely(behind[:, ring], _BEHIND, above=True)]:
        times = powers.residual[:, lost].sum() / powers.plain[:, lost].sum()
        yield Sentence(
            "band",
            f"At frequencies of {_range(lost)} bicubic is better: it has 1 / {times:.1f} of the squared error there.",
            "the interval of the mean ratio to bicubic's error lies above 1.25 in a band with 0.5 % of the error",
        )


def _powers(case: Case) -> Powers:
    """Of every picture, each (pictures, rings)."""
    return Powers(*(np.array(parts) for parts in zip(*(one.powers for one in case.looks), strict=True)))


def _rings(powers: Powers) -> list[int]:
    """Those with a share of the error that matters; the first is the picture's mean colour."""
    share = ratio(powers.residual.sum(0), powers.residual.sum())
    return [int(ring) for ring in np.flatnonzero(share >= _ERROR) if ring]


def _is_blocked(powers: Powers, ring: int) -> bool:
    """Whether a ring surely holds less of the truth's amplitude, in phase, than one further out."""
    transfer, truth = ratio(powers.product, powers.truth), powers.truth.sum(0)
    beyond = np.where(truth >= _FAINT * truth[1:].sum(), ratio(powers.product.sum(0), truth), np.nan)[ring + 1 :]
    if not (beyond >= _HELD).any():
        return False
    higher = ring + 1 + int(np.nanargmax(beyond))
    # What a band holds by chance may be negative, or nothing.
    there, here = (np.maximum(transfer[:, each], _CHANCE) for each in (higher, ring))
    return surely(log_ratio(there, here), _BLOCKED, above=True)


def _range(rings: Sequence[int]) -> str:
    return f"{min(rings) * WIDTH:.3f} to {(max(rings) + 1) * WIDTH:.3f} cycles per pixel"
