"""One pass of the full-size RRDBNet (64/23/32, random weights) on the CPU: ours, other back ends, other programs.

Each contender runs in a process of its own, after a pass over 32x32 pixels: the median of three passes, of one at full
size; its memory is the highest it held less what it held before. Only ours has glibc keep freed memory, as `infer` does
and the others' programs do not. GFLOP/s are those of the network as published, 2 for each product, whatever a
contender saves of them.
Contenders that are not installed are left out: `pip install --no-deps realesrgan spandrel openvino openvino-telemetry`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import keep
from torch import Tensor, nn
from torch.nn import functional

import competition.compat  # noqa: F401  (before basicsr)
from competition import exchange
from competition.engine import build_engine
from competition.ensemble import enlarge_by
from competition.memory import reuse_freed_memory
from competition.models.rrdbnet import RRDBNetConfig
from competition.tiling import Tiled

Run = Callable[[Tensor], Tensor]
SIDES = (128, 512)
REFERENCE = "float64"
CHANGING = ("infer, 8-way", "spandrel")  # the mean over symmetries is another picture; spandrel clips to [0, 1]
SMALL_ONLY = (REFERENCE, "infer, bf16", "infer, 8-way")  # many minutes at full size
# Of the published network, for a low pixel: products of all convolutions, those of the blocks first, times 2.
OPERATIONS = 18 * (69 * 26624 + 3 * 64 + 64 * 64 * (1 + 4 + 16 + 16) + 16 * 64 * 3)


def network() -> nn.Module:
    """Ours, with the weights that all contenders share."""
    torch.manual_seed(0)
    return RRDBNetConfig().build().eval().requires_grad_(False)


def published() -> nn.Module:
    """The network as BasicSR has it."""
    from basicsr.archs.rrdbnet_arch import RRDBNet

    theirs: nn.Module = RRDBNet(3, 3, 4, num_feat=64, num_block=23, num_grow_ch=32).eval().requires_grad_(False)
    theirs.load_state_dict(network().state_dict())
    return theirs


def real_esrganer(tile: int) -> Run:
    """RealESRGANer as its own script calls it; it takes and gives 8 bits, so its forward is called on the pixels."""
    from realesrgan import RealESRGANer

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({"params_ema": network().state_dict()}, file.name)
        upsampler = RealESRGANer(4, file.name, model=published(), tile=tile, pre_pad=0, half=False, device="cpu")

    def run(low: Tensor) -> Tensor:
        upsampler.pre_process(low[0].permute(1, 2, 0).numpy())
        upsampler.tile_process() if tile else upsampler.process()
        high: Tensor = upsampler.post_process()
        return high

    return run


def spandrel() -> Run:
    """spandrel's loader, which finds the architecture out by itself."""
    from spandrel import ModelLoader

    return ModelLoader("cpu").load_from_state_dict(dict(published().state_dict()))  # type: ignore[return-value]


def engine(precision: Any = "float32", backend: Any = "torch") -> Run:
    """What infer computes by."""
    reuse_freed_memory()
    ours = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return build_engine(ours, precision, backend)


def eight_ways() -> Run:
    """The self-ensemble of infer, members on disk."""
    reuse_freed_memory()
    ours = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    tiled = Tiled(build_engine(ours), ours, 4)
    return lambda low: enlarge_by(tiled, low, "mean")


CONTENDERS: dict[str, Callable[[], Run]] = {
    REFERENCE: lambda: engine("float64"),
    "RealESRGANer": lambda: real_esrganer(0),
    "RealESRGANer, tiles of 256": lambda: real_esrganer(256),
    "spandrel": spandrel,
    "the network, channels last": lambda: network().to(memory_format=torch.channels_last),  # type: ignore[call-overload]
    "ONNX Runtime": lambda: exchange.write_onnx(exchange.trace(network()), "").run,
    "OpenVINO": lambda: engine(backend="openvino"),
    "infer": engine,
    "infer, bf16": lambda: engine("bf16"),
    "infer, 8-way": eight_ways,
}


def status(key: str) -> float:
    """A figure of /proc/self/status in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 2**10


@torch.inference_mode()
def measure(contender: str, side: int, folder: Path) -> None:
    """One pass in this process: seconds and added peak to standard output, the picture into the folder."""
    run = CONTENDERS[contender]()
    run(torch.rand(1, 3, 32, 32))
    low = torch.from_numpy(np.random.default_rng(0).random((1, 3, side, side), np.float32))
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
    before, seconds = status("VmRSS"), list[float]()
    for _ in range(3 if side == min(SIDES) else 1):
        started = time.perf_counter()
        high = run(low)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": statistics.median(seconds), "added": status("VmHWM") - before}))
    np.save(folder / f"{contender}.npy", high.numpy())


def convolution_peak() -> float:
    """GFLOP/s of the fastest of the network's own convolutions."""
    best = 0.0
    for inputs, outputs in ((64, 32), (192, 64), (64, 64)):
        x = torch.rand(1, inputs, 128, 512).contiguous(memory_format=torch.channels_last)
        weight = torch.rand(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
        for _ in range(20):
            started = time.perf_counter()
            functional.conv2d(x, weight, padding=1)
            best = max(best, 2 * 9 * inputs * outputs * 128 * 512 / (time.perf_counter() - started) / 1e9)
    return best


def main() -> None:
    """All contenders at all sizes, each measured by the accuracy and the time of those named in the columns."""
    peak, rows = convolution_peak(), []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            chosen = [name for name in CONTENDERS if side == min(SIDES) or name not in SMALL_ONLY]
            found = {contender: in_process(contender, side, folder) for contender in chosen}
            exact = np.load(Path(folder, f"{REFERENCE}.npy")) if REFERENCE in chosen else None
            slowest = found["RealESRGANer"]
            for contender, figures in found.items():
                if figures:
                    high = np.load(Path(folder, f"{contender}.npy"))
                    comparable = exact is not None and contender not in CHANGING
                    accuracy = f"{decibels(high, exact):.0f}" if comparable else ""
                    rows.append(row(f"{contender}, {side}x{side}", figures, slowest, side, accuracy))
    keep(
        "infer_speed",
        f"One pass of RRDBNet 64/23/32; the fastest of its convolutions alone: {peak:.0f} GFLOP/s",
        "python tests/benchmarks/infer_speed.py",
        ["", "seconds", "RealESRGANer's time over it", "GFLOP/s", "added peak [MiB]", "dB to float64"],
        rows,
        page="docs/inference.md",
    )


def in_process(contender: str, side: int, folder: str) -> dict[str, float]:
    """The figures of one contender; none where it is not installed."""
    command = [sys.executable, __file__, contender, str(side), folder]
    done = subprocess.run(command, capture_output=True, text=True)
    print(contender, side, done.stdout.strip() or done.stderr.strip().splitlines()[-1], flush=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return figures


def row(name: str, figures: dict[str, float], slowest: dict[str, float], side: int, accuracy: str) -> list[str]:
    """A line of the table."""
    seconds, added = figures["seconds"], figures["added"]
    faster = f"{slowest['seconds'] / seconds:.2f}" if slowest else ""
    passes = 8 if "8-way" in name else 1
    rate = passes * OPERATIONS * side**2 / seconds / 1e9
    return [name, f"{seconds:.1f}", faster, f"{rate:.0f}", f"{added:.0f}", accuracy]


def decibels(high: Any, exact: Any) -> float:
    """PSNR of one result to another, for a range of 1; infinite for the reference itself."""
    error = float(np.mean((high.astype(np.float64) - exact) ** 2))
    return float(-10 * np.log10(error)) if error else float("inf")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
