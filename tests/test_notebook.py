"""The notebook runs from top to bottom on a run of a moment, and holds no output and no code worth a module in git."""

import ast
import json
from pathlib import Path

import nbformat
import pytest
from drawn_run import draw_run
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks/error_analysis.ipynb"


def test_no_output_and_no_trace_of_a_run_lies_in_git():
    content = json.loads(NOTEBOOK.read_text())
    nbformat.validate(nbformat.from_dict(content))
    for cell in content["cells"]:
        assert not cell["metadata"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert content["metadata"].keys() == {"kernelspec", "language_info"}


def test_nothing_in_it_could_be_used_elsewhere():
    for cell in nbformat.read(NOTEBOOK, 4).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda) for node in ast.walk(tree))
            assert len(cell.source.splitlines()) <= 12


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run on drawn pictures."""
    folder = tmp_path_factory.mktemp("notebook")
    run = draw_run(folder, pictures=3)
    notebook = nbformat.read(NOTEBOOK, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN", str(run))
        patch.delenv("DATA", raising=False)
        patch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(NOTEBOOK.parent))
    return notebook


def test_it_runs_to_the_end_and_every_cell_shows_something(executed):
    shown = [cell.outputs for cell in executed.cells if cell.cell_type == "code"]
    assert all(output.output_type != "error" for outputs in shown for output in outputs)
    assert all(outputs for outputs in shown)


def test_its_sections_are_those_of_the_report(executed):
    pages = [
        output.data["text/html"]
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    for key in ("verdict", "pictures", "crops", "where", "budget", "training", "data", "hidden"):
        assert any(f'<section id="{key}">' in page for page in pages), key
