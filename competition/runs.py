"""A run's folder: the record of what it is, refused when it changes, and its log."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator

from competition.config import differences
from competition.errors import BadCheckpoint
from competition.files import write_atomic
from competition.progress import console


def record(run: Path, config: dict[str, Any], data: dict[str, str], write: bool) -> None:
    """Write RUN/experiment.json, or compare with the one that stands there once the run has saved a state.

    `config` and `data` (fingerprints) are what the result depends on: raises BadCheckpoint with every difference. Git
    commit and package versions are noted once, for people. All processes compare, one of them writes.
    """
    path = run / "experiment.json"
    if not path.exists() or not (run / "checkpoints").exists():
        if write:
            note = {"config": config, "data": data, "commit": _commit(), "versions": _versions()}
            write_atomic(path, json.dumps(note, indent=1).encode())
        return
    recorded = read_record(run)
    changes = differences(recorded.config, config) + differences(recorded.data, data, "data.")
    if changes:
        raise BadCheckpoint(f"{path}: the run is another experiment: {'; '.join(changes)}. Choose another name=…")


class Record(NamedTuple):
    """What a run depends on: its configuration but for places, and the fingerprints of its data."""

    config: dict[str, Any]
    data: dict[str, str]


def read_record(run: Path) -> Record:
    """What RUN/experiment.json says; raises BadCheckpoint when it cannot be read."""
    path = run / "experiment.json"
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return Record(dict(recorded["config"]), dict(recorded["data"]))
    except OSError as error:
        raise BadCheckpoint(f"{path}: {error.strerror}. Give the folder of a run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{path}: cannot be read ({error}). Restore it or choose another name=…") from error


def _versions() -> dict[str, str]:
    packages = ("torch", "accelerate", "albumentations", "numpy", "opencv-python", "competition")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _commit() -> str | None:
    """The git commit of this code, where it is a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class Log:
    """metrics.jsonl, one object a line, and the trackers beside it; lines after the resumed step are dropped."""

    def __init__(self, accelerator: Accelerator, path: Path, step: int) -> None:
        self.accelerator = accelerator
        self.path = path
        lines = [line for line in read_log(path) if line["step"] <= step]
        self._validated = {line["step"] for line in lines if "psnr" in line}
        if accelerator.is_main_process:
            write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        accelerator.init_trackers("tensorboard")

    def write(self, step: int, **values: float) -> None:
        """Append one line; on the main process only."""
        if self.accelerator.is_main_process:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        self.accelerator.log(values, step=step)
        if not console.is_terminal:
            say(self.accelerator, f"step {step} " + " ".join(f"{key} {value:.5g}" for key, value in values.items()))

    def validated(self, step: int) -> bool:
        """Whether the run had validated at this step when it was resumed."""
        return step in self._validated


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a line that a crash cut short is passed over."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def say(accelerator: Accelerator, line: str) -> None:
    """Print a line, once however many processes there are."""
    if accelerator.is_main_process:
        console.print(line)
