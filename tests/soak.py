"""Kill training again and again: nothing saved may be lost, and every finished run must end with the same bits.

python tests/soak.py [--kills 200] [--rank-kills 30] [--workers 0 2] [--seed N]

Kills are SIGKILLs of the whole process group: six of ten within a save, the others while the run starts, trains or
validates. With --rank-kills, single processes of runs of two are killed too. Ctrl-C ends it with the table so far.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiny_run import TWO_PROCESSES, Training, fork, outcome, start, write_config

from competition import checkpoints
from competition.errors import BadCheckpoint

IN_A_SAVE = 0.6  # share of the kills that aim at a save
WAIT = 120.0


class Failed(Exception):
    """Something that must never happen, in words."""


@dataclass
class Tally:
    """What a series of kills came to."""

    name: str
    kills: int = 0
    in_a_save: int = 0
    starting: int = 0
    finished: int = 0
    slowest_end: float = 0.0

    def line(self) -> str:
        """One row of the table."""
        share = f"{100 * self.in_a_save / max(1, self.kills):.0f} %"
        last = f"{self.slowest_end:.2f}" if self.slowest_end else ""
        return f"{self.name:12} {self.kills:6} {share:>10} {self.starting:9} {self.finished:9} {last:>8}"


HEADER = f"{'run':12} {'kills':>6} {'in a save':>10} {'starting':>9} {'finished':>9} {'end [s]':>8}"


@dataclass
class Victim:
    """A run that is killed until it has finished, then begun anew."""

    config: Path
    whole: dict[str, str]
    """The outcome of a run of this configuration that nothing has disturbed."""
    tally: Tally
    moments: random.Random
    leftovers: frozenset[str] = frozenset()
    """Of saves that were cut short before, which the run has yet to delete."""

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.config.parent / "runs" / "killed"

    def saving(self) -> bool:
        """Whether a state is being written or deleted, or was when the process died."""
        return bool(unfinished(self.run) - self.leftovers)

    def check(self, before: int, output: str) -> None:
        """Training went on from the newest state that was good before it, or a newer one, and none was skipped."""
        began = re.search(r"step (\d+) of \d+, ", output)
        if began and int(began[1]) < before:
            raise Failed(f"step {before} was good, and training went on from step {began[1]}")
        if "warning: " in output:
            raise Failed(f"a state was skipped:\n{output}")

    def killed(self, safe: int, output: str) -> None:
        """Count a kill before which step `safe` had been saved; it must be there still."""
        if newest_good(self.run) < safe:
            raise Failed(f"step {safe} was saved and is lost")
        self.tally.kills += 1
        self.tally.in_a_save += self.saving()
        self.tally.starting += not re.search(r"step \d+ of \d+, ", output)

    def ended(self, status: int | None, output: str) -> None:
        """Compare a run that came to its end, and begin anew."""
        if status:
            raise Failed(f"the run ended by itself with status {status}:\n{output}")
        found = outcome(self.run)
        if found != self.whole:
            raise Failed(f"the finished run differs in {[name for name in found if found[name] != self.whole[name]]}")
        self.tally.finished += 1
        shutil.rmtree(self.run)


class OneProcess(Victim):
    """A run of one process and its workers, killed together."""

    shortest_save = 0.02

    def kill(self) -> None:
        """Start the run and kill it once, whichever run that is: one that finishes before is compared."""
        in_a_save = self.moments.random() < IN_A_SAVE
        while True:
            before = newest_good(self.run)
            process = self._start()
            aimed = self._in_a_save(process) if in_a_save else self._anywhere(process)
            if aimed:
                process.stop()
                safe = newest_good(self.run)
                output = process.kill()
                self.check(before, output)
                return self.killed(safe, output)
            status, output = process.wait()
            self.check(before, output)
            self.ended(status, output)

    def finish(self) -> None:
        """Let the run come to its end."""
        before = newest_good(self.run)
        status, output = self._start().wait()
        self.check(before, output)
        self.ended(status, output)

    def _start(self) -> Training:
        self.leftovers = unfinished(self.run)
        return fork(str(self.config), "name=killed", output=self.config.with_name("output"))

    def _in_a_save(self, process: Training) -> bool:
        """Stop the process at a random moment of one of its saves; False when it has ended before."""
        for _ in range(self.moments.randrange(3)):
            if _wait(process, lambda: self.saving()):
                began = time.monotonic()
                _wait(process, lambda: not self.saving())
                self.shortest_save = min(self.shortest_save, time.monotonic() - began)
        while _wait(process, lambda: self.saving()):
            time.sleep(self.moments.uniform(0, self.shortest_save))
            process.stop()
            if self.saving():
                return True
            process.go_on()  # the save was over: wait for the next one
        return False

    def _anywhere(self, process: Training) -> bool:
        """Wait for a random moment while the run starts (one of four) or trains; False when it has ended before."""
        if self.moments.random() < 0.25:
            time.sleep(self.moments.uniform(0, 1))
            return process.runs()
        size = log_size(self.run)
        _wait(process, lambda: log_size(self.run) > size)
        time.sleep(self.moments.uniform(0, 0.8))
        return process.runs()


class TwoProcesses(Victim):
    """A run of two processes, one of which is killed."""

    def kill(self) -> None:
        """Start the run, kill one of its processes once it trains, and measure how long the others go on without it."""
        before, size = newest_good(self.run), log_size(self.run)
        process = self._start()
        try:
            while process.poll() is None and log_size(self.run) <= size:
                time.sleep(0.01)
            time.sleep(self.moments.uniform(0, 0.5))
            safe, peers = newest_good(self.run), children(process.pid)
            if peers:
                os.kill(self.moments.choice(peers), signal.SIGKILL)
            began = time.monotonic()
            process.wait(WAIT)
            seconds = time.monotonic() - began
        finally:
            output = end(process)
        self.check(before, output)
        if not process.returncode:  # it was over before
            self.ended(0, output)
            return self.kill()
        self.tally.slowest_end = max(self.tally.slowest_end, seconds)
        self.killed(safe, output)

    def finish(self) -> None:
        """Let the run come to its end."""
        process = self._start()
        try:
            output, errors = process.communicate(timeout=WAIT)
        finally:
            end(process)
        self.ended(process.returncode, output + errors)

    def _start(self) -> subprocess.Popen[str]:
        self.leftovers = unfinished(self.run)
        return start(str(self.config), "name=killed", launcher=TWO_PROCESSES)


def _wait(process: Training, happened: Callable[[], bool]) -> bool:
    """Wait for something to happen, or for the process to end; whether it happened."""
    while process.runs():
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


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def end(process: subprocess.Popen[str]) -> str:
    """Kill what is left of a process group; returns what was said that nobody has read."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return "".join(process.communicate(timeout=WAIT))
    except ValueError:  # read already
        return ""


def undisturbed(
    folder: Path, workers: int, steps: int, launcher: tuple[str, ...] = ("-m",)
) -> tuple[Path, dict[str, str]]:
    """A configuration and the outcome of its run."""
    folder.mkdir()
    config = write_config(folder, steps=steps, validate_every=10, save_every=2, workers=workers)
    if launcher == TWO_PROCESSES:
        process = start(str(config), "name=whole", launcher=launcher)
        output = "".join(process.communicate(timeout=WAIT))
        status: int | None = process.returncode
    else:
        status, output = fork(str(config), "name=whole", output=folder / "output").wait()
    if status != 0:
        raise Failed(f"the undisturbed run ended with status {status}:\n{output}")
    return config, outcome(folder / "runs/whole")


def series(victim: OneProcess | TwoProcesses, kills: int, report: Callable[[Tally, int], None]) -> None:
    """Kill a run so many times, then let it finish."""
    for number in range(kills):
        victim.kill()
        report(victim.tally, number + 1)
    victim.finish()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="for each number of workers")
    parser.add_argument("--rank-kills", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}: {given.kills} kills for each of {given.workers} workers, {given.rank_kills} of a rank")
    moments = random.Random(given.seed)
    total = given.kills * len(given.workers) + given.rank_kills
    began, done = time.monotonic(), 0

    def report(tally: Tally, number: int) -> None:
        nonlocal done
        done += 1
        each = (time.monotonic() - began) / done
        if sys.stdout.isatty() or number % 10 == 0:
            line = f"{tally.name}: kill {number}, {each:.1f} s each, ETA {(total - done) * each / 60:.0f} min"
            print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)

    tallies: list[Tally] = []
    failure = ""
    with tempfile.TemporaryDirectory(prefix="soak_") as place:
        try:
            for workers in given.workers if given.kills else []:
                tallies.append(Tally(f"{workers} workers"))
                config, whole = undisturbed(Path(place) / str(workers), workers, steps=120)
                series(OneProcess(config, whole, tallies[-1], moments), given.kills, report)
            if given.rank_kills:
                tallies.append(Tally("2 processes"))
                config, whole = undisturbed(Path(place) / "two", 0, 120, TWO_PROCESSES)
                series(TwoProcesses(config, whole, tallies[-1], moments), given.rank_kills, report)
        except KeyboardInterrupt:
            failure = "stopped before its end"
        except Failed as error:
            failure = f"FAILED: {error}"
    print(f"\n{HEADER}\n" + "\n".join(tally.line() for tally in tallies))
    minutes = (time.monotonic() - began) / 60
    print(failure or f"nothing lost, nothing repaired by hand, all finished runs identical; {minutes:.0f} min")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
