"""The process behind `sandbox.run`: gives up what it does not need, calls one function, answers in JSON."""

import contextlib
import ctypes
import importlib
import inspect
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_EVERY = 0.1  # seconds between two reports


def main() -> None:
    """Read an order from stdin, and answer it on the pipe whose number is the first argument."""
    answers = open(int(sys.argv[1]), "wb", 0)  # noqa: SIM115  # open until the process ends
    order = json.loads(sys.stdin.buffer.read())
    confine(**order["bounds"])
    if os.getppid() != order["parent"]:
        return  # the parent was gone before this process was tied to it
    # Imported within the bounds: what follows knows files of strangers.
    from pydantic import validate_call
    from pydantic_core import to_json

    from competition.errors import as_error

    try:
        function = getattr(importlib.import_module(order["module"]), order["name"])
        arguments = order["arguments"]
        if "report" in inspect.signature(function).parameters:
            arguments["report"] = _reporter(lambda told: answers.write(to_json(told) + b"\n"))
        answer = {"result": validate_call(function)(**arguments)}
    except BaseException as raised:
        error = as_error(raised)
        answer = {"error": {"code": error.code, "lines": error.lines}}
    answers.write(to_json(answer) + b"\n")


def confine(memory: int, cpu: int, seconds: float, file: int, files: int, graphics: bool) -> None:
    """Bound this process, take the network away, and let it end with its parent."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_DATA if graphics else resource.RLIMIT_AS, memory),
    ):
        _, ceiling = resource.getrlimit(what)
        most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the bound is an error that names its file
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):  # not Linux
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Where the system allows neither, FFmpeg still has no protocol to ask with.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _reporter(send: Callable[[dict[str, Any]], object]) -> Callable[[float, float], None]:
    """A Report that tells at most ten times a second, and always of the end."""
    last = 0.0

    def report(done: float, total: float) -> None:
        nonlocal last
        if done >= total > 0 or time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            send({"done": done, "total": total})

    return report


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # threads of a decoder that hangs keep nothing waiting
