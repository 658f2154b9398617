"""A real training run of seconds on four drawn pairs: for tests that stop, kill and damage it, and for the soak."""

import json
import os
import subprocess
import sys
from pathlib import Path

from drawn import draw_contest

from competition.files import sha256
from competition.runs import read_log

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def write_config(folder: Path, steps: int, validate_every: int, save_every: int, workers: int = 0) -> Path:
    """A YAML of a tiny network on drawn pairs, its runs in FOLDER/runs."""
    path = folder / "tiny.yaml"
    path.write_text(
        f"""
name: tiny
runs: {folder / "runs"}
data: {{root: {draw_contest(folder / "contest")}, validation: 0.25, high_patch: 32, workers: {workers}}}
model: {{name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}
pretrained: null
optimizer: {{lr: 1e-3}}
schedule: {{name: multistep, milestones: [4, 8]}}
steps: {steps}
batch: 4
validate_every: {validate_every}
save_every: {save_every}
log_every: 1
"""
    )
    return path


def start(*arguments: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.Popen[str]:
    """`competition.train` with these arguments in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *launcher, "competition.train", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(run: Path) -> dict[str, str]:
    """What a finished run is judged by: hashes of its last state and best weights, and its log without the speed."""
    state = max((run / "checkpoints").glob("step_*"))
    files = [state / "model.safetensors", state / "optim.safetensors", run / "best.safetensors"]
    log = read_log(run / "metrics.jsonl")
    for line in log:
        for speed in ("steps_per_s", "samples_per_s", "eta_s"):
            line.pop(speed, None)
    return {path.name: sha256(path) for path in files} | {"step": state.name, "log": json.dumps(log)}
