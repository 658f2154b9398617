"""Patches a second of BasicSR's dataset, its sub-image routes and ours: python patch_speed.py DEMO WORK.

One run, the same pictures, high patches of 256, batches of 16, end to end to float32 batches. Warm: the system's cache
holds everything, each method was run before it is timed, and methods take turns over ROUNDS rounds (median). Cold: the
cache was dropped (needs root), every method sees it once a round. WORK takes the copies each method needs.
"""

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import competition.compat  # noqa: F401  isort: skip  (before basicsr)
import cv2
import numpy as np
import torch
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from measure import keep
from torch.utils.data import DataLoader

from competition.data.augment import turn
from competition.data.pairs import find_pairs
from competition.data.patches import Patches, Stage, loader
from competition.data.preparation import open_store, prepare, sources
from competition.data.sampling import Uniform
from competition.images import read_rgb, write_png
from competition.memory import reuse_freed_memory

SCALE, HIGH, BATCH, ROUNDS = 4, 256, 16, 3
COMMAND = "python tests/benchmarks/patch_speed.py data/demo /tmp/patch_speed"
CPU = torch.device("cpu")
Batches = Iterator[Any]
Method = Callable[[int, int], Batches]  # workers, seed


def basicsr(root: Path, backend: str) -> Method:
    """BasicSR's PairedImageDataset over ROOT/hr and ROOT/lr, as its training options set it up."""
    suffix = ".lmdb" if backend == "lmdb" else ""
    options = {
        "dataroot_gt": str(root / f"hr{suffix}"),
        "dataroot_lq": str(root / f"lr{suffix}"),
        "gt_size": HIGH,
        "scale": SCALE,
        "use_hflip": True,
        "use_rot": True,
        "phase": "train",
    }

    def batches(workers: int, seed: int) -> Batches:
        random.seed(seed)
        torch.manual_seed(seed)
        dataset = PairedImageDataset({**options, "io_backend": {"type": backend}})
        while True:
            yield from DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, drop_last=True)

    return batches


def ours(root: Path, floats: bool = True) -> Method:
    """Our store and loader; `floats=False` leaves the batches in bytes, as they travel to a GPU."""
    pairs = find_pairs(root, SCALE)
    prepare(pairs, SCALE, root / "store", pixels=True)

    def batches(workers: int, seed: int) -> Batches:
        pictures = sources("disk", open_store(pairs, SCALE, root / "store"))
        sampling = Uniform([picture.size for picture in pictures])
        patches = Patches(pictures, sampling, [Stage(0, HIGH // SCALE, BATCH)], SCALE, seed)
        for batch in loader(patches, 0, 10**9, workers):
            yield batch.floats(CPU) if floats else batch

    return batches


def memcpy(dtype: type) -> Method:
    """Nothing but copies of as many bytes as a batch has: what no loader can exceed."""
    high = np.ones((64, HIGH, HIGH, 3), dtype)
    low = np.ones((64, HIGH // SCALE, HIGH // SCALE, 3), dtype)

    def batches(workers: int, seed: int) -> Batches:
        while True:
            yield high[seed % 4 * BATCH :][:BATCH].copy(), low[seed % 4 * BATCH :][:BATCH].copy()

    return batches


def sub_images(root: Path, output: Path, side: str, size: int, step: int) -> None:
    """BasicSR's preparation: overlapping crops as PNGs of their own, and the same in an LMDB."""
    folder = output / side
    for path in sorted((root / "train" / side).glob("*.png")):
        picture = read_rgb(path)
        starts = range(0, picture.shape[0] - size + 1, step)
        for number, (top, left) in enumerate((top, left) for top in starts for left in starts):
            target = folder / f"{path.stem}_s{number:03d}.png"
            if not target.exists():
                write_png(target, picture[top : top + size, left : left + size])
    names = sorted(path.name for path in folder.glob("*.png"))
    if not (output / f"{side}.lmdb").exists():
        keys = [Path(name).stem for name in names]
        make_lmdb_from_imgs(str(folder), str(output / f"{side}.lmdb"), names, keys)


def make_pictures(demo: Path, work: Path) -> tuple[Path, Path]:
    """The contest-size pairs, a folder with 16 of them, and their sub-images, where they are not there yet."""
    contest = work / "contest"
    subprocess.run([sys.executable, Path(__file__).with_name("many_pairs.py"), demo, contest, "200"], check=True)
    few = work / "few"
    for side, size in (("hr", 480), ("lr", 120)):
        (few / "train" / side).mkdir(parents=True, exist_ok=True)
        for path in sorted((contest / "train" / side).glob("*.png"))[:16]:
            link = few / "train" / side / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
        sub_images(few, work / "sub", side, size, size // 2)
    return contest, few


def speed(method: Method, workers: int, patches: int, cold: bool, seed: int) -> float:
    """Patches a second over the first `patches` patches, the start of the workers not counted."""
    batches = method(workers, seed)
    if cold:
        subprocess.run("sync; echo 3 > /proc/sys/vm/drop_caches", shell=True, check=True)
    else:
        next(batches)
    started = time.perf_counter()
    for _ in range(patches // BATCH):
        next(batches)
    return patches // BATCH * BATCH / (time.perf_counter() - started)


def main(demo: Path, work: Path) -> None:
    """Measure everything and keep the table."""
    cv2.setNumThreads(1)
    reuse_freed_memory()
    contest, few = make_pictures(demo, work)
    methods: dict[str, tuple[Method, int]] = {
        "BasicSR, PNG": (basicsr(few / "train", "disk"), 48),
        "BasicSR, sub-images, PNG": (basicsr(work / "sub", "disk"), 640),
        "BasicSR, sub-images, LMDB": (basicsr(work / "sub", "lmdb"), 320),
        "ours, float32": (ours(few), 8000),
        "ours, bytes for the GPU": (ours(few, floats=False), 8000),
        "memcpy of float32 batches": (memcpy(np.float32), 8000),
        "memcpy of byte batches": (memcpy(np.uint8), 8000),
    }
    warm: dict[tuple[str, int], list[float]] = {}
    for round_ in range(ROUNDS + 1):  # the first warms the cache
        for name, (method, patches) in methods.items():
            for workers in (0, 2) if "memcpy" not in name else (0,):
                warm.setdefault((name, workers), []).append(speed(method, workers, patches, False, round_))
    cold: dict[tuple[str, int], list[float]] = {}
    large: dict[str, tuple[Method, int]] = {
        "BasicSR, PNG": (basicsr(contest / "train", "disk"), 48),
        "BasicSR, sub-images, PNG": (basicsr(work / "sub", "disk"), 320),
        "BasicSR, sub-images, LMDB": (basicsr(work / "sub", "lmdb"), 320),
        "ours, float32": (ours(contest), 640),
    }
    for round_ in range(ROUNDS):
        for name, (method, patches) in large.items():
            for workers in (0, 2):
                cold.setdefault((name, workers), []).append(speed(method, workers, patches, True, round_))
    profile(few)
    report(methods, {key: values[1:] for key, values in warm.items()}, cold)


def profile(root: Path, rounds: int = 200) -> None:
    """Keep how long each part of one batch takes, warm and without workers."""
    pictures = sources("disk", open_store(find_pairs(root, SCALE), SCALE, root / "store"))
    low_size = HIGH // SCALE
    patches = Patches(pictures, Uniform([p.size for p in pictures]), [Stage(0, low_size, BATCH)], SCALE, 0)
    out = np.empty((HIGH, HIGH, 3), np.uint8), np.empty((low_size, low_size, 3), np.uint8)
    parts = ("draw places", "ask for pages", "cut from tiles", "turn", "bytes to floats")
    spent = dict.fromkeys(parts, 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        spent[part] += time.perf_counter() - started
        return result

    for step in range(rounds):
        samples = timed("draw places", lambda step=step: patches.samples(step))
        timed("ask for pages", lambda samples=samples: [pictures[s[0]].expect(*s[1:3], low_size) for s in samples])
        for picture, top, left, symmetry in samples:
            place = (top, left, low_size)
            low, high = timed("cut from tiles", lambda picture=picture, place=place: pictures[picture].cut(*place))
            timed("turn", lambda high=high, symmetry=symmetry: turn(high, symmetry, out[0]))
            timed("turn", lambda low=low, symmetry=symmetry: turn(low, symmetry, out[1]))
        timed("bytes to floats", lambda batch=patches[step]: batch.floats(CPU))
    rows = [[part, f"{seconds / rounds * 1e3:.2f}"] for part, seconds in spent.items()]
    title = "Where the time of a batch of 16 patches goes, warm, no workers"
    keep("patch_profile", title, COMMAND, ["part", "milliseconds"], rows, page="docs/data.md")


def report(methods: dict[str, Any], warm: dict[Any, list[float]], cold: dict[Any, list[float]]) -> None:
    """Keep medians, and the ratios to BasicSR's PNG route."""
    ratio = statistics.median(
        ours / png for ours, png in zip(warm["ours, float32", 0], warm["BasicSR, PNG", 0], strict=True)
    )
    rows = [
        [
            name,
            *(f"{statistics.median(t[name, w]):,.0f}" if (name, w) in t else "" for t in (warm, cold) for w in (0, 2)),
        ]
        for name in methods
    ]
    base = {key: statistics.median(values) for key, values in {**warm}.items()}
    sub = base["ours, float32", 0] / base["BasicSR, sub-images, PNG", 0]
    frozen = statistics.median(cold["ours, float32", 0]) / statistics.median(cold["BasicSR, PNG", 0])
    rows.append(["ours over BasicSR's PNG", f"{ratio:,.0f}×", "", f"{frozen:,.0f}×", ""])
    rows.append(["ours over its sub-images", f"{sub:,.0f}×", "", "", ""])
    path = keep(
        "patch_speed",
        "Patches of 256×256 a second, batches of 16, up to float32 batches (median of 3)",
        COMMAND,
        ["loader", "warm, no workers", "warm, 2 workers", "cold, no workers", "cold, 2 workers"],
        rows,
        page="docs/data.md",
    )
    print(path.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
