"""A run's folder: the record of what it is, refused when it changes, and its log."""

import contextlib
import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator

from competition.config import differences
from competition.errors import BadCheckpoint
from competition.files import write_atomic
from competition.images import Bytes
from competition.progress import console

# Trackers of Accelerate that can show pictures, and what they must be told of their layout.
SHOWING: dict[str, dict[str, str]] = {"tensorboard": {"dataformats": "NHWC"}, "wandb": {}}


def record(
    run: Path, config: dict[str, Any], data: dict[str, str], complete: Callable[[dict[str, Any]], Any], write: bool
) -> str:
    """Write RUN/experiment.json, or compare with the one that stands there once the run has saved a state.

    `config` and `data` (fingerprints) are what the result depends on: raises BadCheckpoint with every difference. Git
    commit and package versions are noted once, for people. All processes compare, one of them writes. `complete` adds
    to a recorded configuration the keys that did not exist when it was written. Returns the SHA-256 of the
    configuration that the run began with.
    """
    path = run / "experiment.json"
    identity = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    if not path.exists() or not (run / "checkpoints").exists():
        if write:
            note = {"config": config, "sha256": identity, "data": data, "commit": _commit(), "versions": _versions()}
            write_atomic(path, json.dumps(note, indent=1).encode())
        return identity
    recorded = read_record(run)
    changes = differences(complete(recorded.config), config) + differences(recorded.data, data, "data.")
    if changes:
        raise BadCheckpoint(f"{path}: the run is another experiment: {'; '.join(changes)}. Choose another name=…")
    return recorded.sha256


class Record(NamedTuple):
    """What a run depends on: its configuration, the hash of the one it began with, and fingerprints of its data."""

    config: dict[str, Any]
    sha256: str
    data: dict[str, str]


def read_record(run: Path) -> Record:
    """What RUN/experiment.json says; raises BadCheckpoint when it cannot be read."""
    path = run / "experiment.json"
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        return Record(dict(recorded["config"]), str(recorded["sha256"]), dict(recorded["data"]))
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
    """metrics.jsonl, one object a line, and the trackers beside it; lines after the resumed step are dropped.

    A disk that refuses a line costs the line and one warning: training goes on.
    """

    def __init__(self, accelerator: Accelerator, path: Path, step: int) -> None:
        self.accelerator = accelerator
        self.path = path
        self._warned = False
        lines = [line for line in read_log(path) if line["step"] <= step]
        self._validated = {line["step"] for line in lines if "psnr" in line}
        if accelerator.is_main_process:
            write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        accelerator.init_trackers("competition", init_kwargs={"wandb": {"name": path.parent.name}})

    def write(self, step: int, **values: float) -> None:
        """Append one line; on the main process only."""
        with self._warning():
            if self.accelerator.is_main_process:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": step, **values}) + "\n")
            self.accelerator.log(values, step=step)
        if not console.is_terminal:
            say(self.accelerator, f"step {step} " + " ".join(f"{key} {value:.5g}" for key, value in values.items()))

    def show(self, step: int, pictures: dict[str, Bytes]) -> None:
        """Give uint8 RGB pictures (H, W, 3) by name to the trackers that show pictures."""
        with self._warning():
            for tracker in self.accelerator.trackers:
                if tracker.name in SHOWING:
                    batches = {name: picture[None] for name, picture in pictures.items()}
                    tracker.log_images(batches, step=step, **SHOWING[tracker.name])

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                say(self.accelerator, f"warning: {self.path}: {error}. Training goes on; its log has holes")
            self._warned = True

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
