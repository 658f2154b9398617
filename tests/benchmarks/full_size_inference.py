"""Seconds and peak memory of `infer` with the full-size RRDBNet (64/23/32, random weights) on one 512x512 picture."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import keep

from competition import weights
from competition.images import write_png
from competition.models.rrdbnet import RRDBNetConfig
from competition.predictions import seconds


def main() -> None:
    """Run the real command in a process of its own, so that the peak is that of the command."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        torch.manual_seed(0)
        config = RRDBNetConfig()
        state = config.build().state_dict()
        content = weights.Weights(state, {}, weights.Description(model=config))
        (root / "full.safetensors").write_bytes(weights.encode(content))
        write_png(root / "in/picture.png", np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8))
        command = [sys.executable, "-m", "competition.infer", str(root / "full.safetensors")]
        subprocess.run([*command, "--input", str(root / "in"), "--output", str(root / "out")], check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        row = ["RRDBNet 64/23/32, float32, whole picture", f"{seconds(root / 'out'):.1f}", f"{peak:.2f}"]
    path = keep(
        "full_size_inference",
        "Full-size network, one 512×512 picture",
        "make bench",
        ["network", "seconds", "peak memory of the process [GiB]"],
        [row],
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
