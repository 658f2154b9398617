"""Train one experiment with many settings, a run each: the same command goes on, alone or beside others."""

import contextlib
import importlib.util
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from competition import train
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
from competition.files import locked, make_folder, write_atomic
from competition.plan import GridConfig, Plan, Settings, run_name
from competition.preview import clock, duration
from competition.progress import console
from competition.runs import read_log

if TYPE_CHECKING:
    from optuna.trial import Trial

    from competition.trials import Trials

# Seconds between looks into the log of the trial that trains.
POLL = 0.2
# A fault of the pictures or of the disk has nothing to do with the settings: it ends the study, not the trial.
ENDING = {error.code: error for error in (BadInput, StorageError)}
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
    from optuna.trial import TrialState

    settings, run = trials.settings(trial), plan.folder / run_name(trial.number)
    with locked(run, waiting=lambda holder: None):
        pass  # what a killed worker had started notices, saves and ends
    console.print(f"{run}: {describe(settings)}", markup=False)
    started = time.monotonic()
    status, pruned = _train(plan.command(settings, trial.number), run, trial)
    seconds = trial.user_attrs.get("seconds", 0) + time.monotonic() - started
    trial.set_user_attr("seconds", round(seconds, 1))
    fault = _fault(run / "output.txt", status)
    if status == 0:
        outcome = trials.finish(trial, TrialState.COMPLETE)
    elif pruned and status == Stopped.code:
        outcome = trials.finish(trial, TrialState.PRUNED)
    elif status in ENDING:
        raise ENDING[status](fault)
    else:
        outcome = trials.finish(trial, TrialState.FAIL, fault, WORDS.get(status, "failed"))
    console.print(f"{run}: {outcome.state}, {outcome.score()}", markup=False)


def _train(command: Sequence[str], run: Path, trial: "Trial") -> tuple[int, bool]:
    """Train in a process of its own, which a crash or a lack of memory may end; its status, and whether it was pruned.

    When this process is asked to stop or ends, the other one saves its state and ends too.
    """
    make_folder(run)
    process = _server.Process(target=_child, args=(command, run / "output.txt"))
    process.start()
    try:
        pruned = _follow(process, run / "metrics.jsonl", trial)
    finally:
        process.terminate()
        process.join()
    return process.exitcode or 0, pruned


def _follow(process: ForkServerProcess, log: Path, trial: "Trial") -> bool:
    """Report every validation of a run until its end; True once the pruner wants it to end."""
    reported = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    alive = True
    while alive:
        process.join(POLL)
        alive = process.is_alive()  # before the log is read, so that its last lines are seen
        for line in read_log(log):
            if math.isfinite(line.get("psnr", math.nan)) and line["step"] not in reported:
                reported.add(line["step"])
                trial.report(line["psnr"], line["step"])
                if alive and trial.should_prune():
                    return True
    return False


def _fault(output: Path, status: int) -> str:
    """The line with which a process ended, or what ended it."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}. See the machine's log for a lack of memory"
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.startswith("error: ")]
    return told[-1].removeprefix("error: ") if told else f"ended with status {status}. See {output}"


# Imports take seconds; processes forked from one that has made them begin at once.
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["competition.train", "torch._dynamo", "torch.utils.tensorboard"])


def _child(command: Sequence[str], output: Path) -> None:
    """`competition.train`, what it says appended to a file."""
    os.setsid()  # Ctrl-C in a terminal goes to the study, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # of the loader's workers: as in a process of the command line
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["train", *command]
    run_command(train.main)


def _end_with_parent() -> None:
    """When the study is killed, its trial saves its state and ends."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    with contextlib.suppress(ProcessLookupError):
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run_command(main)
