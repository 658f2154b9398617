"""Draw docs/report.jpg, crops of a report: python tests/benchmarks/report_figure.py RUN DATA [OUTPUT].

Of the two worst tiles and the one where most of bicubic's error was saved, each of another picture: low picture,
bicubic, prediction, truth and signed residual, as the report shows them.
"""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from competition.analysis.diagnosis.door import analyse
from competition.analysis.diagnosis.findings import Findings
from competition.analysis.figures.crops import REACH, SIGNED
from competition.analysis.reporting.crops import cells
from competition.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]


def main(run: Path, data: Path, output: Path) -> None:
    """Draw one row a tile."""
    findings = analyse(run, data, progress=False)
    tiles = findings.tiles
    worst = tiles[tiles["kind"] == "worst"].drop_duplicates("name").head(2)
    best = tiles[(tiles["kind"] == "best") & ~tiles["name"].isin(worst["name"])].head(1)
    rows = [*worst.itertuples(), *best.itertuples()]
    write_atomic(output, _draw(findings, rows))


def _draw(findings: Findings, rows: list[Any]) -> bytes:
    figure = Figure(figsize=(7.4, 4.7), layout="constrained")
    axes = np.asarray(figure.subplots(len(rows), 5))
    for number, (row, line) in enumerate(zip(rows, axes, strict=True)):
        for (name, crop), place in zip(cells(findings.sources.read(row.name), row), line, strict=True):
            place.imshow(crop, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            if number == 0:
                place.set_title(name, size=9)
        line[0].set_ylabel(f"{row.psnr:.1f} dB,\nbicubic {row.psnr_bicubic:.1f} dB", size=8)
        line[2].set_xlabel(f"{row.name}: y {row.y}, x {row.x}; {row.share:.2%} of the squared error", size=8)
    scale = ScalarMappable(Normalize(-REACH, REACH), SIGNED)
    figure.colorbar(scale, ax=axes, label="prediction − truth [levels]", shrink=0.6, aspect=30)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=150, pil_kwargs={"quality": 85})
    return buffer.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "docs/report.jpg")
