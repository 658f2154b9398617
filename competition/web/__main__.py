"""The platform's command: `serve` the page with its workers, or `work` as one more worker."""

import contextlib
import logging
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

from competition.errors import ArgumentParser, UsageError, run_command
from competition.web.logs import begin_logging, log
from competition.web.settings import Settings, add_flags, environment_of, read_settings

WORKER = (sys.executable, "-m", "competition.web", "work")
_FILES = 16384  # that may be open at a time, connections among them
_COMMANDS = ("serve", "work", "harvest")


def main(arguments: Sequence[str]) -> None:
    """The command line: serve, work or harvest, with the settings as flags."""
    parser = ArgumentParser(
        prog="python -m competition.web",
        description=__doc__ or "",
        epilog="each setting can be COMPETITION_WEB_NAME in the environment, too; the password only there",
    )
    parser.add_argument("command", choices=_COMMANDS)
    add_flags(parser)
    given = parser.parse_args(arguments)
    settings = read_settings(given)
    begin_logging()
    {"serve": serve, "work": work, "harvest": harvest}[given.command](settings)


def serve(settings: Settings) -> None:
    """The page, and beside it the workers of the settings, which are started again when they die."""
    import uvicorn

    from competition.web.app import create_app
    from competition.web.protocol import Protocol, Server

    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_connections(),
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16384,
    )
    with listen(settings) as connection, _workers(settings):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        log("serving", page=f"http://{host}:{connection.getsockname()[1]}/")
        Server(config).run(sockets=[connection])


def work(settings: Settings) -> None:
    """One worker process."""
    from competition.web.worker import work

    work(settings)


def harvest(settings: Settings) -> None:
    """Training pairs of the pictures and films that their owners gave for learning."""
    from competition.web.harvest import harvest

    harvest(settings)


def listen(settings: Settings) -> socket.socket:
    """The socket of the settings' host and port; raises UsageError where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        cause = f"{settings.port} on {settings.host} cannot be listened on ({error.strerror})"
        raise UsageError(f"port: {cause}. Choose another --port") from error
    # Connections inherit it. Without it an answer's body waits 40 ms for the receipt of its headers: asyncio sets it
    # for sockets only that were opened with a protocol number, which this one was not.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _connections() -> int:
    """How many connections may stand, so that a thousand idle ones keep nobody out: a file each, less those we open."""
    _, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if ceiling == resource.RLIM_INFINITY else min(ceiling, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, ceiling))
    return most * 3 // 4


@contextlib.contextmanager
def _workers(settings: Settings) -> Iterator[None]:
    """Worker processes that end with this one, however it ends, and are started again while it lives."""
    end = threading.Event()
    threads = [threading.Thread(target=_keep_working, args=(settings, end)) for _ in range(settings.workers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


def _keep_working(settings: Settings, end: threading.Event) -> None:
    while not end.is_set():
        try:
            status = _work_until(end, settings)
        except OSError as error:  # memory or process numbers may be short for a while
            log("worker cannot be started", logging.ERROR, cause=str(error))
        else:
            if not end.is_set():
                log("worker died", logging.ERROR, status=status)
        end.wait(1.0)


def _work_until(end: threading.Event, settings: Settings) -> int:
    """One worker process, which is told to end once `end` is set; its exit status."""
    # It reads its stdin and ends when that does, so it does not outlive this process.
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, env=environment_of(settings)) as process:
        while process.poll() is None and not end.wait(0.2):
            pass
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    return process.returncode


if __name__ == "__main__":
    run_command(main)
