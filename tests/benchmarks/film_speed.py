"""Frames a second of `video enlarge` beside those of its network alone: decoding, network and encoding overlapped.

Both take the same frames of a drawn film through the shipped weights, in turns, medians of several; the network alone
takes pictures that are already in memory. With one thread of torch a second core is left to decoder and encoder; with
as many threads as cores what they cost is lost to the network. `python tests/benchmarks/film_speed.py [ROUNDS]`.
"""

import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

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

SIZE, FRAMES, NETWORK = (120, 160), 64, "mini_x4"


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
            network, command = (statistics.median(column) for column in zip(*turns, strict=True))
            share = statistics.median(two / one for one, two in turns)
            rows.append([threads, f"{network:.2f}", f"{command:.2f}", f"{100 * share:.0f} %"])
    title = f"`video enlarge` of {SIZE[1]}x{SIZE[0]} to four times that, frames a second, median of {rounds}"
    columns = ["threads of torch", "network alone", "decoded, enlarged, encoded", "share"]
    keep("film_speed", title, "python tests/benchmarks/film_speed.py", columns, rows, page="docs/video.md")
    print(rows)


def alone(pictures: list[Samples]) -> float:
    """Frames a second of the network on pictures in memory."""
    enlarger = Enlarger(NETWORK)
    enlarger(pictures[0])
    begun = time.perf_counter()
    for picture in pictures:
        enlarger(picture)
    return len(pictures) / (time.perf_counter() - begun)


def whole(film: Path, output: Path) -> float:
    """Frames a second from file to file, from the first enlarged frame on to the whole film."""
    times: list[float] = []
    enlarge_film(film, output, NETWORK, report=lambda done, total: times.append(time.perf_counter()))
    end = time.perf_counter()
    return (FRAMES - 1) / (end - times[0])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
