"""What the documents promise: every command, file, figure and example in them is there and true."""

import importlib.util
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from competition.config import load
from competition.experiment import Experiment
from competition.models import ModelConfig
from competition.plan import Plan
from competition.preview import preview
from competition.submission import Submission

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted(
    [*ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")]
)
EXPERIMENTS = sorted((ROOT / "configs").glob("*.yaml"))
STUDIES = sorted((ROOT / "configs/studies").glob("*.yaml"))
SUBMISSIONS = sorted((ROOT / "configs/submissions").glob("*.yaml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_and_link_exists(page):
    text = page.read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^ *|&& |#)make ([a-z][a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "text",
    [
        "data: {root: data/contest, high_patch: 64}",
        "data: {high_patch: 64, root: data/contest }  # here",
        "data:\n  # where\n  high_patch: 64\n  root: 'data/contest'  # here\nbatch: 4",
        'data:\n    root: "data/contest"',
    ],
)
def test_make_takes_the_data_folder_from_the_yaml_however_it_is_laid_out(text, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"name: run\nseed: 3\n{text}\nsteps: 9\n")
    assert str(load(path, Experiment).data.root) == "data/contest"
    said = subprocess.run(["make", "-n", "train", f"CONFIG={path}"], cwd=ROOT, capture_output=True, text=True)
    assert " data.root=data/contest " in said.stdout


NETWORKS = typing.get_args(typing.get_args(ModelConfig)[0])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_the_readme_has_every_network_with_its_size(network):
    size = sum(parameter.numel() for parameter in network().build().parameters())
    name = network.model_fields["name"].default
    assert re.search(rf"^\| .*`{name}`.* \| {size:,} \|$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_every_experiment_is_valid_short_explained_and_has_a_row(path):
    experiment = load(path, Experiment)
    assert experiment.name == path.stem
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ") and lines[0].endswith("?") and len(lines) <= 40
    assert f"[{path.stem}]({path.name})" in (ROOT / "configs/README.md").read_text()


# Steps of their networks take seconds.
LARGE = {"gated", "large", "hat", "rotation", "bodies"}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LARGE), id=path.name) for path in EXPERIMENTS],
)
def test_every_experiment_passes_a_dry_run(path):
    """Of its network at full size and all it learns with, on patches small enough for a test."""
    small = ["data.high_patch=24", "batch=6", "accumulate=1", "stages=[]"]
    experiment = load(path, Experiment, small)
    assert preview(experiment, 1).title.startswith(f"{path.stem}: {experiment.steps:,} steps, 1 x cpu")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_every_study_is_valid_short_explained_and_has_a_row(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    plan = load(path, Plan)
    trials = plan.experiments(path)
    assert plan.name == path.stem and len(trials) > 1
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ") and lines[0].endswith("?") and len(lines) <= 40
    assert f"[{path.stem}](studies/{path.name})" in (ROOT / "configs/README.md").read_text()


@pytest.mark.parametrize("path", SUBMISSIONS, ids=lambda path: path.name)
def test_every_submission_is_valid(path):
    assert load(path, Submission).name == path.stem


def test_the_winning_recipe_is_the_default():
    recipe = load(ROOT / "configs/finetune.yaml", Experiment)
    defaults = load(ROOT / "configs/finetune.yaml", Experiment, ["data={root: data/contest}"])
    assert recipe == defaults
    model, schedule = recipe.model, recipe.schedule
    assert (model.num_feat, model.num_block, model.num_grow_ch) == (64, 23, 32)
    assert recipe.pretrained == "RealESRGAN_x4plus" and recipe.loss.name == "mse" and recipe.data.high_patch == 256
    assert (recipe.optimizer.lr, recipe.optimizer.betas, recipe.ema) == (1e-4, (0.9, 0.99), 0.999)
    rates = [
        recipe.optimizer.lr * schedule.factor(step, recipe.steps) for step in (0, 199_999, 200_000, 400_000, 905_000)
    ]
    assert rates == [1e-4, 1e-4, 5e-5, 2.5e-5, 6.25e-6] and recipe.steps == 1_000_000


def test_the_example_model_of_the_contributing_page_works(tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    path = tmp_path / "nearest.py"
    path.write_text(re.sub(r"^ {3}", "", code[1], flags=re.MULTILINE))
    assert path.read_text() == (ROOT / "competition/models/nearest.py").read_text()
    spec = importlib.util.spec_from_file_location("nearest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    low = torch.rand(1, 3, 5, 7)
    assert torch.equal(module.NearestConfig(scale=3).build()(low)[..., ::3, ::3], low)


def test_the_results_on_our_pages_are_the_measured_ones():
    script = (
        "import sys; sys.path.insert(0, 'tests/benchmarks'); import results_table as r; "
        "sys.exit(any(r.insert(p) != open(p).read() or r.render(p) == '' for p in r.PAGES))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, "run make results"


@pytest.mark.parametrize("path", sorted((ROOT / "configs/accelerate").glob("*.yaml")), ids=lambda path: path.name)
def test_every_launcher_configuration_is_understood_and_says_its_command(path):
    content = load_config_from_file(str(path))
    gpus = {"1_gpu": (1, 1), "4_gpus": (1, 4), "2_nodes_of_8": (2, 16)}[path.stem]
    assert (content.num_machines, content.num_processes) == gpus
    assert f"--config_file configs/accelerate/{path.name}" in path.read_text()
