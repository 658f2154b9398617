"""Make a contest of videos: one picture every so often, its low version, and validation pictures far from training."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from competition.data.degrade import Degradation, degrade
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.files import delete, rename, undone, write_atomic
from competition.images import Bytes, write_png
from competition.progress import console, progress

# A playlist under a video's name would make FFmpeg open whatever it lists.
_OPTIONS = {"format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,ogg", "protocol_whitelist": "file"}
_UNITS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}


class Split(NamedTuple):
    """The last share of a clip's time is for validation; `gap` seconds before it are for nothing."""

    held: Fraction
    gap: Fraction

    def side(self, seconds: Fraction, length: Fraction) -> str:
        """`training`, `validation` or `gap`."""
        border = length * (1 - self.held)
        return "validation" if seconds >= border else "training" if seconds < border - self.gap else "gap"


class Frame(NamedTuple):
    """A picture, uint8 RGB (H, W, 3), and its time in seconds since the video's first one."""

    seconds: Fraction
    picture: Bytes


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
    given = parser.parse_args(arguments)
    every, gap = _seconds("--every", given.every), _seconds("--gap", given.gap)
    if not every:
        raise UsageError("--every: 0 would take every picture again and again. Give a time, such as 1s")
    if not 0 < given.held < 1:
        raise UsageError(f"--held: {given.held} is no share. Give a number between 0 and 1")
    make_contest(given.clips, given.output, every, Split(Fraction(given.held), gap), given.scale)


def make_contest(clips: Sequence[Path], output: Path, every: Fraction, split: Split, scale: int) -> None:
    """Write the pairs of all clips into a new folder, all of it or nothing; `every` is in seconds.

    Low pictures are MATLAB's bicubic of the high ones, which are cut to a multiple of the scale. Raises BadInput for a
    file that is no video or too short to be split, UsageError for a folder that is there and clips of the same name.
    """
    if output.exists():
        raise UsageError(f"{output}: is there already. Choose another folder or remove it")
    stems = [clip.stem.casefold() for clip in clips]
    if len(set(stems)) < len(stems):
        raise UsageError(f"clips: {', '.join(map(str, clips))} give pictures of the same names. Rename one of them")
    temporary = output.with_name(f".tmp_{output.name}")
    delete(temporary)  # of a killed process
    sides: list[tuple[str, str]] = []
    with undone(temporary):
        for clip in clips:
            sides += _write_pairs(clip, temporary / "train", every, split, scale)
        held = "".join(f"{name}\n" for name, side in sides if side == "validation")
        write_atomic(temporary / "validation.txt", held.encode())
        rename(temporary, output)
    found = [side for _, side in sides]
    counts = {side: found.count(side) for side in ("training", "validation", "gap")}
    between = f"{counts['gap']} left out between them"
    console.print(f"{output}: {counts['training']} training and {counts['validation']} validation pictures, {between}")


def _write_pairs(clip: Path, folder: Path, every: Fraction, split: Split, scale: int) -> list[tuple[str, str]]:
    """The names of a clip's pictures, CLIP_MILLISECONDS.png, and on which side of the split each is."""
    length, sides = _length(clip), []
    with progress() as bar:
        task = bar.add_task(clip.name, total=float(length))
        for frame in read_frames(clip, every):
            name, side = f"{clip.stem}_{round(frame.seconds * 1000):09d}.png", split.side(frame.seconds, length)
            sides.append((name, side))
            bar.update(task, completed=float(frame.seconds))
            if side != "gap":
                high = _cut(frame.picture, scale)
                write_png(folder / "hr" / name, high)
                write_png(folder / "lr" / name, degrade(high, Degradation(), np.random.default_rng(0), scale))
    found = [side for _, side in sides]
    if lacking := [side for side in ("training", "validation") if side not in found]:
        told = f"its {float(length):.1f} s leave no {lacking[0]} picture"
        raise BadInput(f"{clip}: {told}. Take a longer clip, or a smaller --every or --gap")
    return sides


def _cut(picture: Bytes, scale: int) -> Bytes:
    """Without the last lines and columns that are no multiple of the scale."""
    height, width = (length - length % scale for length in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width])


def read_frames(clip: Path, every: Fraction) -> Iterator[Frame]:
    """The first picture at or after each multiple of `every` seconds, by the pictures' own times.

    Raises BadInput where the file is no video that can be read, UsageError without PyAV.
    """
    first, due = None, Fraction(0)
    with _opened(clip) as (container, stream):
        for frame in container.decode(stream):
            time = _time(clip, frame)
            first = time if first is None else first
            if time - first >= due:
                due = ((time - first) // every + 1) * every
                yield Frame(time - first, frame.to_ndarray(format="rgb24"))


def _length(clip: Path) -> Fraction:
    """Seconds from the first picture to the last, without decoding one."""
    with _opened(clip) as (container, stream):
        times = [_time(clip, packet) for packet in container.demux(stream) if packet.size]
    return max(times) - min(times)


def _time(clip: Path, part: Any) -> Fraction:
    """When a frame is shown, or a packet; of old containers the latter is only known to be decoded then."""
    stamp = part.dts if part.pts is None else part.pts
    if stamp is None:
        raise BadInput(f"{clip}: has pictures without a time. Remux it: ffmpeg -i {clip.name} -c copy new.mp4")
    return Fraction(stamp * part.time_base)


@contextmanager
def _opened(clip: Path) -> Iterator[tuple[Any, Any]]:
    """A video and its first stream of pictures."""
    try:
        import av
    except ImportError as error:
        mend = "Install it: pip install -c constraints.txt -e '.[video]'"
        raise UsageError(f"video: PyAV cannot be imported ({error}). {mend}") from error
    if not clip.is_file():
        raise BadInput(f"{clip}: no such file. Give a video")
    try:
        with av.open(str(clip), container_options=_OPTIONS) as container:
            if not container.streams.video:
                raise BadInput(f"{clip}: holds no pictures. Give a video")
            container.streams.video[0].thread_type = "AUTO"
            yield container, container.streams.video[0]
    except av.error.FFmpegError as error:
        cause = f"cannot be read as a video ({error.strerror})"
        raise BadInput(f"{clip}: {cause}. Give MP4, Matroska, AVI or MPEG, or convert it") from error


def _seconds(option: str, text: str) -> Fraction:
    parsed = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min)", text)
    if not parsed:
        raise UsageError(f"{option}: {text} is no length of time. Write 500ms, 1s or 2min")
    return Fraction(parsed[1]) * _UNITS[parsed[2]]


if __name__ == "__main__":
    run_command(main)
