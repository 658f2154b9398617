"""Frames a second of `video enlarge` beside those of its network alone: decoding, network and encoding overlapped.

Both take the same frames of a drawn film through the shipped weights, in turns, medians of several; the network alone
takes pictures that are already in memory. With one thread of torch a second core is left to decoder and encoder; with
as many threads as cores the network loses what they cost, so its share of the processor's time is told, too, which
other programs on the machine do not change. Frames a second are those of the command by those of the network.
`python tests/benchmarks/film_speed.py [ROUNDS]`.
"""

import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
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


def main(rounds: int) -> None:
    """Measure and keep a table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        scene = drawn.texture(0, SIZE[0], SIZE[1] + FRAMES)
        film = make_film(
            Path(name) / "film.mp4",
            FRAMES,
            SIZE,
            picture=lambda number, height, width: scene[:, number : number + width],
        )
        with closing(shots(film, Part(), OWN)) as coming:
            pictures = [shot.picture for shot in coming]
        for threads in sorted({1, os.cpu_count() or 1}):
            torch.set_num_threads(threads)
            turns = [(alone(pictures), whole(film, Path(name) / "out.mp4")) for _ in range(rounds)]
            speed, busy = (statistics.median(two[at] / one[at] for one, two in turns) for at in (0, 1))
            seconds = [statistics.median(turn[at].busy for turn in turns) for at in (0, 1)]
            rows.append([threads, *(f"{one:.3f}" for one in seconds), f"{100 / busy:.0f} %", f"{100 * speed:.0f} %"])
    title = f"`video enlarge` of {SIZE[1]}x{SIZE[0]} to four times that, beside its network alone, median of {rounds}"
    columns = [
        "threads of torch",
        "network: processor's seconds a frame",
        "command",
        "network's share",
        "frames a second",
    ]
    keep("film_speed", title, "python tests/benchmarks/film_speed.py", columns, rows, page="docs/video.md")
    print(rows)


class Took(NamedTuple):
    """Frames a second, and seconds of all processors a frame."""

    speed: float
    busy: float


def alone(pictures: list[Samples]) -> Took:
    """The network on pictures in memory."""
    enlarger = Enlarger(NETWORK)
    enlarger(pictures[0])
    begun, busy = time.perf_counter(), time.process_time()
    for picture in pictures:
        enlarger(picture)
    count = len(pictures)
    return Took(count / (time.perf_counter() - begun), (time.process_time() - busy) / count)


def whole(film: Path, output: Path) -> Took:
    """From file to file, from the first enlarged frame on to the whole film."""
    times: list[tuple[float, float]] = []
    enlarge_film(
        film, output, NETWORK, report=lambda done, total: times.append((time.perf_counter(), time.process_time()))
    )
    count = FRAMES - 1
    return Took(count / (time.perf_counter() - times[0][0]), (time.process_time() - times[0][1]) / count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
