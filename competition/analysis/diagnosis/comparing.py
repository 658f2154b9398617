"""The predictions against bicubic and against an earlier run's, picture by picture."""

import numpy as np
import pandas as pd

from competition.analysis.diagnosis.frames import frame
from competition.statistics import compare, shake


def comparison(pictures: pd.DataFrame) -> pd.DataFrame:
    """A row for each of the two that was scored; `pictures` is their table."""
    rows = []
    for against in ("bicubic", "previous"):
        scores = pictures[["psnr", f"psnr_{against}"]].to_numpy(np.float64)
        scores = scores[np.isfinite(scores).all(1)]
        if len(scores):
            told = compare(scores[:, 0], scores[:, 1])._asdict() | shake(scores.T)._asdict()
            rows.append({"against": against, "pictures": len(scores), **told})
    return frame("comparison", rows)
