"""Errors a user can mend, their exit codes, and the one place that turns them into a line on stderr."""

import argparse
import errno
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn


class Fault(NamedTuple):
    """One thing wrong with one file: `kind` is a short name for tables, the rest makes the line a user reads."""

    kind: str
    subject: str
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.cause}. {self.mend}"


class CompetitionError(Exception):
    """A fault with one or more lines, each `FILE OR KEY: CAUSE. WHAT TO DO`; `code` is the exit status."""

    code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class UsageError(CompetitionError):
    """A wrong option, configuration key or value."""

    code = 2


class BadInput(CompetitionError):
    """A picture, a pair or a folder that cannot be used; `faults` are those that have a kind of their own."""

    code = 3

    def __init__(self, *lines: str | Fault) -> None:
        super().__init__(*map(str, lines))
        self.faults = [line for line in lines if isinstance(line, Fault)]


class BadCheckpoint(CompetitionError):
    """Weights or a training state that are missing, damaged or of another experiment."""

    code = 4


class StorageError(CompetitionError):
    """A disk that is full or refuses to write."""

    code = 5


class NumericalError(CompetitionError):
    """A loss, gradient, input or output that is not finite."""

    code = 6


class Stopped(CompetitionError):
    """Stopped by a signal, with everything done so far on disk."""

    code = 7


class LostPeer(CompetitionError):
    """Another process of the same run has ended or does not answer."""

    code = 8


class OutOfMemory(CompetitionError):
    """Not enough memory on the CPU or the GPU."""

    code = 9


class ArgumentParser(argparse.ArgumentParser):
    """argparse with this project's error line and a `--debug` option."""

    def __init__(self, *, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See --help")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def as_error(error: BaseException) -> CompetitionError:
    """The error a user should see for anything that was raised."""
    match error:
        case CompetitionError():
            return error
        case KeyboardInterrupt():
            return Stopped("stopped: whatever was finished is on disk. Run the same command again to go on")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EROFS | errno.EIO):
            return StorageError(f"{error.filename or 'disk'}: {error.strerror}. Free some space or write elsewhere")
        case OSError(filename=str() | Path()):
            return StorageError(f"{error.filename}: {error.strerror}. Check the path and its permissions")
        case MemoryError():
            return OutOfMemory("memory: exhausted. Use a smaller batch, patch or --tile")
    # torch raises these wherever the main thread is when it hears of a worker.
    if "DataLoader worker" in str(error):
        cause = "data.workers: a process that cuts patches was killed, mostly for lack of memory"
        return OutOfMemory(f"{cause}. Use fewer, or store: disk")
    if "DataLoader timed out" in str(error):
        return StorageError(f"data.workers: {error}. See whether the disk of the pictures answers")
    # torch.OutOfMemoryError by name: the lowest floor knows no torch.
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):
        return OutOfMemory(f"memory: {str(error).splitlines()[0]}. Use a smaller batch, patch or --tile")
    return CompetitionError(f"unexpected {type(error).__name__}: {error}. Run again with --debug and report it")


def run_command(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Call `main(arguments)` and exit: 0, or the error's code after its lines on stderr."""
    signal.signal(signal.SIGTERM, _stop)
    arguments = sys.argv[1:]
    try:
        main(arguments)
    except SystemExit:
        raise
    except BaseException as raised:
        if "--debug" in arguments:
            traceback.print_exc()
        error = as_error(raised)
        for line in error.lines:
            # One fault is one line, whatever characters a path or a key holds.
            print("error:", line if line.isprintable() else repr(line)[1:-1], file=sys.stderr)
        sys.exit(error.code)
    sys.exit(0)
