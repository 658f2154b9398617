"""What a GPU makes of a training step and of a fine-tune: python gpu_train.py [--minutes 5] [--data DATA].

Full RRDBNet, batches of 16 low patches of 64 and of 128. Choices are added one after the other, each timed alone after
its kernels have been chosen; share of the roofline is the step's operations, counted by PyTorch, over what one large
bf16 product reaches here. Where basicsr is installed, its SRModel takes the same steps in the same run. Then the small
weights that come with this project are fine-tuned for some minutes, by competition.train, on DATA or the drawn demo.
`--device cpu` goes the same ways with a tiny network, to see that they work; it prints, and keeps nothing. DATA is
validated as its validation.txt says.
"""

import argparse
import functools
import gc
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import keep
from torch.utils.flop_counter import FlopCounterMode
from train_step import Choices, random_batch, set_kernels, step_of

from competition.models.rrdbnet import RRDBNetConfig

COMMAND = "python tests/benchmarks/gpu_train.py"
PAGE = "docs/training.md"
Step = Callable[[torch.Tensor, torch.Tensor], Any]


class Size(NamedTuple):
    """How much is measured."""

    model: RRDBNetConfig
    low_patches: tuple[int, ...]
    batch: int
    matrix: int
    """Side of the matrices of the large product."""
    seconds: float
    """For how long steps are timed at least."""
    validate_every: int


SIZES = {
    "cuda": Size(RRDBNetConfig(), (64, 128), 16, 8192, 10.0, 200),
    "cpu": Size(RRDBNetConfig(num_feat=8, num_block=1, num_grow_ch=4), (8, 16), 2, 256, 0.1, 2),
}
EAGER = Choices(tf32=False, channels_last=False, fused=False)
CHOICES = {
    "eager, float32": EAGER,
    "TF32": EAGER._replace(tf32=True),
    "bf16": EAGER._replace(bf16=True),
    "bf16, channels last": EAGER._replace(bf16=True, channels_last=True),
    "bf16, channels last, fused Adam": Choices(bf16=True),
    "the same, any kernels": Choices(bf16=True, deterministic=False),
    "the same, any kernels, compiled": Choices(bf16=True, deterministic=False, compile=True),
    "bf16, channels last, fused Adam, `recompute`": Choices(bf16=True, recompute=True),
    "competition.train's default (TF32, channels last, fused Adam)": Choices(),
}


# ---- steps -----------------------------------------------------------------------------------------------------------


def steps_per_second(run: Callable[[], Any], device: torch.device, seconds: float) -> float:
    """Of a step that was warmed up: over at least so many seconds."""
    wait(device)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run()
        count += 1
        if count % 5 == 0:
            wait(device)  # or a queue of steps would build up
    wait(device)
    return count / (time.perf_counter() - started)


def wait(device: torch.device) -> None:
    """Until the GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def roofline(size: Size, device: torch.device) -> float:
    """Operations a second of one large bf16 product."""
    a, b = (torch.randn(size.matrix, size.matrix, device=device).bfloat16() for _ in range(2))
    for _ in range(3):
        a @ b
    return 2 * size.matrix**3 * steps_per_second(lambda: a @ b, device, size.seconds / 5)


def operations(size: Size, low_size: int, device: torch.device) -> int:
    """Of one step, forward and backward, as eager mode does it."""
    step, batch = step_of(size.model, Choices(), device), random_batch(1, low_size, device)
    with FlopCounterMode(display=False) as counter:
        step(*batch)
    return counter.get_total_flops() * size.batch


def time_step(make: Callable[[], Step], size: Size, low_size: int, device: torch.device) -> tuple[float, float] | None:
    """Steps a second, and GiB of the GPU at most; None where its memory does not suffice."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        step, batch = make(), random_batch(size.batch, low_size, device)
        for _ in range(5):
            step(*batch)
        speed = steps_per_second(lambda: step(*batch), device, size.seconds)
    except torch.cuda.OutOfMemoryError:
        return None
    return speed, torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def basicsr_step(size: Size, device: torch.device) -> Step:
    """SRModel's, with the kernels that its training script asks for."""
    from basicsr_model import sr_model

    set_kernels(tf32=True, deterministic=False)
    model = sr_model(size.model, 1e-4, (0.9, 0.99), 0.999, gpus=int(device.type == "cuda"))

    def step(low: torch.Tensor, high: torch.Tensor) -> None:
        model.feed_data({"lq": low, "gt": high})
        model.optimize_parameters(1)

    return step


def race(size: Size, device: torch.device) -> list[list[str]]:
    """A row for every patch and choice."""
    most, rows = roofline(size, device), []
    print(f"a product of {size.matrix}x{size.matrix} matrices in bf16: {most / 1e12:.3g} TFLOP/s", flush=True)
    contenders: dict[str, Callable[[], Step]] = {}
    if importlib.util.find_spec("basicsr"):
        contenders["BasicSR's SRModel"] = lambda: basicsr_step(size, device)
    for name, choices in CHOICES.items():
        contenders[name] = functools.partial(step_of, size.model, choices, device)
    for low_size in size.low_patches:
        work = operations(size, low_size, device)
        for name, make in contenders.items():
            torch.compiler.reset()
            found = time_step(make, size, low_size, device)
            cells = ["out of memory", "", ""]
            if found:
                share = f"{work * found[0] / most:.1%}" if "BasicSR" not in name else ""  # it does other operations
                cells = [f"{found[0]:.2f}", share, f"{found[1]:.1f}"]
            rows.append([name, str(low_size), *cells])
            print(" | ".join(rows[-1]), flush=True)
    return rows


# ---- a fine-tune -----------------------------------------------------------------------------------------------------


def fine_tune(data: Path | None, minutes: float, size: Size, cpu: bool) -> list[list[str]]:
    """Before, and after so many minutes of competition.train in a process of its own, stopped by a signal."""
    environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if cpu else {})}
    with tempfile.TemporaryDirectory() as folder:
        root = data or Path(folder) / "demo"
        if data is None:
            subprocess.run([sys.executable, "-m", "competition.demo", str(root)], check=True, env=environment)
        path = Path(folder) / "gpu.yaml"
        settings = {
            "name": "gpu",
            "runs": folder,
            "data": {"root": str(root), "validation": "validation.txt", "high_patch": 48 if cpu else 192},
            "model": {"name": "rrdbnet", "num_feat": 32, "num_block": 4, "num_grow_ch": 16},
            "pretrained": "mini_x4",
            "batch": 2 if cpu else 16,
            "precision": "no" if cpu else "bf16",
            "validate_every": size.validate_every,
            "log_every": size.validate_every,
        }
        path.write_text(json.dumps(settings))
        subprocess.run([sys.executable, "-m", "competition.prepare", str(path)], check=True, env=environment)
        before = starting_score(path)
        command = [sys.executable, "-m", "competition.train", str(path)]
        with subprocess.Popen(command, env=environment) as training:
            time.sleep(minutes * 60)
            training.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in (Path(folder) / "gpu/metrics.jsonl").read_text().splitlines()]
    scores = [(line["step"], line["psnr"]) for line in lines if "psnr" in line]
    if training.returncode != 7 or not scores:
        raise SystemExit(f"the fine-tune ended with status {training.returncode} after {len(scores)} validations")
    speed = next(line["samples_per_s"] for line in reversed(lines) if "samples_per_s" in line)
    rows = [["mini_x4 as it comes", "0", f"{before:.3f}", "", ""]]
    for name, (step, score) in (("best", max(scores, key=lambda one: one[1])), ("last", scores[-1])):
        rows.append(
            [f"{name} of {minutes:g} minutes", str(step), f"{score:.3f}", f"{score - before:+.3f}", f"{speed:.1f}"]
        )
    return rows


def starting_score(path: Path) -> float:
    """The metric of the pretrained weights on the validation pictures."""
    from competition import feed, pretrained, weights
    from competition.config import load
    from competition.data.preparation import sources
    from competition.experiment import Experiment
    from competition.validation import scores

    experiment = load(path, Experiment)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = experiment.model.build()
    assert experiment.pretrained
    weights.load_state(network, pretrained.state_for(experiment.pretrained, experiment.model), experiment.pretrained)
    pictures = sources(experiment.data.store, feed.open_contest(experiment).validation)
    return float(scores(network.to(device), pictures, experiment.metric, device).mean())


def main() -> None:
    """Measure, print, and on a GPU keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=SIZES, default="cuda")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    size, device, model = SIZES[given.device], torch.device(given.device), SIZES[given.device].model
    network = f"{model.num_feat}/{model.num_block}/{model.num_grow_ch}"
    finish(
        "gpu_train",
        f"Training steps on a GPU: RRDBNet {network}, batches of {size.batch}, data on the device",
        ["step", "low patch", "steps a second", "of the bf16 roofline", "peak memory [GiB]"],
        race(size, device),
    )
    finish(
        "gpu_fine_tune",
        f"The shipped weights fine-tuned on a GPU for {given.minutes:g} minutes",
        ["weights", "step", "PSNR [dB]", "gain [dB]", "samples a second"],
        fine_tune(given.data, given.minutes, size, given.device == "cpu"),
    )


def finish(name: str, title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table; keep it where there is a GPU."""
    if torch.cuda.is_initialized():
        keep(name, title, COMMAND, columns, rows, page=PAGE)
    print(title, *(" | ".join(row) for row in [columns, *rows]), sep="\n")


if __name__ == "__main__":
    main()
