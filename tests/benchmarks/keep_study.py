"""Keep a study's table among the results: python keep_study.py STUDY.yaml "TITLE" [key=value …].

Of a grid over several settings its scores are kept, a column for every value of the last; of others every trial.
"""

import csv
import sys
from pathlib import Path

from measure import keep

from competition.analysis.outcomes import Outcome, grid
from competition.config import load
from competition.plan import Plan


def read(path: Path) -> list[Outcome]:
    """The trials of a table.csv."""
    outcomes = []
    for row in csv.DictReader(path.open()):
        number, state, psnr, step, seconds, fault = (
            row.pop(key) for key in ("trial", "state", "psnr", "step", "seconds", "fault")
        )
        score = float(psnr) if psnr else None
        outcomes.append(Outcome(int(number), row, state, score, int(step or 0), fault, float(seconds or 0)))
    return outcomes


def main(study: str, title: str, *overrides: str) -> None:
    """Keep RUNS/NAME/table.csv for docs/studies.md."""
    plan = load(Path(study), Plan, overrides)
    (_, experiment), *_ = plan.experiments(Path(study))
    outcomes = read(plan.folder / "table.csv")
    keys = list(outcomes[0].settings)
    if len(keys) > 1:
        columns, rows = grid(outcomes)
    else:
        columns = [keys[0], "PSNR [dB]", "at step", "state"]
        rows = [[one.settings[keys[0]], one.score(), str(one.step), one.state] for one in outcomes]
    told = f"{title}: {experiment.metric.definition()}, {len(outcomes)} trials"
    keep(f"study_{plan.name}", told, " ".join(["make study", f"STUDY={study}"]), columns, rows, "docs/studies.md")


if __name__ == "__main__":
    main(*sys.argv[1:])
