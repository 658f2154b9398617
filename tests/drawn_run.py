"""A finished run on drawn pictures, with everything a report reads: predictions, log, split, audit, test pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
from drawn import draw_contest, texture

from competition.ensemble import bicubic
from competition.images import Bytes, read_rgb, write_png
from competition.predictions import write_record


def draw_data(folder: Path, pictures: int = 6) -> Path:
    """The contest in FOLDER/contest: pairs and three test pictures."""
    contest = draw_contest(folder / "contest", pictures)
    for number in range(3):
        write_png(contest / "test/lr" / f"2000{number}.png", _half(_half(texture(100 + number))))
    return contest


def draw_run(folder: Path, name: str = "drawn", pictures: int = 6, detail: float = 0.5) -> Path:
    """RUNS/NAME in FOLDER/runs, of the contest in FOLDER/contest; predictions lie between bicubic and truth.

    detail: where, 0 at bicubic and 1 at the truth.
    """
    contest, run = folder / "contest", folder / "runs" / name
    if not contest.exists():
        draw_data(folder, pictures)
    names = sorted(path.name for path in (contest / "train/hr").iterdir())
    for way, share in (("self_ensemble", detail), ("model", detail - 0.1)):
        predictions = run / "predictions" / way
        for file in names:
            low, high = (read_rgb(contest / "train" / side / file) for side in ("lr", "hr"))
            write_png(predictions / "validation" / file, _between(bicubic(low, 4), high, share))
        entries = {file: {"seconds": 0.5, "psnr": {}, "spread": 1.0} for file in names}
        write_record(predictions / "validation", {"input": str(contest / "train/lr"), "pictures": entries})
    for number, low in enumerate(sorted((contest / "test/lr").iterdir())):
        write_png(
            run / "predictions/self_ensemble/test" / low.name,
            _words(bicubic(read_rgb(low), 4), [number, round(10 * detail)]),
        )
    tests = {
        path.name: {"seconds": 0.5, "spread": 1.0 + k} for k, path in enumerate(sorted((contest / "test/lr").iterdir()))
    }
    write_record(run / "predictions/self_ensemble/test", {"input": str(contest / "test/lr"), "pictures": tests})
    (run / "validation.txt").write_text("".join(f"{file}\n" for file in names))
    nearest = [[file, names[number - 1], 0.5 + 0.01 * number] for number, file in enumerate(names)]
    (run / "split.json").write_text(json.dumps({"validation": names, "folds": {}, "scenes": {}, "nearest": nearest}))
    config = {"metric": {"channel": "rgb", "border": 0}, "loss": {"name": "mse"}}
    (run / "experiment.json").write_text(json.dumps({"config": config, "data": {}, "sha256": ""}))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log()))
    return run


def log(steps: int = 800, every: int = 20, validate: int = 80) -> list[dict[str, float]]:
    """Lines of a training that halves its rate at 400 and 600 steps, takes 0.5 s a step and 4 s a validation."""
    lines: list[dict[str, float]] = []
    for step in range(every, steps + 1, every):
        seconds = 0.5 * step + 4 * ((step - 1) // validate)
        rate = 1e-4 * 0.5 ** ((step > 400) + (step > 600))
        lines.append({"step": step, "lr": rate, "loss": 0.01 + 1 / step**1.5, "steps_per_s": step / seconds})
        if step % validate == 0:
            lines.append({"step": step, "psnr": 30 - 3 * (step / validate) ** -0.6})
    return lines


def write_audit(folder: Path, contest: Path) -> Path:
    """The JSON of an audit that found the first pair shifted, in the place where a report looks for it."""
    names = sorted(path.name for path in (contest / "train/hr").iterdir())
    found = {"severity": "warning", "kind": "shifted", "subject": names[0], "cause": "lies 1.00 pixels to the right"}
    pairs = [
        {"name": name, "cluster": number % 2, "degradation": {"kind": f"kind {number % 2}"}}
        for number, name in enumerate(names)
    ]
    clusters = [{"kind": f"kind {k}", "count": 3, "names": names[k::2]} for k in range(2)]
    content = {
        "version": 1,
        "findings": [found | {"names": names[:1], "test": []}],
        "pairs": pairs,
        "clusters": clusters,
    }
    path = folder / "runs/audit" / f"{contest.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _between(plain: Bytes, high: Bytes, share: float) -> Bytes:
    return np.asarray((plain * (1 - share) + high * share).round(), np.uint8)


def _words(picture: Bytes, seed: list[int]) -> np.ndarray:
    """16-bit, with a little noise, so that members differ."""
    noise = np.random.default_rng(seed).normal(0, 300, picture.shape)
    return np.asarray((picture * 257.0 + noise).clip(0, 65535), np.uint16)


def _half(picture: Bytes) -> Bytes:
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
