"""What the analysis of a run's errors says: tables with their units, and what they could not be made of."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import pandas as pd

from competition.analysis.diagnosis.sources import Sources


@dataclass(frozen=True)
class Findings:
    """The tables of one analysis, empty ones with all their columns where something they need is missing.

    Errors are those of 8-bit RGB samples, of whole pictures: `mse`, `squared_error` and powers are in squared 8-bit
    levels per sample, `psnr` and gains in dB, lengths in pixels of the high picture, shares in [0, 1]. A gain is
    positive where the prediction is the better one. `low` and `high` beside a mean in dB are the ends of its 95 %
    interval over the pictures; beside anything else they are the ends of a bin, the upper one excluded. What was not
    measured is NaN.
    """

    sources: Sources
    """Where everything lies; `sources.read(name)` gives the pictures of a crop."""
    metric: str
    """The score's definition."""
    looked: tuple[str, ...]
    """Names of the pictures, drawn with `seed`, that all tables but `pictures`, `comparison` and `symmetries` rest on;
    `members` and `spread` too."""
    seed: int
    lacks: tuple[str, ...]
    """What is missing, a sentence each, with what would mend it."""

    pictures: pd.DataFrame
    """One row a picture, by name: name, height, width, psnr, ssim, psnr_bicubic, gain (over bicubic), psnr_previous,
    gain_previous, mse, share (of all squared error), seconds, success (predicted, readable, of the right size), fault
    (why not, else ""), cluster (of the audit), looked (whether it is one of `looked`). Of those: channel_order ("rgb",
    or the order of the truth's channels that fits better), shift_down and shift_right (how far the prediction lies
    beside the truth), gamma (the exponent that serves the prediction best, 1 for none)."""
    tiles: pd.DataFrame
    """Crops: kind ("worst": the largest squared error; "best": the most squared error saved against bicubic), name,
    y, x (top left corner), height, width, share (of all squared error), mse, psnr, psnr_bicubic. By kind, the most
    telling first; at most three of a picture."""
    concentration: pd.DataFrame
    """A curve: tiles (share of all tiles, the worst first), error (share of the squared error that they carry)."""
    bands: pd.DataFrame
    """Rings of spatial frequency (cosine transform): low, high (cycles per pixel, 0.5 is the limit along an axis),
    coefficients (share of all), truth_power, prediction_power, residual_power (these three sum to mean squares over
    the bands), bicubic_power (bicubic's residual), share (of the squared error), transfer and transfer_bicubic (share
    of the truth's amplitude that the prediction holds, in phase; 1 is perfect)."""
    textures: pd.DataFrame
    """By the truth's structure: texture ("flat", "edge", "texture"), orientation (of edges: degrees from horizontal,
    counter-clockwise, the middle of a 22.5° sector), area (share of all pixels), mse, mse_bicubic, share."""
    brightness: pd.DataFrame
    """By the predicted value: channel ("red", "green", "blue"), low, high (8-bit levels), area (share of the channel's
    samples), bias (mean of prediction minus truth, levels), mse, share."""
    channels: pd.DataFrame
    """channel, bias (levels), mse, mse_bicubic, share, like_red, like_green, like_blue (correlation of the predicted
    channel with each of the truth's)."""
    border: pd.DataFrame
    """By distance to the nearest side of the picture: low, high (pixels; the last is open), area, mse, mse_bicubic,
    share."""
    clusters: pd.DataFrame
    """By the audit's cluster of degradations: cluster, kind, pictures (count), psnr, gain, low, high (of the gain),
    share."""
    budget: pd.DataFrame
    """What oracles would take off the error, one after the other in this order, so that it all adds up: fix,
    squared_error (taken off; the sum is the mean `mse` of `looked`), share, gain (dB of the mean PSNR if that fix alone
    were made), low, high."""
    members: pd.DataFrame
    """member (its folder), psnr, mse, weight (best convex one), worth (dB that the plain mean of all would lose without
    it; negative where it would gain), low, high (of the worth)."""
    spread: pd.DataFrame
    """Bias against variance of the members: quantity ("mean member", "mean of members", "variance", "bias"),
    squared_error, share (of the mean member's)."""
    symmetries: pd.DataFrame
    """symmetry, psnr (of it alone), gain (of the mean of all eight over it), low, high, wins (pictures on which the
    mean is better)."""
    comparison: pd.DataFrame
    """Against bicubic and the previous run: against, pictures, mean, low, high, wins, losses, p_sign, p_again (chance
    to be ahead on another test set), same_winner, regret, spread (how a public half foretells the private one)."""
    verdict: pd.DataFrame
    """At most ten: about (a key such as "shift"), sentence, rule (what had to hold for it to be said)."""

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All tables by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in named.items() if isinstance(table, pd.DataFrame)}
