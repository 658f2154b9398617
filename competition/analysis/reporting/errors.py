"""The sections on pictures, on where their error lives, and on what would mend it."""

from collections.abc import Iterator

import pandas as pd

from competition.analysis.diagnosis.findings import Findings
from competition.analysis.figures import errors as draw
from competition.analysis.reporting import columns
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.parts import Figure, Part, Prose, Row, Section, Table


def pictures(dossier: Dossier, findings: Findings) -> Section:
    """Every picture's scores, and how they compare."""
    table = findings.pictures
    done = int(table["success"].sum())
    means = table[["psnr", "ssim", "gain"]].mean()
    summary = (
        f"{done} of {len(table)} pictures were predicted ({done / max(1, len(table)):.1%}). Mean {means['psnr']:.3f} "
        f"dB ({findings.metric}), SSIM {means['ssim']:.4f}, {means['gain']:+.3f} dB over bicubic."
    )
    caption = "Every picture, the largest share of the error first. A click on a head sorts."
    parts: list[Part] = [
        Prose([summary], muted=False),
        Table(table.sort_values("share", ascending=False), columns.PICTURES, caption),
    ]
    comparison = dossier.comparison()
    if len(comparison):
        caption = f"{dossier.labels[0]} against others, picture by picture, and what a public half would tell."
        parts.append(Table(comparison, columns.COMPARISON, caption))
    if table["gain"].notna().any():
        parts.append(Figure(draw.gains(table), "Gain over bicubic of each picture over bicubic's PSNR"))
    return Section("pictures", "Pictures", parts)


def where(findings: Findings) -> Section | None:
    """By frequency, texture, brightness, channel, border."""
    parts = list(_figures(findings))
    if not parts:
        return None
    tables: list[Part] = []
    if len(findings.channels):
        caption = "Channels; the last three are correlations with the truth's channels."
        tables.append(Table(findings.channels, columns.CHANNELS, caption))
    return Section("where", "Where the error lives", [Prose([sample(findings)]), Row(parts), *tables])


def sample(findings: Findings) -> str:
    """How many pictures stand behind a figure."""
    looked, whole = len(findings.looked), len(findings.pictures)
    chosen = f", drawn with seed {findings.seed}" if looked < whole else ""
    return f"Measured on {looked:,} of {whole:,} pictures{chosen}; errors in 8-bit levels of red, green and blue."


def _figures(findings: Findings) -> Iterator[Figure]:
    if len(findings.bands):
        yield Figure(draw.bands(findings.bands), "Power of truth and residuals over the spatial frequency")
        yield Figure(draw.transfer(findings.bands), "Share of the truth's amplitude that arrives over the frequency")
    if len(findings.textures):
        yield Figure(draw.textures(findings.textures), "Shares of pixels and of squared error by texture")
    if len(findings.border):
        yield Figure(draw.border(findings.border), "Error over the distance to the border")
    if len(findings.brightness):
        yield Figure(draw.brightness(findings.brightness), "Error over the predicted value, by channel")
        yield Figure(draw.bias(findings.brightness), "Bias over the predicted value, by channel")


def budget(findings: Findings) -> Section | None:
    """What fixes, members and symmetries are worth."""
    parts: list[Part] = []
    if len(findings.budget):
        parts += [
            Prose(
                [
                    "An oracle that knows the truth makes one fix after the other; what each takes off adds up to the "
                    f"whole squared error. Beside it: what that fix alone would gain. {sample(findings)}"
                ]
            ),
            Row(
                [Figure(draw.budget(findings.budget), "Gain of each fix alone"), Table(findings.budget, columns.BUDGET)]
            ),
        ]
    if len(findings.members):
        if len(findings.spread):
            parts.append(Prose([_diversity(findings.spread)], muted=False))
        members = findings.members.replace({"member": columns.distinct(findings.members["member"])})
        drawn = Figure(draw.worth(members), "Worth of each member to the mean of all")
        parts.append(Row([drawn, Table(members, columns.MEMBERS, "Members.")]))
    if len(findings.spread):
        parts.append(Table(findings.spread, columns.SPREAD, "Bias against variance of the members."))
    if len(findings.symmetries):
        drawn = Figure(draw.symmetries(findings.symmetries), "Gain of the mean of all symmetries over each")
        parts.append(Row([drawn, Table(findings.symmetries, columns.SYMMETRIES, "The eight symmetries.")]))
    return Section("budget", "What would mend it", parts) if parts else None


def _diversity(spread: pd.DataFrame) -> str:
    shares = dict(zip(spread["quantity"], spread["share"], strict=True))
    return (
        f"Their plain mean takes {1 - shares['mean of members']:.1%} off the members' mean squared error; ever more "
        f"members of their kind would take off {1 - shares['bias']:.1%}."
    )
