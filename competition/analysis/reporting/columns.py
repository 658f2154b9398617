"""Heads, units and formats of the columns that tables of a report show."""

from collections.abc import Iterable, Sequence
from pathlib import Path

Columns = dict[str, tuple[str, str]]

_TEXT = "{}"
_SHARE = "{:.1%}"

PICTURES: Columns = {
    "name": ("picture", _TEXT),
    "psnr": ("PSNR [dB]", "{:.3f}"),
    "ssim": ("SSIM", "{:.4f}"),
    "gain": ("over bicubic [dB]", "{:+.3f}"),
    "gain_previous": ("over previous run [dB]", "{:+.3f}"),
    "share": ("share of squared error", _SHARE),
    "seconds": ("seconds", "{:.1f}"),
    "channel_order": ("channel order", _TEXT),
    "shift_down": ("shift down [px]", "{:+.2f}"),
    "shift_right": ("shift right [px]", "{:+.2f}"),
    "gamma": ("gamma", "{:.3f}"),
    "cluster": ("cluster", "{:.0f}"),
    "fault": ("fault", _TEXT),
}
COMPARISON: Columns = {
    "against": ("against", _TEXT),
    "pictures": ("pictures", "{:,}"),
    "mean": ("mean gain [dB]", "{:+.4f}"),
    "low": ("95 % from", "{:+.4f}"),
    "high": ("to", "{:+.4f}"),
    "wins": ("better on", "{:.0f}"),
    "losses": ("worse on", "{:.0f}"),
    "p_sign": ("sign test p", "{:.2g}"),
    "p_again": ("ahead on other pictures with probability", "{:.2f}"),
    "same_winner": ("public winner wins privately", "{:.2f}"),
    "regret": ("choosing by public costs [dB]", "{:.4f}"),
    "spread": ("public to private [dB]", "{:.2f}"),
}
CHANNELS: Columns = {
    "channel": ("channel", _TEXT),
    "bias": ("bias [levels]", "{:+.3f}"),
    "mse": ("MSE [levels²]", "{:.2f}"),
    "mse_bicubic": ("of bicubic", "{:.2f}"),
    "share": ("share of error", _SHARE),
    "like_red": ("like true red", "{:.3f}"),
    "like_green": ("like true green", "{:.3f}"),
    "like_blue": ("like true blue", "{:.3f}"),
}
BUDGET: Columns = {
    "fix": ("fix", _TEXT),
    "squared_error": ("takes off [levels²]", "{:.3f}"),
    "share": ("share of the error", _SHARE),
    "gain": ("alone [dB]", "{:+.4f}"),
    "low": ("95 % from", "{:+.4f}"),
    "high": ("to", "{:+.4f}"),
}
SPREAD: Columns = {
    "quantity": ("quantity", _TEXT),
    "squared_error": ("MSE [levels²]", "{:.3f}"),
    "share": ("of the mean member's", _SHARE),
}
MEMBERS: Columns = {
    "member": ("member", _TEXT),
    "psnr": ("PSNR [dB]", "{:.3f}"),
    "weight": ("best weight", "{:.3f}"),
    "worth": ("worth to the mean [dB]", "{:+.4f}"),
    "low": ("95 % from", "{:+.4f}"),
    "high": ("to", "{:+.4f}"),
}
SYMMETRIES: Columns = {
    "symmetry": ("symmetry", _TEXT),
    "psnr": ("PSNR alone [dB]", "{:.3f}"),
    "gain": ("mean of all eight over it [dB]", "{:+.4f}"),
    "low": ("95 % from", "{:+.4f}"),
    "high": ("to", "{:+.4f}"),
    "wins": ("pictures won by the mean", "{:.0f}"),
}
STAGES: Columns = {
    "lr": ("learning rate", "{:.3g}"),
    "first": ("from step", "{:,.0f}"),
    "last": ("to step", "{:,.0f}"),
    "validations": ("validations", "{:.0f}"),
    "psnr": ("best PSNR [dB]", "{:.3f}"),
    "gain": ("gain [dB]", "{:+.3f}"),
    "gain_per_1000": ("gain per 1,000 steps [dB]", "{:+.4f}"),
    "expected": ("rate left as it was [dB]", "{:.3f}"),
    "low": ("95 % from", "{:.3f}"),
    "high": ("to", "{:.3f}"),
}
TIME: Columns = {"on": ("on", _TEXT), "seconds": ("seconds", "{:,.0f}"), "share": ("share", _SHARE)}
HURT: Columns = {
    "severity": ("severity", _TEXT),
    "kind": ("finding", _TEXT),
    "pairs": ("pairs", "{:,}"),
    "validation": ("of those validation", "{:,}"),
    "gain": ("their gain [dB]", "{:+.3f}"),
    "gain_others": ("gain of the others [dB]", "{:+.3f}"),
}
BACKGROUND: Columns = {
    "name": ("picture", _TEXT),
    "psnr": ("PSNR [dB]", "{:.3f}"),
    "gain": ("over bicubic [dB]", "{:+.3f}"),
    "share": ("share of squared error", _SHARE),
    "nearest": ("nearest training picture", _TEXT),
    "likeness": ("likeness", "{:.2f}"),
    "degradation": ("degradation", _TEXT),
    "found": ("the audit found", _TEXT),
}
CLUSTERS: Columns = {
    "kind": ("degradation", _TEXT),
    "pictures": ("pictures", "{:,}"),
    "psnr": ("PSNR [dB]", "{:.3f}"),
    "gain": ("over bicubic [dB]", "{:+.3f}"),
    "low": ("95 % from", "{:+.3f}"),
    "high": ("to", "{:+.3f}"),
    "share": ("share of squared error", _SHARE),
}
HIDDEN: Columns = {
    "name": ("picture", _TEXT),
    "psnr_expected": ("expected PSNR [dB]", "{:.1f}"),
    "low": ("95 % from", "{:.1f}"),
    "high": ("to", "{:.1f}"),
    "psnr_half": ("bicubic on its own half [dB]", "{:.2f}"),
    "unfaithful": ("off its low picture [levels]", "{:.2f}"),
    "symmetries": ("symmetries disagree [levels]", "{:.2f}"),
    "members": ("members disagree [levels]", "{:.2f}"),
    "saved": ("the mean saves [levels²]", "{:.3f}"),
    "farthest": ("farthest member", _TEXT),
}


def distinct(folders: Iterable[str]) -> dict[str, str]:
    """What tells paths apart: each without the parts that all of them begin and end with; one alone stays as it is."""
    parts = {folder: Path(folder).parts for folder in folders}
    if len(parts) < 2:
        return {folder: folder for folder in parts}
    start, end = _common(parts.values()), _common(tuple(reversed(path)) for path in parts.values())
    return {folder: str(Path(*path[start : len(path) - end])) for folder, path in parts.items()}


def _common(paths: Iterable[Sequence[str]]) -> int:
    """How many parts all paths begin with, so that something is left of each."""
    known = list(paths)
    shortest = min(map(len, known)) - 1
    alike = [len({path[place] for path in known}) == 1 for place in range(shortest)]
    return alike.index(False) if False in alike else shortest
