"""Find every fault of a contest folder in one go: files, pairs, duplicates, alignment, brightness, degradations."""

from collections.abc import Sequence
from pathlib import Path

from competition.analysis import page, tables
from competition.analysis.inspect import inspect
from competition.analysis.report import Report, to_json
from competition.analysis.thumbnails import thumbnails
from competition.data.exclusions import add_exclusions
from competition.errors import ArgumentParser, BadInput, UsageError, run_command
from competition.files import write_atomic
from competition.progress import console

EPILOG = """What ROOT/excluded.txt names is left out, here as in training. Nothing in ROOT is changed, unless
--fix-list ROOT/excluded.txt adds the pairs with errors to it.

exit status: 0 without errors, 3 with errors; warnings and notes do not count"""


def main(arguments: Sequence[str]) -> None:
    """The command line: ROOT."""
    parser = ArgumentParser(prog="python -m competition.audit", description=__doc__ or "", epilog=EPILOG)
    parser.add_argument("root", type=Path, help="contest folder with train/lr, train/hr and perhaps test/lr")
    parser.add_argument("--scale", type=int, default=4, help="enlargement from low to high, default 4")
    parser.add_argument("--quick", action="store_true", help="leave out how the low pictures were made: far quicker")
    parser.add_argument("--json", type=Path, help="also write findings and all measurements to this file")
    parser.add_argument("--html", type=Path, help="also write a page with pictures to this file")
    parser.add_argument("--fix-list", type=Path, help="also add the names of all pairs with errors to this file")
    given = parser.parse_args(arguments)
    if given.scale < 1:
        raise UsageError(f"--scale: {given.scale} is no enlargement. Give 1 or more")
    report = inspect(given.root, given.scale, given.quick)
    if given.json:
        write_atomic(given.json, to_json(report))
    if given.html:
        write_atomic(given.html, page.render(report, thumbnails(report, given.root)).encode())
    if given.fix_list:
        add_exclusions(given.fix_list, report.errors_by_name())
    for part in tables.render(report):
        console.print(part)
    _conclude(report, given.html or given.json, given.fix_list is not None)


def _conclude(report: Report, written: Path | None, listed: bool) -> None:
    """Say how it went; raises BadInput where there are errors."""
    counts = report.counts()
    others = f"{counts['warning']} warnings, {counts['note']} notes"
    if counts["error"]:
        count = f"{counts['error']} error{'s' * (counts['error'] > 1)}"
        where = f"See {written}" if written else "See above, or write a report with --html"
        mend = "the faulty pairs are listed" if listed else "--fix-list leaves the pairs out"
        raise BadInput(f"{report.root}: {count}, {others}. {where}; {mend}")
    console.print(f"{report.root}: no errors, {others}")


if __name__ == "__main__":
    run_command(main)
