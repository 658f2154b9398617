"""Which code made a file: the git commit and the versions of the packages it depends on."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def commit() -> str | None:
    """The git commit of this code, where it is a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    packages = ("torch", "accelerate", "albumentations", "numpy", "opencv-python", "competition")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
