"""The one door to files of strangers: a function runs in a process of its own, without network and within bounds.

What comes back is JSON, checked against the function's own types. A file that crashes a decoder, fills the memory or
never ends costs that process only.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import to_json

from competition.errors import BadInput, CompetitionError, Stopped

T = TypeVar("T")
Report = Callable[[float, float], object]
"""Told of work as it goes: how much is done, and of how much (0 where that is not known)."""

_MOST = 2**24  # bytes of one answer
_POLL = 0.2
_GRACE = 5.0


def silent(done: float, total: float) -> None:
    """The Report that nobody hears."""


@dataclass(frozen=True)
class Bounds:
    """What the process may use: bytes of memory, seconds of CPU and of time, bytes of a file, open files.

    Memory is counted by addresses; with `graphics` by pages that can be written, as the drivers of graphics cards
    reserve many more addresses than a machine has memory.
    """

    memory: int = 2 * 2**30
    cpu: int = 60
    seconds: float = 120.0
    file: int = 2**30
    files: int = 64
    graphics: bool = False


GLANCE = Bounds()
"""For probes and thumbnails."""

WORK = Bounds(memory=2**40, cpu=30 * 24 * 3600, seconds=30 * 24 * 3600.0, file=2**42, files=256)
"""For conversions, which may take days."""


def run(
    function: Callable[..., T],
    /,
    *,
    bounds: Bounds = GLANCE,
    report_to: Report = silent,
    stop: Callable[[], bool] = lambda: False,
    **arguments: Any,
) -> T:
    """Call `function(**arguments)` in a limited process and return what it returns.

    `function` is a public function of a module; its arguments and its result are those that pydantic reads from JSON:
    numbers, texts, paths (of an empty working folder, so relative `Path`s are made absolute here, texts are not),
    tuples, dataclasses. One that has a `report` parameter is given one, which `report_to` hears.
    `stop` is asked five times a second; once it says True, the process is killed and Stopped raised.

    Raises the CompetitionError that the function raised, BadInput where its process was ended or ran past its bounds,
    OutOfMemory where it asked for more memory than it may have, Stopped where somebody told it to end: systemd, when it
    stops a service, tells each of its processes.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox_") as empty:
        process, answers = _start(function, bounds, arguments, empty)
        try:
            answer = _listen(process, answers, bounds, report_to, stop)
            if answer is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE)  # for its own end, before it is ended
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(answers)
    if answer is None:
        raise _ended(process.returncode, arguments)
    if "error" in answer:
        raise _rebuilt(answer["error"])
    result: T = TypeAdapter(get_type_hints(function).get("return", Any)).validate_python(answer["result"])
    return result


def _start(
    function: Callable[..., T], bounds: Bounds, arguments: dict[str, Any], empty: str
) -> tuple[subprocess.Popen[bytes], int]:
    order = {"module": function.__module__, "name": function.__qualname__, "bounds": asdict(bounds)}
    given = {key: value.absolute() if isinstance(value, Path) else value for key, value in arguments.items()}
    answers, theirs = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name in _KEPT}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "TMPDIR": empty}
    process = subprocess.Popen(
        [sys.executable, "-m", "competition.media.child", str(theirs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=empty,
        env=environment,
        pass_fds=[theirs],
        start_new_session=True,
    )
    os.close(theirs)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(to_json(order | {"parent": os.getpid(), "arguments": given}, fallback=str))
    return process, answers


_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "HOME",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "NO_ALBUMENTATIONS_UPDATE",
    "COMPETITION_PRETRAINED",
)


def _listen(
    process: subprocess.Popen[bytes],
    answers: int,
    bounds: Bounds,
    report_to: Report,
    stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """The process's last word, None where it ends without one."""
    until = time.monotonic() + bounds.seconds
    for line in _lines(answers):
        if stop():
            raise _stopped()
        if time.monotonic() > until:
            raise BadInput(f"{_WORKED}: took more than {bounds.seconds:,.0f} s. Give a smaller file")
        if not line:
            continue
        told: dict[str, Any] = json.loads(line)
        if "done" not in told:
            return told
        report_to(told["done"], told["total"])
    return None


def _lines(answers: int) -> Iterator[bytes]:
    """Lines of a pipe as they come, and an empty one whenever there was none for a while."""
    rest = b""
    while len(rest) < _MOST:
        if not select.select([answers], [], [], _POLL)[0]:
            yield b""
            continue
        part = os.read(answers, 2**16)
        if not part:
            return
        *whole, rest = (rest + part).split(b"\n")
        yield from whole


_WORKED = "file"


def _stopped() -> Stopped:
    return Stopped("stopped: whatever was finished is on disk. Start it again to go on")


def _ended(status: int, arguments: dict[str, Any]) -> CompetitionError:
    subject = arguments.get("name") or arguments.get("path") or _WORKED
    if -status == signal.SIGTERM:
        return _stopped()
    cause = signal.Signals(-status).name if status < 0 else f"status {status}"
    if -status in (signal.SIGXCPU, signal.SIGKILL):
        return BadInput(f"{subject}: takes too long or too much memory to decode ({cause}). Give a smaller file")
    return BadInput(f"{subject}: ended its decoder ({cause}). Convert it, or fetch it again")


_CLASSES = {kind.code: kind for kind in CompetitionError.__subclasses__()}


def _rebuilt(told: dict[str, Any]) -> CompetitionError:
    return _CLASSES.get(told["code"], CompetitionError)(*map(str, told["lines"]))
