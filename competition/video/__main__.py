"""The command line of films: enlarge, cut, extract, merge, play, probe, frames."""

import re
from argparse import Namespace
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from competition.errors import ArgumentParser, UsageError, run_command
from competition.video.pairs import Split, make_contest

_UNITS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}


def main(arguments: Sequence[str]) -> None:
    """The command line: frames CLIP … OUTPUT."""
    parser = ArgumentParser(prog="python -m competition.video", description=__doc__ or "")
    commands = parser.add_subparsers(dest="command", required=True, metavar="frames")
    text = (
        "Write OUTPUT/train/hr, OUTPUT/train/lr, and OUTPUT/validation.txt, which names the last pictures of each clip."
    )
    frames = commands.add_parser("frames", description=text, help="one picture every so often, as training pairs")
    frames.add_argument("clips", type=Path, nargs="+", metavar="clip", help="video file")
    frames.add_argument("output", type=Path, help="folder to make")
    frames.add_argument("--every", default="1s", help="time between two pictures: 500ms, 2min; default 1s")
    frames.add_argument("--scale", type=int, choices=(2, 3, 4), default=4, help="default 4")
    frames.add_argument("--held", type=float, default=0.1, help="share of each clip's time for validation, default 0.1")
    frames.add_argument("--gap", default="5s", help="time left out before it, so that no scene is in both; default 5s")
    frames.set_defaults(run=_frames)
    given = parser.parse_args(arguments)
    given.run(given)


def _frames(given: Namespace) -> None:
    every, gap = _seconds("--every", given.every), _seconds("--gap", given.gap)
    if not every:
        raise UsageError("--every: 0 would take every picture again and again. Give a time, such as 1s")
    if not 0 < given.held < 1:
        raise UsageError(f"--held: {given.held} is no share. Give a number between 0 and 1")
    make_contest(given.clips, given.output, every, Split(Fraction(given.held), gap), given.scale)


def _seconds(option: str, text: str) -> Fraction:
    parsed = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min)", text)
    if not parsed:
        raise UsageError(f"{option}: {text} is no length of time. Write 500ms, 1s or 2min")
    return Fraction(parsed[1]) * _UNITS[parsed[2]]


if __name__ == "__main__":
    run_command(main)
