"""The section of contact sheets: the worst and the best crops, from the low picture to the residual."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.analysis.diagnosis.findings import Findings
from competition.analysis.diagnosis.sources import Picture
from competition.analysis.figures import errors as draw
from competition.analysis.figures.crops import REACH, colour_bar, cut, jpeg, residual
from competition.analysis.reporting.parts import Figure, Part, Prose, Row, Section, Sheet, Slider
from competition.errors import BadInput
from competition.images import Bytes, encode_png

# Contact sheets of each kind, and sliders.
WORST, BEST, SLIDERS = 12, 6, 3
# Pixels of the high picture beside a slider's tile, and of its largest side.
AROUND = 384


def crops(findings: Findings, previous: Path | None, label: str) -> Section | None:
    """Contact sheets, sliders and the curve of concentration; None where no tile was measured."""
    tiles = findings.tiles
    if not len(tiles):
        return None
    scale = f"Residuals are prediction minus truth; the strongest colours begin at ±{REACH} levels in every report."
    parts: list[Part] = [Prose([scale]), Figure(colour_bar(), scale, small=True)]
    if len(findings.concentration):
        parts.insert(0, Figure(draw.concentration(findings.concentration), "Squared error over the worst tiles"))
    parts.append(Row(list(_sliders(findings, previous, label))))
    for kind, count, title in (
        ("worst", WORST, "The largest squared errors"),
        ("best", BEST, "The most squared error saved against bicubic"),
    ):
        chosen = tiles[tiles["kind"] == kind].head(count)
        parts.append(Prose([f"{title}: {len(chosen)} of {int((tiles['kind'] == kind).sum())} crops."], muted=False))
        parts += [sheet for row in _rows(chosen) if (sheet := _sheet(findings, row))]
    return Section("crops", "The worst and the best crops", parts)


def cells(picture: Picture, row: Any) -> list[tuple[str, Bytes]]:
    """What a contact sheet shows of a tile (y, x, height, width): name and crop, all of the tile's size."""
    place = (int(row.y), int(row.x), int(row.height), int(row.width))
    shown, truth = cut(picture.shown, *place), cut(picture.truth, *place)
    views = [("prediction", shown), ("truth", truth), ("residual", residual(shown, truth))]
    if picture.low is None or picture.bicubic is None:
        return views
    scale = picture.truth.shape[0] // picture.low.shape[0]
    # Each low pixel as a square, so that the crop begins wherever the tile does.
    squares = picture.low.repeat(scale, 0).repeat(scale, 1)
    return [("low", cut(squares, *place)), ("bicubic", cut(picture.bicubic, *place)), *views]


def _rows(tiles: pd.DataFrame) -> Sequence[Any]:
    return list(tiles.itertuples(index=False))


def _sheet(findings: Findings, row: Any) -> Sheet | None:
    try:
        picture = findings.sources.read(str(row.name))
    except BadInput:  # named among what the findings lack
        return None
    share = f"{row.share:.2%} of all squared error, PSNR {row.psnr:.2f} dB"
    plain = f" (bicubic {row.psnr_bicubic:.2f})" if np.isfinite(row.psnr_bicubic) else ""
    title = f"{row.name}: y {row.y:.0f}, x {row.x:.0f}, {row.width:.0f}×{row.height:.0f}; {share}{plain}"
    encoded = [
        (name, encode_png(_even(crop)) if name == "residual" else jpeg(crop, 0, 90))
        for name, crop in cells(picture, row)
    ]
    return Sheet(title, encoded)


def _even(heat: Bytes) -> Bytes:
    """A heat map in steps that nobody sees, which packs better."""
    return np.asarray(heat & 0xFC, np.uint8)


def _sliders(findings: Findings, previous: Path | None, label: str) -> Iterator[Slider]:
    """Around the worst tile of each of the worst pictures: bicubic or the previous run, and the prediction."""
    worst = findings.tiles[findings.tiles["kind"] == "worst"].drop_duplicates("name").head(SLIDERS)
    for row in _rows(worst):
        try:
            picture = findings.sources.read(str(row.name))
            if previous:
                name, before = "previous run", findings.sources.read(str(row.name), previous).shown
            elif picture.bicubic is not None:
                name, before = "bicubic", picture.bicubic
            else:
                continue
        except BadInput:
            continue
        place = (int(row.y + row.height / 2) - AROUND // 2, int(row.x + row.width / 2) - AROUND // 2, AROUND, AROUND)
        views = (jpeg(cut(one, *place)) for one in (before, picture.shown))
        yield Slider(f"{row.name}, around y {row.y:.0f}, x {row.x:.0f}", (name, next(views)), (label, next(views)))
