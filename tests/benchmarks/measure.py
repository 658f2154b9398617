"""Where and when figures were measured, and the files they are kept in."""

import datetime
import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "benchmarks" / "results"


def circumstances() -> dict[str, Any]:
    """Date, machine, versions and commit of a measurement."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {gpu}",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "commit": commit.stdout.strip(),
    }


def keep(
    name: str, title: str, command: str, columns: list[str], rows: list[list[Any]], page: str = "README.md"
) -> Path:
    """Write tests/benchmarks/results/NAME.json, from which the table on a page of this project is made."""
    RESULTS.mkdir(exist_ok=True)
    content = {"page": page, "title": title, "command": command, **circumstances(), "columns": columns, "rows": rows}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path
