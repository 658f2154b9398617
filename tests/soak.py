"""Kill training again and again: nothing saved may be lost, and every finished run must end with the same bits.

python tests/soak.py [--kills 100] [--rank-kills 30] [--workers 0 2] [--seed N]

Kills are SIGKILLs of a run's process and its workers: six of ten within a save, the others while the run starts, trains
or validates. With --rank-kills, one process of a run of two is killed too, and the other has to notice. The table is
kept for docs/training.md, whatever it says; Ctrl-C ends with the table so far.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import keep
from tiny_run import Training, fork, outcome, write_config

from competition import checkpoints
from competition.errors import BadCheckpoint

IN_A_SAVE = 0.6  # share of the kills that aim at a save
STEPS = 120
LOST_PEER = 8


@dataclass
class Tally:
    """What a series of kills came to; what must never happen is told in words."""

    name: str
    kills: int = 0
    in_a_save: int = 0
    starting: int = 0
    finished: int = 0
    slowest_end: float = 0.0
    lost: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Everything that must never happen."""
        return [*self.lost, *self.repairs, *self.different]

    def row(self) -> list[str]:
        """One line of the table."""
        share = f"{100 * self.in_a_save / max(1, self.kills):.0f} %"
        bad = [str(len(self.lost)), str(len(self.repairs))]
        same = f"{self.finished - len(self.different)} of {self.finished}"
        last = f"{self.slowest_end:.2f}" if self.slowest_end else ""
        return [self.name, str(self.kills), share, str(self.starting), *bad, same, last]


COLUMNS = [
    "run",
    "kills",
    "within a save",
    "before the first step",
    "saved states lost",
    "repairs by hand",
    "finished runs with the same bits",
    "longest until the other process ended [s]",
]


@dataclass
class Victim:
    """A run that is killed until it has finished, then begun anew."""

    config: Path
    whole: dict[str, str]
    """The outcome of a run of this configuration that nothing has disturbed."""
    tally: Tally
    moments: random.Random
    processes: int = 1
    shortest_save: float = 0.02
    leftovers: frozenset[str] = frozenset()
    """Of saves that were cut short before, which the run has yet to delete."""
    safe: int = 0
    """The step of the newest good state just before the kill."""

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.config.parent / "runs" / "killed"

    def kill(self) -> None:
        """Start the run and kill it once, whichever run that is: one that finishes before is compared."""
        while True:
            before, log = newest_good(self.run), log_size(self.run)
            training = self._start()
            if self._one_dies(training, log) if self.processes > 1 else self._all_die(training):
                return self._killed(before, training.kill())
            self._ended(before, *training.wait())

    def finish(self) -> None:
        """Let the run come to its end."""
        self._ended(newest_good(self.run), *self._start().wait())

    def _start(self) -> Training:
        self.leftovers = unfinished(self.run)
        output = self.config.with_name("output")
        return fork(str(self.config), "name=killed", output=output, processes=self.processes)

    # ---- moments ----------------------------------------------------------------------------------------------------

    def _all_die(self, training: Training) -> bool:
        """Hold the run at a random moment, after which only its kill may come; False when it has ended before."""
        if not (self._in_a_save(training) if self.moments.random() < IN_A_SAVE else self._anywhere(training)):
            return False
        training.stop()
        self.safe = newest_good(self.run)
        return True

    def _one_dies(self, training: Training, log: int) -> bool:
        """Kill one of two processes once they train, and time the other one's end; False when both have ended."""
        _wait(training, lambda: log_size(self.run) > log)
        time.sleep(self.moments.uniform(0, 0.5))
        self.safe = newest_good(self.run)
        victim = self.moments.choice(training.processes)
        if not victim.is_alive():
            return False
        victim.kill()
        began = time.monotonic()
        statuses = {*training.wait()[0]}
        self.tally.slowest_end = max(self.tally.slowest_end, time.monotonic() - began)
        if statuses != {-signal.SIGKILL, LOST_PEER}:
            self.tally.repairs.append(f"one process was killed, and the two ended with {sorted(map(str, statuses))}")
        return True

    def _in_a_save(self, training: Training) -> bool:
        """Hold the run at a random moment of one of its saves."""
        for _ in range(self.moments.randrange(3)):
            if _wait(training, self._saving):
                began = time.monotonic()
                _wait(training, lambda: not self._saving())
                self.shortest_save = min(self.shortest_save, time.monotonic() - began)
        while _wait(training, self._saving):
            time.sleep(self.moments.uniform(0, self.shortest_save))
            training.stop()
            if self._saving():
                return True
            training.go_on()  # the save was over: wait for the next one
        return False

    def _anywhere(self, training: Training) -> bool:
        """Wait for a random moment while the run starts (one of four) or trains."""
        if self.moments.random() < 0.25:
            time.sleep(self.moments.uniform(0, 1))
        else:
            size = log_size(self.run)
            _wait(training, lambda: log_size(self.run) > size)
            time.sleep(self.moments.uniform(0, 0.8))
        return training.runs()

    def _saving(self) -> bool:
        """Whether a state is being written or deleted, or was when the process died."""
        return bool(unfinished(self.run) - self.leftovers)

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def _killed(self, before: int, output: str) -> None:
        """Count a kill; the newest state that was good before it must be there still."""
        self._resumed_from(before, output)
        if newest_good(self.run) < self.safe:
            self.tally.lost.append(f"step {self.safe} was saved and is lost")
        self.tally.kills += 1
        self.tally.in_a_save += self._saving()
        self.tally.starting += not re.search(r"step \d+ of \d+, ", output)

    def _resumed_from(self, before: int, output: str) -> None:
        """Training went on from the newest state that was good, and none was damaged."""
        began = re.search(r"step (\d+) of \d+, ", output)
        if (began and int(began[1]) < before) or "warning: " in output:
            self.tally.lost.append(f"step {before} was good, and training said:\n{output}")

    def _ended(self, before: int, statuses: list[int | None], output: str) -> None:
        """Compare a run that came to its end, and begin anew."""
        self._resumed_from(before, output)
        if any(statuses):
            self.tally.repairs.append(f"the run ended by itself with {statuses}:\n{output}")
        else:
            found = outcome(self.run)
            self.tally.finished += 1
            if found != self.whole:
                differing = [name for name in found if found[name] != self.whole[name]]
                self.tally.different.append(f"a finished run differs in {differing}")
        shutil.rmtree(self.run)


def _wait(training: Training, happened: Callable[[], bool]) -> bool:
    """Wait for something to happen, or for all processes to end; whether it happened."""
    while training.runs():
        if happened():
            return True
        time.sleep(0.0003)
    return False


def unfinished(run: Path) -> frozenset[str]:
    """States that are being written or deleted."""
    folder = run / "checkpoints"
    return frozenset(name for name in os.listdir(folder) if name.startswith(".")) if folder.exists() else frozenset()


def log_size(run: Path) -> int:
    """Bytes of the run's log."""
    log = run / "metrics.jsonl"
    return log.stat().st_size if log.exists() else 0


def newest_good(run: Path) -> int:
    """The step of the newest state whose files are all as they were written."""
    for path in sorted((run / "checkpoints").glob("step_*"), reverse=True):
        try:
            checkpoints.verify(path)
            return int(json.loads((path / "state.json").read_bytes())["step"])
        except (BadCheckpoint, OSError):  # deleted meanwhile
            continue
    return 0


def soak(
    folder: Path,
    tally: Tally,
    moments: random.Random,
    kills: int,
    *,
    workers: int = 0,
    processes: int = 1,
    steps: int = STEPS,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Kill a run so many times, then let it finish; `report` is told of each kill."""
    folder.mkdir()
    config = write_config(folder, steps=steps, validate_every=10, save_every=2, workers=workers)
    statuses, output = fork(str(config), "name=whole", output=folder / "output", processes=processes).wait()
    if any(statuses):
        raise SystemExit(f"the undisturbed run ended with {statuses}:\n{output}")
    victim = Victim(config, outcome(folder / "runs/whole"), tally, moments, processes)
    for _ in range(kills):
        victim.kill()
        report(tally)
    victim.finish()
    return tally


class Progress:
    """A line that counts the kills, on a terminal in place."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()

    def __call__(self, tally: Tally) -> None:
        """Tell of one more kill."""
        self.done += 1
        each = (time.monotonic() - self.began) / self.done
        if sys.stdout.isatty() or tally.kills % 10 == 0:
            line = f"{tally.name}: kill {tally.kills}, {each:.1f} s each, ETA {(self.total - self.done) * each:.0f} s"
            print(f"{line}, {len(tally.faults())} faults", end="\r" if sys.stdout.isatty() else "\n", flush=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="for each number of workers")
    parser.add_argument("--rank-kills", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    moments = random.Random(given.seed)
    plans = [(f"1 process, {workers} workers", given.kills, workers, 1) for workers in given.workers]
    plans = [plan for plan in [*plans, ("2 processes", given.rank_kills, 0, 2)] if plan[1]]
    progress = Progress(sum(plan[1] for plan in plans))
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory(prefix="soak_") as place:
        try:
            for name, kills, workers, processes in plans:
                tallies.append(Tally(name))
                folder = Path(place) / str(len(tallies))
                soak(folder, tallies[-1], moments, kills, workers=workers, processes=processes, report=progress)
        except KeyboardInterrupt:
            return report(tallies, "stopped before its end")
    command = f"python tests/soak.py --kills {given.kills} --rank-kills {given.rank_kills} --seed {given.seed}"
    keep("soak", "Training killed at random moments", command, COLUMNS, [tally.row() for tally in tallies], PAGE)
    return report(tallies, f"{(time.monotonic() - progress.began) / 60:.0f} minutes")


PAGE = "docs/training.md"


def report(tallies: list[Tally], last: str) -> int:
    """Print the table and every fault; the exit status."""
    faults = [fault for tally in tallies for fault in tally.faults()]
    print("", " | ".join(COLUMNS), *(" | ".join(tally.row()) for tally in tallies), *faults, last, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
