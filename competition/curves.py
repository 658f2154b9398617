"""Draw the curves of one or several runs: loss, validation PSNR, learning rate, gradient norm and speed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from competition.analysis.curves import QUANTITIES, draw, draw_overview
from competition.analysis.series import History, read_history
from competition.errors import ArgumentParser, BadCheckpoint, run_command
from competition.files import write_atomic
from competition.progress import console


def main(arguments: Sequence[str]) -> None:
    """The command line: RUN [RUN …]."""
    parser = ArgumentParser(prog="python -m competition.curves", description=__doc__ or "")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder; several share the pictures")
    parser.add_argument("--output", type=Path, help="folder for the PNGs, default: curves/ in the first run folder")
    given = parser.parse_args(arguments)
    curves(given.runs, given.output or given.runs[0] / "curves")


def curves(runs: Sequence[Path], output: Path) -> None:
    """Write OUTPUT/QUANTITY.png for every quantity that a run has logged, and overview.png with all of them.

    Says which quantities a run lacks. Raises BadCheckpoint at the end, with a line for every run without a log; the
    others are drawn.
    """
    histories: list[History] = []
    faults: list[str] = []
    for run, label in zip(runs, _labels(runs), strict=True):
        try:
            histories.append(read_history(run, label))
        except BadCheckpoint as error:
            faults += error.lines
    drawn = [quantity for quantity in QUANTITIES if any(quantity.key in one.series for one in histories)]
    for line in _remarks(histories):
        console.print(line, markup=False)
    for quantity in drawn:
        write_atomic(output / f"{quantity.key}.png", draw(quantity, histories))
    if drawn:
        write_atomic(output / "overview.png", draw_overview(drawn, histories))
        console.print(f"{output}: {', '.join(quantity.key for quantity in drawn)}, overview", markup=False)
    elif histories:
        known = ", ".join(quantity.key for quantity in QUANTITIES)
        faults += [f"{run}/metrics.jsonl: holds none of {known}. Let the run train on" for run in runs]
    if faults:
        raise BadCheckpoint(*faults)


def _labels(runs: Sequence[Path]) -> list[str]:
    """The names of the run folders, or their paths where two have the same name."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def _remarks(histories: Sequence[History]) -> Iterator[str]:
    """What is missing from the pictures, and what in them must not be compared."""
    for one in histories:
        if absent := [quantity.key for quantity in QUANTITIES if quantity.key not in one.series]:
            yield f"{one.label}: has not logged {', '.join(absent)}"
    scores = {one.score for one in histories if "psnr" in one.series}
    if len(scores) > 1:
        yield "warning: PSNR means another thing in some of these runs, do not compare it: " + "; ".join(
            f"{one.label}: {one.score or 'not known'}" for one in histories
        )


if __name__ == "__main__":
    run_command(main)
