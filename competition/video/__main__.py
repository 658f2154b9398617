"""The command line of films: enlarge, cut, extract, merge, play, probe, and frames for training."""

import re
from argparse import Namespace
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from competition.ensemble import SelfEnsemble
from competition.errors import ArgumentParser, UsageError, run_command
from competition.media.kinds import ALL_FILMS, PICTURES
from competition.media.probe import probe
from competition.memory import reuse_freed_memory
from competition.networks import PLAIN
from competition.progress import console, watched
from competition.video.cut import cut_film
from competition.video.enlarge import CHUNK, enlarge_film
from competition.video.estimate import estimate_film
from competition.video.extract import extract_frames
from competition.video.merge import merge_clips, merge_frames
from competition.video.pairs import Split, make_contest
from competition.video.play import make_playable

_UNITS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}
_INTO = "film to write; its ending chooses the container: .mp4 .mov .mkv .webm .wmv .gif"


def main(arguments: Sequence[str]) -> None:
    """The command line: enlarge|cut|extract|merge|play|probe|frames …"""
    parser = ArgumentParser(prog="python -m competition.video", description=__doc__ or "")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add in (_add_enlarge, _add_cut, _add_extract, _add_merge, _add_play, _add_probe, _add_frames):
        add(commands)
    given = parser.parse_args(arguments)
    given.run(given)


# ---- enlarge --------------------------------------------------------------------------------------------------------


def _add_enlarge(commands: Any) -> None:
    text = "Enlarge every frame; what lies beside them is kept. After a stop the same command goes on."
    line = commands.add_parser("enlarge", description=text, help="a film through a network")
    line.add_argument("film", type=Path)
    line.add_argument("output", type=Path, help=_INTO)
    known = f"run folder, weights file, name of pretrained weights, or {', '.join(PLAIN)}"
    line.add_argument("--run", required=True, metavar="SOURCE", dest="source", help=known)
    line.add_argument("--scale", type=int, choices=(1, 2, 3, 4), help="default: the network's own; less reduces")
    line.add_argument("--self-ensemble", choices=get_args(SelfEnsemble), default="none", help="default: none")
    line.add_argument("--tile", type=int, help="side of a tile in low pixels, 0 for whole frames; default: as fits")
    line.add_argument("--chunk", type=int, default=CHUNK, help=f"frames lost at most when killed; default {CHUNK}")
    line.add_argument("--start", default="0s", help="begin here, without sound; default 0s")
    line.add_argument("--length", help="enlarge so much of it only, without sound: --length 1s to see first")
    line.add_argument("--estimate", action="store_true", help="tell time and size, measured on a few frames, and end")
    line.set_defaults(run=_enlarge)


def _enlarge(given: Namespace) -> None:
    reuse_freed_memory()
    how = (given.film, given.output, given.source, given.scale, given.self_ensemble, given.tile)
    if given.estimate:
        told = estimate_film(*how)
        size = f"{told.frames} frames of {told.width}x{told.height}"
        console.print(f"{given.output}: {size}, {_clock(told.seconds)}, about {told.bytes / 1e6:,.1f} MB")
        return
    start, length = _seconds("--start", given.start), given.length and float(_seconds("--length", given.length))
    done = watched(
        given.output.name, lambda report: enlarge_film(*how, given.chunk, float(start), length, report=report)
    )
    kept = f", {done.kept} of them by an earlier run" if done.kept else ""
    took = f"in {_clock(done.took)}, {(done.frames - done.kept) / done.took:.2f} frames/s"
    console.print(f"{given.output}: {done.frames} frames{kept}, {done.seconds:.2f} s of film, {took}")
    _print_notes(given.output, done.notes)


# ---- cut, extract, merge, play --------------------------------------------------------------------------------------


def _add_cut(commands: Any) -> None:
    text = "Write a part of a film: from a key frame on by copying, or exactly by encoding it anew."
    line = commands.add_parser("cut", description=text, help="a part of a film")
    line.add_argument("film", type=Path)
    line.add_argument("output", type=Path, help=_INTO)
    line.add_argument("--start", default="0s", help="where it begins: 90s, 1.5min; default 0s")
    line.add_argument("--length", default="30s", help="how long it is, default 30s")
    line.add_argument("--exact", action="store_true", help="begin with this frame, not with the key frame before it")
    line.set_defaults(run=_cut)


def _cut(given: Namespace) -> None:
    start, length = float(_seconds("--start", given.start)), float(_seconds("--length", given.length))
    done = watched(
        given.output.name,
        lambda report: cut_film(given.film, given.output, start, length, given.exact, report=report),
    )
    console.print(f"{given.output}: {done.frames} frames, {done.seconds:.2f} s from {done.start:.2f} s on")
    _print_notes(given.output, done.notes)


def _add_extract(commands: Any) -> None:
    line = commands.add_parser(
        "extract", description="Write frames of a film as pictures or arrays.", help="its frames"
    )
    line.add_argument("film", type=Path)
    line.add_argument("output", type=Path, help=".zip for PNGs, .npz for arrays")
    line.add_argument("--every", help="time between two frames: 500ms, 2s; default: all frames")
    line.set_defaults(run=_extract)


def _extract(given: Namespace) -> None:
    every = _seconds("--every", given.every) if given.every else None
    done = watched(given.output.name, lambda report: extract_frames(given.film, given.output, every, report=report))
    console.print(f"{given.output}: {done.frames} frames of {done.width}x{done.height}, {done.bytes / 1e6:,.1f} MB")


def _add_merge(commands: Any) -> None:
    text = "One film of frames (a folder, a .zip or a .npz) or of several clips of the same size and rate."
    line = commands.add_parser("merge", description=text, help="frames or clips into a film")
    line.add_argument("parts", type=Path, nargs="+", help="folder, .zip or .npz of frames, or clips")
    line.add_argument("output", type=Path, help=_INTO)
    line.add_argument("--rate", help="frames a second, 24000/1001 too; default: as extracted, or 25")
    line.set_defaults(run=_merge)


def _merge(given: Namespace) -> None:
    first: Path = given.parts[0]
    if len(given.parts) == 1 and (first.is_dir() or first.suffix.lower() in (".zip", ".npz")):
        rate = _rate(given.rate) if given.rate else None
        done = watched(given.output.name, lambda report: merge_frames(first, given.output, rate, report=report))
    elif given.rate:
        raise UsageError("--rate: is for frames, clips have one. Leave it out")
    else:
        done = watched(given.output.name, lambda report: merge_clips(tuple(given.parts), given.output, report=report))
    console.print(f"{given.output}: {done.frames} frames, {done.seconds:.2f} s")
    _print_notes(given.output, done.notes)


def _add_play(commands: Any) -> None:
    line = commands.add_parser("play", description=make_playable.__doc__, help="a copy that every browser plays")
    line.add_argument("film", type=Path)
    line.add_argument("output", type=Path, help="MP4 to write")
    line.add_argument("--side", type=int, default=1280, help="most pixels wide or high, default 1280")
    line.set_defaults(run=_play)


def _play(given: Namespace) -> None:
    done = watched(given.output.name, lambda report: make_playable(given.film, given.output, given.side, report=report))
    console.print(f"{given.output}: {done.frames} frames, {done.seconds:.2f} s")


def _add_probe(commands: Any) -> None:
    line = commands.add_parser("probe", description="Tell what a film or a picture is.", help="what a file is")
    line.add_argument("file", type=Path)
    line.set_defaults(run=_probe)


def _probe(given: Namespace) -> None:
    for name, value in probe(given.file, allowed=(*PICTURES, *ALL_FILMS))._asdict().items():
        console.print(f"{name}: {', '.join(value) if isinstance(value, tuple) else value}")


# ---- frames ---------------------------------------------------------------------------------------------------------


def _add_frames(commands: Any) -> None:
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


def _frames(given: Namespace) -> None:
    every, gap = _seconds("--every", given.every), _seconds("--gap", given.gap)
    if not every:
        raise UsageError("--every: 0 would take every picture again and again. Give a time, such as 1s")
    if not 0 < given.held < 1:
        raise UsageError(f"--held: {given.held} is no share. Give a number between 0 and 1")
    make_contest(given.clips, given.output, every, Split(Fraction(given.held), gap), given.scale)


# ---- what they share ------------------------------------------------------------------------------------------------


def _print_notes(output: Path, notes: Sequence[str]) -> None:
    for note in notes:
        console.print(f"{output}: {note}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _seconds(option: str, text: str) -> Fraction:
    parsed = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min)", text)
    if not parsed:
        raise UsageError(f"{option}: {text} is no length of time. Write 500ms, 1s or 2min")
    return Fraction(parsed[1]) * _UNITS[parsed[2]]


def _rate(text: str) -> Fraction:
    if not re.fullmatch(r"\d+(\.\d+)?(/0*[1-9]\d*)?", text) or ("." in text and "/" in text):
        raise UsageError(f"--rate: {text} is no number of frames a second. Write 25 or 24000/1001")
    return Fraction(text)


if __name__ == "__main__":
    run_command(main)
