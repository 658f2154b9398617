"""Train one experiment with many settings, a run each: the same command goes on, alone or beside others."""

import contextlib
import importlib.util
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from competition.analysis.curves import QUANTITIES, draw_overview
from competition.analysis.outcomes import Outcome, comma_separated, describe, markdown
from competition.analysis.series import read_history
from competition.config import describe as describe_keys
from competition.config import load
from competition.errors import (
    ArgumentParser,
    BadCheckpoint,
    BadInput,
    NumericalError,
    OutOfMemory,
    Stopped,
    StorageError,
    UsageError,
    run_command,
)
from competition.experiment import Experiment
from competition.files import write_atomic
from competition.plan import GridConfig, Plan, Settings, run_name
from competition.preview import clock, duration
from competition.progress import console
from competition.supervise import supervise

if TYPE_CHECKING:
    from optuna.trial import Trial

    from competition.trials import Trials

# A fault of the pictures or of the disk ends the study, not the trial, which is run again.
NOT_OF_THE_SETTINGS = {error.code: error for error in (BadInput, StorageError)}
# What a table says of a trial that ended with a fault of its own, by its status; else that it failed.
WORDS = {NumericalError.code: "diverged", OutOfMemory.code: "no memory", -signal.SIGKILL: "killed"}


def main(arguments: Sequence[str]) -> None:
    """The command line: STUDY and overrides."""
    keys = "\n".join(["keys of a study and their defaults:", *describe_keys(Plan)])
    parser = ArgumentParser(prog="python -m competition.study", description=__doc__ or "", epilog=keys)
    parser.add_argument("study", type=Path, help="YAML file with the experiment and what is tried in it")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example name=second")
    parser.add_argument("--dry-run", action="store_true", help="only show the trials, with their time, and end")
    given = parser.parse_intermixed_args(arguments)
    plan = load(given.study, Plan, given.overrides)
    experiments = plan.experiments(given.study)
    if given.dry_run:
        console.print(preview(plan, experiments))
    elif importlib.util.find_spec("optuna") is None:
        raise UsageError("optuna: is not installed. Install it with pip install -c constraints.txt -e '.[study]'")
    else:
        study(plan, experiments[0][1])


def preview(plan: Plan, experiments: Sequence[tuple[Settings, Experiment]]) -> Table:
    """What would be trained, and how long that takes one process here; of a search, the ends of its ranges."""
    table = Table("settings", "steps", "batch", "high patch", "time", title=f"{plan.folder}: {plan.experiment}")
    times = _times([experiment for _, experiment in experiments])
    for (settings, experiment), seconds in zip(experiments, times, strict=True):
        shape = (experiment.steps, experiment.batch, experiment.data.high_patch)
        table.add_row(describe(settings), *map(str, shape), clock(seconds))
    count, total = len(times), sum(times)
    if not isinstance(plan.sampler, GridConfig):
        count, total = plan.sampler.trials, total / len(times) * plan.sampler.trials
    table.caption = f"{count} trials in {clock(total)} by one worker, without loading data and validation"
    return table


def _times(experiments: Sequence[Experiment]) -> list[float]:
    """Seconds that each takes; networks of one shape, with the same patches, are timed once."""
    found: dict[str, float] = {}
    keys = []
    for one in experiments:
        stages = [stage._replace(lr=0, schedule=one.schedule) for stage in one.all_stages()]
        keys.append(repr((one.model.build(), stages, one.precision, one.recompute)))
        if keys[-1] not in found:
            found[keys[-1]] = duration(one)
    return [found[key] for key in keys]


def study(plan: Plan, experiment: Experiment) -> None:
    """Train one trial after the other until none is left, and write the tables and pictures after each.

    `experiment` is that of the first trial. Other processes may do the same at the same time. Raises what a trial
    ended with where its settings were not at fault; the trial is then run again by the next call.
    """
    from competition.trials import Trials, database_faults

    running, unit = True, experiment.metric.definition()
    with database_faults(plan):
        trials = Trials(plan, experiment)
        while running:
            with trials.take() as trial:
                if running := trial is not None:
                    _run(plan, trials, trial)
            outcomes = _write_tables(plan, trials, unit)
        _draw(plan, trials, outcomes)
    others = sum(one.state == "running" for one in outcomes)
    left = f"{others} still with other workers" if others else "all trials have ended"
    console.print(f"{plan.folder}: {left}, see {plan.folder / 'table.md'}", markup=False)


def _write_tables(plan: Plan, trials: "Trials", unit: str) -> list[Outcome]:
    with trials.alone():  # of several workers the last to come has seen the most
        outcomes = trials.outcomes()
        write_atomic(plan.folder / "table.md", markdown(plan.name, unit, outcomes).encode())
        write_atomic(plan.folder / "table.csv", comma_separated(outcomes).encode())
    return outcomes


def _draw(plan: Plan, trials: "Trials", outcomes: Sequence[Outcome]) -> None:
    """Write the curves of all trials and Optuna's pictures of what the settings did."""
    from competition.analysis.searches import pictures

    histories = []
    for one in outcomes:
        with contextlib.suppress(BadCheckpoint):  # it has not logged anything
            histories.append(read_history(plan.folder / run_name(one.number), describe(one.settings, keys=False)))
    shown = [quantity for quantity in QUANTITIES if quantity.key in ("loss", "psnr")]
    curves = {"curves.png": draw_overview(shown, histories)} if histories else {}
    for name, content in (curves | pictures(trials.study)).items():
        write_atomic(plan.folder / name, content)


def _run(plan: Plan, trials: "Trials", trial: "Trial") -> None:
    """Train a trial to its end and record it."""
    settings, run = trials.settings(trial), plan.folder / run_name(trial.number)
    console.print(f"{run}: {describe(settings)}", markup=False)
    started = time.monotonic()
    ending = supervise(plan.command(settings, trial.number), run, trials.reporter(trial))
    if ending.status in NOT_OF_THE_SETTINGS:
        raise NOT_OF_THE_SETTINGS[ending.status](ending.fault)
    pruned = ending.cut and ending.status == Stopped.code
    fault = "" if pruned else ending.fault
    outcome = trials.finish(trial, pruned, fault, WORDS.get(ending.status, "failed"), time.monotonic() - started)
    console.print(f"{run}: {outcome.state}, {outcome.fault or outcome.score()}", markup=False)


if __name__ == "__main__":
    run_command(main)
