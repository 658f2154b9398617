"""The section on hidden test pictures: expected scores, disagreement, and the two to look at first."""

from collections.abc import Iterator

from competition.analysis.figures import hidden as draw
from competition.analysis.figures.crops import disagreement, disagreement_bar, jpeg
from competition.analysis.reporting import columns
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.parts import Figure, Part, Prose, Row, Section, Sheet, Table
from competition.analysis.unseen import Unseen, disagreement_of, find_members, first_two
from competition.errors import BadInput
from competition.images import read_prediction, to_bytes

# Largest side of a whole picture shown.
SIDE = 700


def hidden(dossier: Dossier) -> Section | None:
    """None where no test picture was predicted."""
    if dossier.unseen is None or not len(dossier.unseen.table):
        return None
    table = dossier.unseen.table
    first = first_two(table)
    lines = [f"Look first at {name}: {reason}." for name, reason in first]
    parts: list[Part] = [Prose(lines, muted=False), *_gain(dossier.unseen), Row(list(_figures(dossier.unseen)))]
    names = columns.distinct(map(str, find_members(dossier.members)))
    shown = table.replace({"farthest": names})
    parts.append(Table(shown, columns.HIDDEN, f"All {len(table):,} test pictures; none of it needs their truth."))
    sheets = list(_sheets(dossier, [name for name, _ in first]))
    if any(len(sheet.crops) > 1 for sheet in sheets):
        parts.append(Figure(disagreement_bar(), "Scale of the disagreement", small=True))
    return Section("hidden", "The hidden test pictures", [*parts, *sheets])


def _gain(unseen: Unseen) -> Iterator[Part]:
    saved = unseen.table["saved"].dropna()
    if len(saved):
        yield Prose(
            [
                f"The plain mean of the members has a squared error {saved.mean():.3f} levels² below the mean of "
                f"theirs on {len(saved)} pictures, whatever the truth is."
            ],
            muted=False,
        )


def _figures(unseen: Unseen) -> Iterator[Figure]:
    table = unseen.table
    if table["psnr_expected"].notna().any():
        yield Figure(draw.expected(table), "Expected PSNR of each test picture with its interval")
    if table[["members", "symmetries"]].notna().any(axis=None):
        yield Figure(draw.spread(table), "Disagreement of members and symmetries on each test picture")


def _sheets(dossier: Dossier, names: list[str]) -> Iterator[Sheet]:
    """The pictures to look at, with the members' disagreement where there are several."""
    members = find_members(dossier.members)
    for name in names:
        found = disagreement_of(name, members)
        try:
            picture = found[0] if found else to_bytes(read_prediction(members[0] / name))
        except BadInput:
            continue
        crops = [("prediction", jpeg(picture, SIDE))]
        if found:
            crops.append(("disagreement", jpeg(disagreement(found[1]), SIDE)))
        yield Sheet(name, crops, whole=True)
