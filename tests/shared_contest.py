"""Lay out the photographs of the shared data folder as a contest: python tests/shared_contest.py SHARED OUTPUT [all].

Training pairs are urban100 001-060, validation pairs 061-070; with `all`, bsd100 001-080 and 081-100 too.
The test pictures are the 18 of the real contest. Pictures are linked, not copied.
"""

import sys
from pathlib import Path


def lay_out(shared: Path, output: Path, sets: dict[str, tuple[int, int]]) -> None:
    """Link pairs 1..count of each set, the last `held` of which are validation: sets[name] = (count, held)."""
    low, high, test = (output / part for part in ("train/lr", "train/hr", "test/lr"))
    for folder in (low, high, test):
        folder.mkdir(parents=True, exist_ok=True)
    validation = []
    for name, (count, held) in sets.items():
        for number in range(1, count + 1):
            picture = f"{name}_{number:03d}.png"
            _link(low / picture, shared / name / "lr_bicubic_x4" / f"{number:03d}.png")
            _link(high / picture, shared / name / "hr" / f"{number:03d}.png")
            validation += [picture] * (number > count - held)
    for path in sorted((shared / "competition/test/lr").glob("*.png")):
        _link(test / path.name, path)
    (output / "validation.txt").write_text("".join(f"{name}\n" for name in validation))


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve())


if __name__ == "__main__":
    sets = {"urban100": (70, 10)}
    if "all" in sys.argv[3:]:
        sets["bsd100"] = (100, 20)
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]), sets)
