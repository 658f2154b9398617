"""kill -9 at random moments: the same command always resumes, and ends with the bits of an uninterrupted run."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from competition.files import sha256

STEPS = 400


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kills", [pytest.param(2, id="short"), pytest.param(20, id="long", marks=pytest.mark.slow)])
def test_kill_9_loses_nothing(contest, tmp_path, kills, workers):
    config = tmp_path / "tiny.yaml"
    config.write_text(
        f"""
name: whole
runs: {tmp_path / "runs"}
data: {{root: {contest(count=4)}, validation: 0.25, high_patch: 32, workers: {workers}}}
model: {{name: rrdbnet, num_feat: 8, num_block: 1, num_grow_ch: 4}}
pretrained: null
steps: {STEPS if kills > 2 else 60}
batch: 4
validate_every: 20
save_every: 2
log_every: 1
"""
    )
    assert launch(config, "whole").wait(timeout=300) == 0
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    done = 0
    while done < kills:
        process = launch(config, "killed")
        try:
            # From the start of Python to well into training, saving and validating.
            status = process.wait(timeout=moments.uniform(1, 8))
            assert status == 0, "the resumed run failed"
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
    assert done > 0, "the run ended before it could be killed"
    print(f"killed {done} times")
    assert launch(config, "killed").wait(timeout=300) == 0
    assert final(tmp_path / "runs/killed") == final(tmp_path / "runs/whole")


def launch(config: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "competition.train", str(config), f"name={name}"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def final(run: Path) -> dict[str, str]:
    newest = max((run / "checkpoints").glob("step_*"))
    paths = [newest / "model.safetensors", newest / "optim.safetensors", run / "best.safetensors"]
    return {newest.name: newest.name} | {path.name: sha256(path) for path in paths}
