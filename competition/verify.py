"""Judge a submission, anybody's folder, zip or CSV, as the contest would, and name every fault at once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from competition.errors import ArgumentParser, UsageError, run_command
from competition.judging import Evidence, Verdict, conclude, judge, known_manifest
from competition.progress import console

EPILOG = """A manifest.json in the folder, or in the folder of the file's name beside it, is compared too, and the
predictions that were voted on, where they still lie where they were.

exit status: 0 without errors, 3 with errors; warnings do not count"""


def main(arguments: Sequence[str]) -> None:
    """The command line: SUBMISSION DATA."""
    parser = ArgumentParser(prog="python -m competition.verify", description=__doc__ or "", epilog=EPILOG)
    parser.add_argument("submission", type=Path, help="folder of PNGs, zip of PNGs, CSV of base64 or pixel values")
    parser.add_argument("data", type=Path, help="contest folder; test/lr holds the pictures to enlarge")
    parser.add_argument("--scale", type=int, default=4, help="enlargement, default 4")
    parser.add_argument("--predictions", type=Path, help="folder of 16-bit predictions that were handed in as they are")
    parser.add_argument("--previous", type=Path, help="an earlier submission: folder, zip or CSV")
    parser.add_argument("--manifest", type=Path, help="its manifest.json, where it lies elsewhere")
    given = parser.parse_args(arguments)
    if given.scale < 1:
        raise UsageError(f"--scale: {given.scale} is no enlargement. Give 1 or more")
    manifest = given.manifest or known_manifest(given.submission)
    evidence = Evidence(manifest, given.predictions, given.previous)
    verdict = judge(given.submission, given.data / "test" / "lr", given.scale, evidence)
    conclude(verdict)
    console.print(f"{given.submission}: {_summary(verdict)}")


def _summary(verdict: Verdict) -> str:
    warnings = len(verdict.findings)
    parts = [f"{len(verdict.looks)} pictures, no errors, {warnings} warning{'s' * (warnings != 1)}"]
    parts.append(f"{_range([look.bicubic for look in verdict.looks.values()])} from bicubic")
    earlier = [look.earlier for look in verdict.looks.values() if look.earlier is not None]
    if earlier:
        parts.append(f"{_range(earlier)} from the earlier submission")
    return "; ".join(parts)


def _range(distances: Sequence[float]) -> str:
    return f"{np.min(distances):.1f} to {np.max(distances):.1f} dB"


if __name__ == "__main__":
    run_command(main)
