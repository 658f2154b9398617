"""The rules by which faults of whole pictures are named: what mending them must save, how often, how surely.

A rule that rests on a mean over the pictures asks for an interval; one that shows in a single picture does not.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from competition.analysis.diagnosis.case import Case, Sentence, surely
from competition.analysis.diagnosis.frames import ratio
from competition.analysis.diagnosis.looking import Look
from competition.analysis.diagnosis.regions import blocked_band, border, lost_band

# A gamma is named unless a gain or an offset explains more than 1 / _RIVAL as much.
_RIVAL = 0.9
# Share of the squared error that gains and offsets make, from which on low frequencies suffer by them.
_COLOURED = 0.05


def symptoms(case: Case) -> Iterator[Sentence]:
    """Everything that is found wrong; nothing that a plainer fault, told before it, may only look like."""
    if case.looks and case.whole.sum():
        whole = [*_channel_order(case), *_shift(case), *_gamma(case)]
        finer = whole or [*blocked_band(case), *border(case)]
        yield from finer or (lost_band(case) if case.share("colour") < _COLOURED else ())
    yield from _member(case)


def _channel_order(case: Case) -> Iterator[Sentence]:
    wrong = [one for one, saved in zip(case.looks, case.saved("channel order"), strict=True) if saved >= 0.2]
    if wrong:
        orders = sorted({"".join("rgb"[channel] for channel in one.budget.order) for one in wrong} - {"rgb"})
        yield Sentence(
            "channel order",
            f"{_count(wrong, case)} their channels in the order {', '.join(orders)}: in the right one the mean score "
            f"gains {case.gain('channel order')}.",
            "another order of the channels lowers a picture's squared error by at least 20 %",
        )


def _shift(case: Case) -> Iterator[Sentence]:
    shifts, saved = np.array([one.budget.shift for one in case.looks]), case.saved("shift")
    clear = (np.abs(shifts).max(1) >= 0.25) & (saved >= 0.1)
    if clear.any():
        down, right = np.median(shifts[clear], 0)
        wrong = [one for one, is_clear in zip(case.looks, clear, strict=True) if is_clear]
        place = (
            f"{_count(wrong, case)} moved: in the middle {down:+.2f} pixels down and {right:+.2f} right of the truth"
        )
        rule = "a shift by at least 0.25 pixels lowers a picture's squared error by at least 10 %"
    elif any(surely(column, 0.1) for column in shifts.T) and case.share("shift") >= 0.01:
        down, right = shifts.mean(0)
        place = f"The predictions lie {down:+.2f} pixels down and {right:+.2f} right of the truth, in the mean"
        rule = "the interval of the mean shift excludes 0, it is at least 0.1 pixels and makes 1 % of the error"
    else:
        return
    yield Sentence("shift", f"{place}; put in place the mean score gains {case.gain('shift')}.", rule)


def _gamma(case: Case) -> Iterator[Sentence]:
    """A gain or an offset is mended a little by a power too, and the other way: the sentence has both figures."""
    logs = np.log([one.budget.gamma for one in case.looks])
    rivals = ratio(np.array([one.budget.rivals for one in case.looks]), case.whole[:, None]).max(1)
    taken = np.nan_to_num(ratio(case.alone("gamma"), case.whole))
    clear = (np.abs(logs) >= 0.05) & (taken >= 0.2) & (taken >= _RIVAL * rivals)
    if clear.any():
        wrong = [one for one, is_clear in zip(case.looks, clear, strict=True) if is_clear]
        tone, logs, taken, rivals = f"{_count(wrong, case)} a tone curve", logs[clear], taken[clear], rivals[clear]
        rule = "a gamma 5 % off 1 lowers a picture's squared error by at least 20 %"
    elif surely(logs, 0.02) and taken.mean() >= max(0.02, _RIVAL * np.nanmean(rivals)):
        tone = "The predictions have a tone curve"
        rule = "the interval of the mean gamma excludes 1; it is 2 % off, 2 % of a picture's squared error in the mean"
    else:
        return
    yield Sentence(
        "gamma",
        f"{tone} like a gamma of {np.exp(-np.median(logs)):.2f}: undone, the score gains {case.gain('gamma')}. "
        f"It makes {taken.mean():.1%} of a picture's squared error, the best gain or offset {rivals.mean():.1%}.",
        f"{rule}; no gain or offset explains a tenth more",
    )


def _member(case: Case) -> Iterator[Sentence]:
    table = case.tables["members"]
    bad = table[(table["high"] < 0) & (table["worth"] <= -0.01)]
    if len(bad):
        worst = bad.loc[bad["worth"].idxmin()]
        yield Sentence(
            "member",
            f"The mean of the {len(table)} members gains {-worst['worth']:.2f} dB [{-worst['high']:.2f}, "
            f"{-worst['low']:.2f}] without {worst['member']} (alone {worst['psnr']:.2f} dB).",
            "the interval of what the mean gains without a member lies above 0, the gain is at least 0.01 dB",
        )


def _count(wrong: Sequence[Look], case: Case) -> str:
    """How many, with a name or two."""
    names = ", ".join(one.name for one in wrong[:2]) + (", …" if len(wrong) > 2 else "")
    return f"{len(wrong)} of {len(case.looks)} pictures ({names}) have"
