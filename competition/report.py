"""Tell what a run's predictions get wrong and what to do next: one HTML file with its tables beside it."""

from collections.abc import Sequence
from pathlib import Path

from competition.analysis.diagnosis.door import SAMPLE
from competition.analysis.diagnosis.frames import write_csv
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.gathering import gather
from competition.analysis.reporting.page import render
from competition.analysis.reporting.sections import sections, verdict
from competition.errors import ArgumentParser, UsageError, run_command
from competition.files import make_folder, write_atomic
from competition.progress import console
from competition.provenance import commit

EPILOG = """Reads predictions and logs, changes neither. What is missing is named at the end of the page; only where
there is neither a log nor a readable prediction the command fails, with status 3."""


def main(arguments: Sequence[str]) -> None:
    """The command line: RUN [RUN …]."""
    parser = ArgumentParser(prog="python -m competition.report", description=__doc__ or "", epilog=EPILOG)
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="run folder, or one of predictions; the first is judged, others are compared",
    )
    parser.add_argument("--data", type=Path, help="contest folder; default: the one the predictions were made from")
    parser.add_argument("--members", type=Path, nargs="+", default=(), help="folders that vote; default: several RUNs")
    parser.add_argument("--audit", type=Path, help="the audit's JSON; default: audit/DATA.json beside the run folder")
    parser.add_argument("--sample", type=int, default=SAMPLE, help=f"pictures looked at closely, default {SAMPLE}")
    parser.add_argument("--output", type=Path, help="folder of the report, default: report/ in the first run folder")
    given = parser.parse_args(arguments)
    if given.sample < 1:
        raise UsageError(f"--sample: {given.sample} pictures show nothing. Give 1 or more")
    dossier = gather(given.runs, given.data, members=given.members, audit=given.audit, sample=given.sample)
    report(dossier, given.output or given.runs[0] / "report")


def report(dossier: Dossier, output: Path) -> None:
    """Write OUTPUT/index.html and a CSV for every table, and say the verdict."""
    page = render(f"Error analysis of {', '.join(dossier.labels)}", _facts(dossier), list(sections(dossier).values()))
    make_folder(output)
    write_csv(dossier.tables(), output)
    write_atomic(output / "index.html", page.encode("utf-8", "backslashreplace"))
    for sentence, _ in verdict(dossier):
        console.print(f"- {sentence}", markup=False)
    console.print(f"{output / 'index.html'}: {len(page) / 1e6:.1f} MB, tables beside it", markup=False)


def _facts(dossier: Dossier) -> list[str]:
    found = [f"data {dossier.data}"] if dossier.data else []
    if dossier.findings:
        found += [f"{len(dossier.findings.pictures):,} validation pictures", dossier.findings.metric]
    return [*found, *([f"made by commit {made[:12]}"] if (made := commit()) else [])]


if __name__ == "__main__":
    run_command(main)
