"""What decoding and encoding cost `video enlarge` beside its network, and how fast it is beside its network alone.

The same frames of a drawn film go through the shipped weights, from memory and from file to file, in turns; medians
of several, with a core left to decoder and encoder and with a thread of torch on every core. Each turn is a process
of its own, as the command is one: OpenMP lets its threads sleep at every barrier once two Python threads of a process
have computed and its threads are more than the cores, which would cost the second of two turns a tenth. Seconds of
the processor are what other programs on the machine do not change much; what a frame costs beside the network is
measured with an enlarger that costs next to nothing (nearest) in its place. `python tests/benchmarks/film_speed.py
[ROUNDS]`.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from measure import keep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import drawn
from film_files import make_film

from competition.images import Samples
from competition.media.limits import OWN
from competition.upscaler import Enlarger
from competition.video.enlarge import enlarge_film
from competition.video.shots import Part, shots

SIZE, FRAMES, NETWORK = (90, 120), 24, "mini_x4"


class Took(NamedTuple):
    """Seconds a frame, of the clock and of all processors."""

    clock: float
    busy: float


def main(rounds: int) -> None:
    """Measure and keep a table."""
    with tempfile.TemporaryDirectory() as name:
        scene = drawn.texture(0, SIZE[0], SIZE[1] + FRAMES)
        film, output = Path(name) / "film.mp4", Path(name) / "out.mp4"
        make_film(film, FRAMES, SIZE, picture=lambda number, height, width: scene[:, number : number + width])
        with closing(shots(film, Part(), OWN)) as coming:
            pictures = [shot.picture for shot in coming]
        rows = [row(threads, pictures, film, output, rounds) for threads in range(1, len(os.sched_getaffinity(0)) + 1)]
    title = f"`video enlarge` of {SIZE[1]}x{SIZE[0]} to four times that, median of {rounds} turns"
    columns = [
        "threads of torch",
        "network, ms of the processor a frame",
        "decoding and encoding, ms",
        "speed / network's alone",
    ]
    keep("film_speed", title, "python tests/benchmarks/film_speed.py", columns, rows, page="docs/video.md")


def row(threads: int, pictures: list[Samples], film: Path, output: Path, rounds: int) -> list[str]:
    """The measurement with a number of threads."""

    def took(work: Callable[..., Took], *arguments: object) -> Took:
        with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as process:
            return process.submit(work, *arguments).result()

    turns = [(took(alone, pictures, NETWORK), took(whole, film, output, NETWORK)) for _ in range(rounds)]
    plain = [took(whole, film, output, "nearest").busy - took(alone, pictures, "nearest").busy for _ in range(rounds)]
    network, beside = statistics.median(one.busy for one, _ in turns), statistics.median(plain)
    speed = statistics.median(one.clock / two.clock for one, two in turns)
    told = [str(threads), f"{1000 * network:.0f}", f"{1000 * beside:.1f}", f"{speed:.2f}"]
    print(*told)
    return told


def alone(pictures: list[Samples], source: str) -> Took:
    """The network on pictures in memory."""
    enlarger = Enlarger(source, 4)
    enlarger(pictures[0])
    begun, busy = time.perf_counter(), time.process_time()
    for picture in pictures:
        enlarger(picture)
    count = len(pictures)
    return Took((time.perf_counter() - begun) / count, (time.process_time() - busy) / count)


def whole(film: Path, output: Path, source: str) -> Took:
    """From file to file, from the first enlarged frame on to the whole film."""
    times: list[tuple[float, float]] = []
    enlarge_film(
        film, output, source, 4, report=lambda done, total: times.append((time.perf_counter(), time.process_time()))
    )
    count = FRAMES - 1
    return Took((time.perf_counter() - times[0][0]) / count, (time.process_time() - times[0][1]) / count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
