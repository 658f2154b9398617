"""Make a data folder of pairs with and without lens flare, from clean pictures or from drawn scenes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from competition.data.content import content_faults
from competition.data.flare import draw_flare, lay_on
from competition.data.scenes import draw_scene
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.files import require_space, write_atomic
from competition.images import Bytes, list_pictures, read_rgb, write_png
from competition.progress import console, progress

SCENES = 16
ATTEMPTS = 20  # about one flare of fifty hides too much of its picture
Clean = Mapping[str, Callable[[], Bytes]]  # how to get each picture, by its name


def main(arguments: Sequence[str]) -> None:
    """The command line: OUTPUT [--clean DIR]."""
    parser = ArgumentParser(prog="python -m competition.flare", description=__doc__ or "")
    parser.add_argument("output", type=Path, help="folder to fill: train/lr with flares, train/hr without")
    parser.add_argument("--clean", type=Path, help=f"folder of 8-bit RGB PNGs; default: {SCENES} drawn scenes")
    parser.add_argument("--side", type=int, default=256, help="of the squares cut from their middles, default 256")
    parser.add_argument("--copies", type=int, default=4, help="flares for each clean picture, default 4")
    parser.add_argument("--held", type=int, default=4, help="clean pictures for validation, the last; default 4")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other flares, default 0")
    given = parser.parse_args(arguments)
    for option, least in (("side", 32), ("copies", 1), ("held", 1), ("seed", 0)):
        if getattr(given, option) < least:
            raise UsageError(f"--{option}: {getattr(given, option)} is too small. Give {least} or more")
    if given.side < 256 and not given.clean:
        raise UsageError(f"--side: {given.side} is too small for a scene. Give 256 or more, or --clean")
    if given.clean:
        pictures: Clean = {
            Path(name).stem: partial(read_rgb, path) for name, path in list_pictures(given.clean).items()
        }
    else:
        pictures = {
            f"scene_{number:02d}": partial(draw_scene, given.seed, number, given.side) for number in range(SCENES)
        }
    make_pairs(pictures, given.output, given.side, given.copies, given.held, given.seed)


def make_pairs(pictures: Clean, output: Path, side: int, copies: int, held: int, seed: int) -> None:
    """Fill OUTPUT/train with `copies` pairs of each clean picture, cut to `side` pixels, and list those of the last.

    Pair NAME_C.png of picture number n has flare n * copies + C of the seed. Raises BadInput where OUTPUT holds
    pictures already, where there are no more pictures than those held, and for one that no flare leaves recognisable.
    """
    if next(output.rglob("*.png"), None):
        raise BadInput(f"{output}: holds pictures already. Choose another folder or delete them")
    if len(pictures) <= held:
        raise BadInput(f"--held: {held} of {len(pictures)} clean pictures leave none for training. Hold fewer")
    require_space(output, 6 * side**2 * copies * len(pictures))
    with progress() as bar:
        for number, name in enumerate(bar.track(pictures, description="lay flares")):
            clean = _middle(pictures[name](), side)
            for copy in range(copies):
                flared = _flared(name, clean, seed, number * copies + copy)
                write_png(output / "train" / "hr" / f"{name}_{copy}.png", clean)
                write_png(output / "train" / "lr" / f"{name}_{copy}.png", flared)
    listed = [f"{name}_{copy}.png\n" for name in list(pictures)[-held:] for copy in range(copies)]
    write_atomic(output / "validation.txt", "".join(listed).encode())
    training = (len(pictures) - held) * copies
    console.print(f"{output}: {training} training and {len(listed)} validation pairs")


def _flared(name: str, clean: Bytes, seed: int, number: int) -> Bytes:
    """The picture under the first of some flares that training accepts as a pair with it."""
    faults = []
    for attempt in range(ATTEMPTS):
        flared = lay_on(clean, draw_flare(seed, number, attempt))
        faults = content_faults(f"{name} with flare", name, flared, clean, 1)
        if not faults:
            return flared
    raise BadInput(*faults)


def _middle(picture: Bytes, side: int) -> Bytes:
    height, width = picture.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return picture[top : top + side, left : left + side]


if __name__ == "__main__":
    run_command(main)
