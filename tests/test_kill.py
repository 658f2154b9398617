"""kill -9 at random moments: the same command always resumes, and ends with the bits of an uninterrupted run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from competition.files import sha256


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
steps: {60 * kills}
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
    log = tmp_path / "runs/killed/metrics.jsonl"
    for _ in range(kills):
        process = launch(config, "killed")
        # From a moment before the first new step to well into training, saving and validating.
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) <= before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.8))
        assert process.poll() is None, "the run ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert launch(config, "killed").wait(timeout=300) == 0
    assert final(tmp_path / "runs/killed") == final(tmp_path / "runs/whole")


def launch(config: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "competition.train", str(config), f"name={name}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def final(run: Path) -> dict[str, str]:
    newest = max((run / "checkpoints").glob("step_*"))
    paths = [newest / "model.safetensors", newest / "optim.safetensors", run / "best.safetensors"]
    return {newest.name: newest.name} | {path.name: sha256(path) for path in paths}
