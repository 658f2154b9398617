"""Which vote is best on photographs: python votes.py DATA PREDICTIONS MEMBER...

DATA is a contest folder as tests/shared_contest.py lays it out; the members are folders of PREDICTIONS as for
competition.submit. Every way to weigh is fitted to all validation pictures but one and judged on that one, in turn.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import keep

from competition import statistics, weighting
from competition.agreement import distances, gram
from competition.backprojection import LOW_PASSES
from competition.data.degrade import Degradation, degrade
from competition.data.pairs import read_names
from competition.images import list_pictures, read_prediction, read_rgb, write_png
from competition.metrics import MetricConfig
from competition.parts import PARTS
from competition.voting import Array, Ballot, Evidence, Validation, elect, gather, with_back_projection

PAGE = "docs/votes.md"
METRIC = MetricConfig()
COMMAND = "python tests/benchmarks/votes.py data/urban runs/votes"
FITS = {
    "best member": weighting.best_member,
    "plain mean": weighting.uniform,
    "by PSNR": weighting.by_psnr,
    "greedy": weighting.greedy,
    "convex": weighting.convex,
}
# How low pictures were made that back-projection is tried on.
WAYS = {
    "bicubic": Degradation(),
    "bicubic, JPEG 75": Degradation(jpeg=75),
    "area, median 5 of the low picture": Degradation(resize="area", low_median=5),
}

MEMORY = """
import resource, sys
from pathlib import Path
from competition.metrics import MetricConfig
from competition import weighting
from competition.voting import Ballot, Validation, gather, scores
work, count = Path(sys.argv[1]), int(sys.argv[2])
validation = Validation(["1.png"] * 2, work / "low", work / "high", MetricConfig(), 4)
grams = gather([work / "member"] * count, validation, "band").grams
for ballot in Ballot(weighting.uniform(grams), "band"), Ballot(weighting.uniform(grams.sum(1, keepdims=True))):
    scores(ballot, [work / "member"] * count, validation)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def shares(weights: Array) -> str:
    """Percent of each member, part by part."""
    return "; ".join(" ".join(f"{share:.0%}".rstrip("%") for share in row) for row in weights)


def row(trial: weighting.Trial, grams: Array, best: Array) -> list[str]:
    """Scores of a way to weigh, and its gain over the best member on pictures left out."""
    found = statistics.compare(trial.left_out, best)
    gain = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    fitted = weighting.psnr(grams, trial.weights).mean()
    wins = f"{found.wins} of {len(best)}"
    return [trial.name, shares(trial.weights), f"{fitted:.3f}", f"{trial.left_out.mean():.3f}", gain, wins]


def guarded(grams: Array) -> Array:
    """What a submission with `weights: convex` votes with: the guard has its own pictures left out."""
    return elect("convex", "all", Evidence(grams, np.empty(0)), [])[0].weights


def ways_to_weigh(folders: list[Path], validation: Validation) -> list[list[str]]:
    """A row for every way, those per part with the Gram matrices of their parts."""
    grams = gather(folders, validation).grams
    trials = [weighting.attempt(name, fit, grams) for name, fit in FITS.items()]
    best = trials[0].left_out
    rows = [row(trial, grams, best) for trial in (*trials, weighting.attempt("convex, guarded", guarded, grams))]
    for kind in ("band", "texture"):
        apart = gather(folders, validation, kind).grams
        rows.append(row(weighting.attempt(f"convex per {kind}", weighting.convex, apart), apart, best))
    return rows


def with_a_bad_member(folders: list[Path], validation: Validation, work: Path) -> list[list[str]]:
    """The same votes when one more member has red and blue swapped: a teammate's mistake."""
    bad = work / "swapped"
    for name in validation.names:
        write_png(bad / name, np.ascontiguousarray(read_prediction(folders[0] / name)[..., ::-1]))
    grams = gather([*folders, bad], validation).grams
    rows = []
    for name, fit in FITS.items():
        trial = weighting.attempt(name, fit, grams)
        rows.append([name, f"{trial.weights[0, -1]:.4f}", f"{trial.left_out.mean():.3f}"])
    return rows


def back_projection(source: str, validation: Validation, work: Path) -> list[list[str]]:
    """For low pictures made in several ways: the strengths for a network's prediction, their gain, and the verdict."""
    rows = []
    for name, way in WAYS.items():
        base = work / re.sub(r"\W+", "_", name)
        for number, picture in enumerate(validation.names):
            high = read_rgb(validation.truth / picture)
            write_png(base / "low" / picture, degrade(high, way, np.random.default_rng(number)))
        arguments = ["--input", str(base / "low"), "--output", str(base / "validation")]
        subprocess.run([sys.executable, "-m", "competition.infer", source, *arguments], check=True)
        for reduction in ("bicubic", "fitted"):
            there = validation._replace(low=base / "low")
            found, line = with_back_projection(Ballot(np.ones((1, 1))), [base / "validation"], there, reduction)
            gain = line.partition(": ")[2].partition(" over")[0]
            strengths = " ".join(f"{strength:.2f}" for strength in found.strengths) or "refused"
            rows.append([name, reduction, strengths, gain])
            print(rows[-1], flush=True)
    return rows


def hidden(folders: list[Path], data: Path) -> list[list[str]]:
    """Diversity of the plain mean on every test picture, and the members' distances to the nearest other one."""
    parts, rows = PARTS["all"], []
    for name, path in list_pictures(data / "test/lr").items():
        members = [read_prediction(folder / name) for folder in folders]
        grams = gram(members, members[0], METRIC, parts, parts.label(read_rgb(path), 4))[None]
        nearest = np.sort(distances(grams)[0], 1)[:, 1]
        plain = weighting.diversity(grams, weighting.uniform(grams))[0]
        rows.append([name, f"{plain:.2f}", *(f"{levels:.2f}" for levels in nearest)])
    return rows


def memory(members: int, work: Path) -> float:
    """Peak GiB of a process that weighs bands of two pictures of 2048x2048 of so many members, and lets them vote."""
    rng = np.random.default_rng(0)
    for folder, side, depth in (("low", 512, np.uint8), ("high", 2048, np.uint8), ("member", 2048, np.uint16)):
        peak = np.iinfo(depth).max
        write_png(work / folder / "1.png", rng.integers(0, peak, (side, side, 3), depth, endpoint=True))
    done = subprocess.run([sys.executable, "-c", MEMORY, work, str(members)], stdout=subprocess.PIPE, check=True)
    return int(done.stdout) / 2**20


def main(data: Path, predictions: Path, names: list[str]) -> None:
    """Measure everything and keep the tables."""
    validation = Validation(
        sorted(read_names(data / "validation.txt")), data / "train/lr", data / "train/hr", METRIC, 4
    )
    folders = [predictions / name / "validation" for name in names]
    scores = gather(folders, validation).psnr.mean(1)
    members = ", ".join(f"{name} {score:.3f}" for name, score in zip(names, scores, strict=True))
    title = f"Votes on Urban100 061–070, whole frames, RGB; members in this order: {members} dB"
    columns = ["weights", "shares [%]", "fitted [dB]", "left out [dB]", "over the best member [dB]", "pictures won"]
    command = " ".join([COMMAND, *names])
    keep("votes", title, command, columns, ways_to_weigh(folders, validation))  # on the README
    with tempfile.TemporaryDirectory() as work:
        columns = ["weights", "its share", "left out [dB]"]
        rows = with_a_bad_member(folders, validation, Path(work))
        keep(
            "votes_bad_member",
            "The same with one more member whose red and blue are swapped",
            command,
            columns,
            rows,
            PAGE,
        )
        columns = ["low pictures", "reduction", "strengths", "gain on pictures left out"]
        rows = back_projection("mini_x4", validation, Path(work))
        title = f"Back-projection of mini_x4's predictions, strengths for low passes of {LOW_PASSES} low pixels"
        keep("votes_back_projection", title, command, columns, rows, PAGE)
    tested = [name for name in names if (predictions / name / "test").is_dir()]
    columns = ["test picture", "diversity", *(f"{name} to nearest" for name in tested)]
    rows = hidden([predictions / name / "test" for name in tested], data)
    title = f"The plain mean of {', '.join(tested)} on the hidden test pictures: squared levels, levels"
    keep("votes_hidden", title, command, columns, rows, PAGE)
    with tempfile.TemporaryDirectory() as work:
        rows = [[str(count), f"{memory(count, Path(work)):.2f}"] for count in (4, 16, 32)]
    columns = ["members", "peak memory of the process [GiB]"]
    keep("votes_memory", "Weights per band and votes on two pictures of 2048×2048", command, columns, rows, PAGE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
