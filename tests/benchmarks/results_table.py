"""Write our pages' tables from tests/benchmarks/results/: python results_table.py [NAME "TITLE" "COMMAND"].

With arguments the table that `make submit` left in submissions/NAME/manifest.json is kept among the results first.
"""

import json
import re
import sys

from measure import RESULTS, ROOT, keep

BEGIN, END = "<!-- results: written by make results -->", "<!-- end of results -->"


PAGES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("data", "flare", "inference", "studies", "test_pictures", "training", "video", "votes", "web")
    ),
]


def render(page: str) -> str:
    """All results kept for a page as Markdown, one table each, with command, date and machine."""
    parts = []
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    for result in (result for result in results if result["page"] == page):
        lines = [result["columns"], ["---"] + ["---:"] * (len(result["columns"]) - 1), *result["rows"]]
        table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
        measured = f"{result['date']}, {result['machine']}, torch {result['versions']['torch']}"
        parts.append(f"**{result['title']}** — `{result['command']}` ({measured})\n\n{table}\n")
    return "\n".join(parts)


def insert(page: str) -> str:
    """The text of a page with its results replaced."""
    text = (ROOT / page).read_text()
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{render(page)}{END}", text, flags=re.DOTALL)


def keep_submission(name: str, title: str, command: str) -> None:
    """Turn submissions/NAME/manifest.json into a kept result."""
    report = json.loads((ROOT / "submissions" / name / "manifest.json").read_text())["validation"]
    bicubic = report["rows"][0]["psnr"]
    rows = [
        [
            row["name"].replace("_", "-"),
            f"{row['psnr']:.3f}",
            f"{row['psnr'] - bicubic:+.3f}",
            "" if row["seconds"] is None else f"{row['seconds']:.1f}",
        ]
        for row in report["rows"]
    ]
    columns = ["prediction", f"{report['metric']} [dB]", "over bicubic [dB]", "seconds a picture"]
    keep(f"submission_{name}", title, command, columns, rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        keep_submission(*sys.argv[1:])
    for page in PAGES:
        (ROOT / page).write_text(insert(page))
