"""Draw the built-in demo contest: city scenes and their degraded low pictures, laid out like a real contest."""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from competition.data.degrade import EXAMPLES, degrade, draw_example
from competition.data.scenes import draw_scene
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.files import require_space, write_atomic
from competition.images import write_png
from competition.progress import console, progress

TRAIN, VALIDATION, TEST = 12, 4, 3
BYTES_NEEDED = 150_000_000


class Scene(NamedTuple):
    """One picture to draw; `high` is None for a test picture, whose truth stays hidden."""

    seed: int
    number: int
    low: Path
    high: Path | None


def main(arguments: Sequence[str]) -> None:
    """The command line: OUTPUT."""
    parser = ArgumentParser(prog="python -m competition.demo", description=__doc__ or "")
    parser.add_argument("output", type=Path, help="folder to fill")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other scenes, default 0")
    given = parser.parse_args(arguments)
    if given.seed < 0:
        raise UsageError(f"--seed: {given.seed} is negative. Give 0 or more")
    draw_contest(given.output, given.seed)


def draw_contest(output: Path, seed: int) -> None:
    """Fill OUTPUT with 16 pairs, 4 of them listed in validation.txt, and 3 test pictures; the same for a seed.

    A contest that stands from the same seed is kept. Raises BadInput when the folder holds something else.
    """
    record = output / "demo.json"
    state = {"seed": seed, "train": TRAIN, "validation": VALIDATION, "test": TEST, "complete": True}
    if record.exists() and record.read_text(encoding="utf-8") == json.dumps(state):
        console.print(f"{output}: stands already")
        return
    if not record.exists() and next(output.rglob("*.png"), None):
        raise BadInput(f"{output}: holds pictures that are not the demo's. Choose another folder")
    require_space(output, BYTES_NEEDED)
    scenes = _scenes(output, seed)
    write_atomic(record, json.dumps({**state, "complete": False}).encode())
    with progress() as bar, ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        list(bar.track(pool.map(_draw, scenes), total=len(scenes), description="draw scenes"))
    names = [scene.low.name for scene in scenes[TRAIN : TRAIN + VALIDATION]]
    write_atomic(output / "validation.txt", "".join(f"{name}\n" for name in names).encode())
    write_atomic(record, json.dumps(state).encode())
    console.print(f"{output}: {TRAIN} training and {VALIDATION} validation pairs, {TEST} test pictures")


def _scenes(output: Path, seed: int) -> list[Scene]:
    names = [f"{10000 + index}.png" for index in range(TRAIN + VALIDATION)]
    pairs = [
        Scene(seed, index, output / "train" / "lr" / name, output / "train" / "hr" / name)
        for index, name in enumerate(names)
    ]
    tests = [Scene(seed, len(pairs) + n, output / "test" / "lr" / f"{20000 + n}.png", None) for n in range(TEST)]
    return pairs + tests


def _draw(scene: Scene) -> None:
    high = draw_scene(scene.seed, scene.number)
    # Every picture has its own degradation, as in the contest; the kinds take turns so that training sees them all.
    generator = np.random.Generator(np.random.Philox(key=scene.seed, counter=[0, scene.number, 0, 0]))
    kind = tuple(EXAMPLES)[scene.number % len(EXAMPLES)]
    low = degrade(high, draw_example(kind, generator), generator)
    if scene.high:
        write_png(scene.high, high)
    write_png(scene.low, low)


if __name__ == "__main__":
    run_command(main)
