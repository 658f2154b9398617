"""Configuration: what a YAML and the command line may say, and that every error names place, key and remedy."""

import copy
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from competition.config import Config, describe, load, parse
from competition.errors import UsageError
from competition.experiment import Experiment
from competition.models import ModelConfig
from competition.models.bicubic import BicubicConfig
from competition.models.patchgan import PatchGANConfig
from competition.models.rrdbnet import RRDBNetConfig

ROOT = Path(__file__).resolve().parents[1]
Load = Callable[..., Experiment]

# Says every key once, so that each can be spoiled.
COMPLETE: dict[str, Any] = {
    "name": "complete",
    "runs": "runs",
    "seed": 3,
    "data": {
        "root": "data/photos",
        "validation": 0.1,
        "fold": 2,
        "high_patch": 64,
        "synthesize": {
            "high": "more",
            "like": None,
            "kinds": [
                {
                    "resize": "area",
                    "median": 3,
                    "blur": 0.5,
                    "low_median": 3,
                    "low_blur": 0.4,
                    "low_window": 5,
                    "noise": 2.0,
                    "jpeg": 90,
                }
            ],
        },
        "scales": [4],
        "sampling": {"name": "hard", "power": 0.5},
        "channel_shuffle": 0.1,
        "gain": 0.2,
        "store": "disk",
        "cache": "store",
        "workers": 0,
    },
    "model": {"name": "rrdbnet", "num_feat": 8, "num_block": 1, "num_grow_ch": 4, "scale": 4},
    "pretrained": None,
    "pretrained_partial": False,
    "loss": {"name": "mix", "parts": [{"weight": 0.5, "loss": {"name": "charbonnier", "epsilon": 0.01}}]},
    "optimizer": {
        "name": "adam",
        "lr": 0.0002,
        "layers": [{"layers": "body.0", "factor": 0.5}],
        "betas": [0.9, 0.99],
    },
    "schedule": {"name": "multistep", "milestones": [10, 20], "gamma": 0.5, "warmup": 3},
    "steps": 30,
    "batch": 4,
    "l1_penalty": 1e-6,
    "clip": {"name": "adaptive", "factor": 0.02, "epsilon": 0.01},
    "gan": None,
    "accumulate": 2,
    "stages": [
        {
            "from_step": 10,
            "high_patch": 128,
            "batch": 2,
            "accumulate": 1,
            "loss": {"name": "mix", "parts": [{"weight": 1.0, "loss": {"name": "mse"}}]},
            "lr": 0.0001,
            "schedule": {"name": "cosine", "floor": 0.1, "warmup": 2},
            "ema": 0.9,
        }
    ],
    "ema": 0.99,
    "precision": "no",
    "tf32": False,
    "compile": True,
    "recompute": True,
    "skip": 2,
    "timeout": 60,
    "trackers": ["tensorboard"],
    "validate_every": 10,
    "save_every": 10,
    "log_every": 5,
    "metric": {"channel": "y", "border": 4},
}
REQUIRED = "name: small\ndata: {root: data}\n"  # what has no default; a line added to it is line 3


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load the text (or bytes) of a configuration, with overrides."""

    def load_it(content: str | bytes, *overrides: str) -> Experiment:
        path = tmp_path / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(path, Experiment, overrides)

    return load_it


@pytest.fixture
def refusal(load_text: Load) -> Callable[..., str]:
    """The one line with which a text and overrides are refused, the folder of the file left out."""

    def refuse(content: str | bytes, *overrides: str) -> str:
        with pytest.raises(UsageError) as refused:
            load_text(content, *overrides)
        (line,) = refused.value.lines
        folder, _, rest = line.rpartition("/run.yaml")
        return f"run.yaml{rest}" if folder else line

    return refuse


# ---- what is accepted -----------------------------------------------------------------------------------------------


def test_a_file_lists_only_what_differs(load_text: Load) -> None:
    experiment = load_text(REQUIRED + "steps: 7\n")
    assert experiment.steps == 7
    assert experiment.batch == 16
    assert experiment.model == RRDBNetConfig()


def test_every_key_reaches_its_place(load_text: Load) -> None:
    experiment = load_text(yaml.safe_dump(COMPLETE))
    assert experiment.model_dump(mode="json") == COMPLETE


@pytest.mark.parametrize(
    ("word", "value"),
    [("1e-4", 1e-4), ("1E-4", 1e-4), ("2.5e-05", 2.5e-5), (".5", 0.5), ("1.", 1), ("1", 1), ("+0.25", 0.25)],
)
def test_numbers_in_every_common_spelling(word: str, value: float, load_text: Load) -> None:
    assert load_text(REQUIRED + f"optimizer: {{lr: {word}}}\n").optimizer.lr == value
    assert load_text(REQUIRED, f"optimizer.lr={word}").optimizer.lr == value


def test_grouped_digits_null_and_bom(load_text: Load) -> None:
    experiment = load_text("\ufeff" + REQUIRED + "steps: 200_000\npretrained: ~\n")
    assert experiment.steps == 200_000
    assert experiment.pretrained is None


def test_words_that_yaml_would_turn_into_something_else_stay_words(load_text: Load) -> None:
    assert load_text("name: no\ndata: {root: 2026-11-21}\nprecision: no\n").name == "no"


def test_a_configuration_cannot_be_changed(load_text: Load) -> None:
    experiment = load_text(REQUIRED)
    with pytest.raises(ValidationError):
        experiment.steps = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        experiment.optimizer.lr = 1.0  # type: ignore[misc]


def test_a_recorded_configuration_reads_back_equal(load_text: Load) -> None:
    experiment = load_text(yaml.safe_dump(COMPLETE))
    assert parse(experiment.model_dump_json(), Experiment, "record") == experiment


def keys_of(data: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        value = value[0] if isinstance(value, list) and isinstance(value[0], dict) else value
        yield from keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]


LOSSES = ("", "loss.parts.", "stages.", "stages.loss.parts.")


def test_the_description_lists_every_key_with_its_default() -> None:
    lines = [line.strip() for line in describe(Experiment)]
    # Of losses and schedules that COMPLETE has only as a part or a stage, or not there.
    others = {"loss.epsilon", "stages.loss.epsilon", "stages.loss.parts.loss.epsilon", "schedule.floor", "clip.most"}
    others |= {"stages.schedule.milestones", "stages.schedule.gamma"}
    others |= {f"{of}loss.loss.{key}" for of in LOSSES for key in ("name", "epsilon")}
    others |= {f"optimizer.{key}" for key in ("momentum", "weight_decay", "decay")}
    others |= {f"model.{key}" for network in get_args(get_args(ModelConfig)[0]) for key in network.model_fields}
    others |= {"gan.weight", *(f"gan.discriminator.{key}" for key in PatchGANConfig.model_fields)}
    assert set(keys_of(COMPLETE)) - {"gan"} | others == {line.split(" = ")[0] for line in lines}
    assert any(line.startswith("optimizer.lr = 0.0001  Learning rate") for line in lines)
    assert any(line.startswith("name = (required)  Name of the run") for line in lines)
    assert {'model.name = "rrdbnet"', 'model.name = "bicubic"'} <= set(lines)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ("stps: 3", "stps: unknown key. Did you mean 'steps'? Allowed: name, runs, seed,"),
        ("zzz: 3", "zzz: unknown key. Allowed: name, runs, seed,"),
        ("optimizer: {rl: 3}", "optimizer.rl: unknown key. Did you mean 'lr'? Allowed: lr, layers, name, betas"),
        ("optimizer.lr: 3", "optimizer.lr: unknown key"),
        ("steps: ten", "steps: Input should be a valid integer"),
        ("steps: 1.5", "steps: Input should be a valid integer"),
        ("steps: '3'", "steps: Input should be a valid integer"),
        ("steps: 010", "steps: Input should be a valid integer"),
        ("steps: 0o10", "steps: Input should be a valid integer"),
        ("steps: 1__0", "steps: Input should be a valid integer"),
        ("steps: 1_", "steps: Input should be a valid integer"),
        ("steps: true", "steps: Input should be a valid integer, got true"),
        ("steps: 1e400", "steps: Input should be a valid integer"),
        ("steps:", "steps: Input should be a valid integer, got null"),
        ("steps: -1", "steps: Input should be greater than or equal to 1, got -1"),
        ("seed: 1" + 40 * "0", "seed: Input should be"),
        ("seed: 1" + 5000 * "0", "seed: Input should be"),
        ("seed: " + 300_000 * "1" + "x", "seed: Input should be a valid integer"),
        ("ema: .nan", "ema: Input should be a finite number, got NaN"),
        ("ema: .inf", "ema: Input should be a finite number"),
        ("ema: 1e400", "ema: Input should be a finite number"),
        ("ema: true", "ema: Input should be a valid number, got true"),
        ("pretrained_partial: no", "pretrained_partial: Input should be a valid boolean"),
        ("pretrained_partial: 1", "pretrained_partial: Input should be a valid boolean"),
        (
            "optimizer: {name: agd}",
            "optimizer.name: unknown name 'agd'. Did you mean 'sgd'? Allowed: adam, sgd, rmsprop",
        ),
        (
            "optimizer: {name: sgd, betas: [0.9, 0.9]}",
            "optimizer.betas: unknown key. Allowed: lr, layers, name, momentum",
        ),
        ("optimizer: {name: 3}", "optimizer.name: unknown name '3'"),
        ("optimizer: {layers: [{layers: conv3}]}", "optimizer.layers.0.factor: missing"),
        ("optimizer: {lr: -1}", "optimizer.lr: Input should be greater than 0, got -1"),
        ("optimizer: 3", "optimizer: Input should be an object, got 3"),
        ("optimizer:", "optimizer: Input should be an object, got null"),
        ("optimizer: {betas: [0.9, 1.5]}", "optimizer.betas.1: Input should be less than 1"),
        ("optimizer: {betas: [0.9]}", "optimizer.betas.1: missing"),
        ("schedule: {name: multistep, milestones: [1, x]}", "schedule.milestones.1: Input should be a valid integer"),
        (
            "schedule: {name: multistep, milestones: [-1]}",
            "schedule.milestones.0: Input should be greater than or equal to 0",
        ),
        ("metric: {channel: z}", "metric.channel: Input should be 'rgb' or 'y', got \"z\""),
        ("model: {name: rrdbnt}", "model.name: unknown name 'rrdbnt'. Did you mean 'rrdbnet'? Allowed: rrdbnet,"),
        ("model: {name: 3}", "model.name: unknown name '3'. Allowed: rrdbnet, "),
        ("model: {scale: 4}", "model: lacks its `name`"),
        ("model: [rrdbnet]", "model: Input should be an object"),
        (
            "model: {name: rrdbnet, num_fea: 3}",
            "model.num_fea: unknown key. Did you mean 'num_feat'? Allowed: name, num_feat, num_block, num_grow_ch,",
        ),
        ("model: {name: bicubic, num_feat: 3}", "model.num_feat: unknown key. Allowed: name, scale"),
        ("model: {name: rrdbnet, num_feat: 0}", "model.num_feat: Input should be greater than or equal to 1"),
        ("model: {name: rrdbnet, scale: 3}", "model.scale: Input should be 1, 2 or 4, got 3"),
        ("<<: {steps: 3}", "<<: unknown key"),
        ("steps: 3\nsteps: 4", "steps: given twice"),
        ("'steps': 3\nsteps: 3", "steps: given twice"),
        ("optimizer: {lr: 1, lr: 1}", "optimizer.lr: given twice"),
        ("\tsteps: 3", "found character '\\t'"),
        ("steps: {}}", "expected <block end>, but found '}'"),
        ("steps: 3: 4", "mapping values are not allowed here"),
        ("? [steps]\n: 3", "a key is not a plain word"),
        ("steps: &a 3", "anchors and aliases are not allowed"),
        ("steps: *a", "anchors and aliases are not allowed"),
        ("steps: !!int '3'", "tag tag:yaml.org,2002:int is not allowed"),
        ("steps: !!python/object/apply:os.abort []", "tag tag:yaml.org,2002:python/object/apply:os.abort is not"),
        ('precision: "a\\nb"', "unprintable characters in 'a\\nb'"),
        ('"a\\nb": 3', "unprintable characters in 'a\\nb'"),
        ('precision: "\\ud800"', "unprintable characters in '\\ud800'"),
        ('precision: "\\0"', "unprintable characters in '\\x00'"),
        ("precision: a\x00b", "unprintable character '\\x00'"),
        ('precision: "\\UFFFFFFFF"', "not YAML"),
        ("--- a\n--- b", "but found another document"),
        ("x: " + 100 * "[", "nested deeper than 20 levels"),
        (100 * "- ", "expected <block end>"),
    ],
    ids=lambda text: text[:40],
)
def test_one_fault_is_one_line_with_file_line_and_key(line: str, start: str, refusal: Callable[..., str]) -> None:
    message = refusal(REQUIRED + line + "\n")
    last = 3 + line.count("\n")
    assert message.startswith((f"run.yaml:3: {start}", f"run.yaml:{last}: {start}"))
    assert len(message) < 500


@pytest.mark.parametrize(
    "value", ["true", "-0.1", "0", "1", ".nan", "[]", "{a: 1}"], ids=lambda value: f"validation={value}"
)
def test_a_value_that_fits_no_kind_of_a_union_is_one_line(value: str, refusal: Callable[..., str]) -> None:
    message = refusal(f"name: small\ndata: {{root: data, validation: {value}}}\n")
    assert message.startswith("run.yaml:2: data.validation: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "run.yaml: name: missing"),
        (b"- name: small\n", "run.yaml: holds a list"),
        (b"word\n", "run.yaml: holds a str"),
        (b"name: \xff\n", "run.yaml: not UTF-8 text"),
        ("name: small".encode("utf-16"), "run.yaml: not UTF-8 text"),
        (b"#" * 1_000_001, "run.yaml: larger than 1,000,000 bytes"),
        (b"[" * 1_000_000, "run.yaml:1: nested deeper than 20 levels"),
        (b"a: &a [x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n", "run.yaml:1: anchors and aliases are not allowed"),
    ],
    ids=lambda part: part[:30],
)
def test_whole_files_of_the_wrong_kind(content: bytes, message: str, load_text: Load) -> None:
    with pytest.raises(UsageError) as refused:
        load_text(content)
    assert refused.value.lines[0].rpartition("/")[2].startswith(message)


def test_a_required_key_is_asked_for(load_text: Load) -> None:
    with pytest.raises(UsageError) as refused:
        load_text("steps: 3\n")
    assert [line.rpartition("/")[2].split(". ")[0] for line in refused.value.lines] == [
        "run.yaml: name: missing",
        "run.yaml: data: missing",
    ]


def test_all_faults_are_told_at_once(load_text: Load) -> None:
    with pytest.raises(UsageError) as refused:
        load_text(REQUIRED + "stps: 1\nbatch: 0\nmodel: {name: rrdbnet, scale: 9}\n")
    assert sorted(line.rpartition("/")[2].split(": ")[1] for line in refused.value.lines) == [
        "batch",
        "model.scale",
        "stps",
    ]


def test_keys_that_do_not_fit_each_other_are_both_named(refusal: Callable[..., str]) -> None:
    message = refusal("name: small\ndata: {root: data, high_patch: 10}\n")
    assert message.startswith("run.yaml: data.high_patch 10 is no multiple of the scale 4")


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, os.mkfifo], ids=["missing", "folder", "fifo"])
def test_a_path_that_is_no_file(make: Callable[[Path], None], tmp_path: Path, deadline: None) -> None:
    path = tmp_path / "run.yaml"
    make(path)
    with pytest.raises(UsageError, match="no such file"):
        load(path, Experiment)


# ---- overrides ------------------------------------------------------------------------------------------------------


def test_overrides_win_over_the_file_and_later_ones_over_earlier(load_text: Load) -> None:
    experiment = load_text(
        REQUIRED + "optimizer: {lr: 1e-3}\n",
        "optimizer.lr=5e-5",
        "steps=3",
        "steps=4",
        "schedule={name: multistep, milestones: [1, 2]}",
    )
    assert experiment.optimizer.lr == 5e-5
    assert experiment.steps == 4
    assert experiment.schedule.milestones == (1, 2)


def test_overrides_make_sections_the_file_lacks(load_text: Load) -> None:
    experiment = load_text("name: small\n", "data.root=some where=else", "model={name: bicubic, scale: 2}")
    assert experiment.data.root == Path("some where=else")
    assert experiment.model == BicubicConfig(scale=2)


@pytest.mark.parametrize(
    ("override", "start"),
    [
        ("optimizer.rl=3", "command line: optimizer.rl: unknown key. Did you mean 'lr'?"),
        ("optmizer.lr=3", "command line: optmizer: unknown key. Did you mean 'optimizer'?"),
        ("steps=no", "command line: steps: Input should be a valid integer"),
        ("optimizer.betas=[0.9, 2]", "command line: optimizer.betas.1: Input should be less than 1"),
        ("model.name=rrdb", "command line: model.name: unknown name 'rrdb'"),
        ("loss.name=l3", "command line: loss.name: unknown name 'l3'"),
        ("steps", "steps: not of the form key.path=value"),
        ("=3", "=3: not of the form key.path=value"),
        ("optimizer..lr=3", "optimizer..lr=3: not of the form key.path=value"),
        ("a." * 5000 + "a=1", "a.a.a."),
        ("steps.more=3", "steps.more=3: steps is a value, it has no keys"),
        ("steps=[", "steps=[:1: "),
        ("steps=!!python/name:os.system", "steps=!!python/name:os.system:1: tag"),
    ],
    ids=lambda text: text[:40],
)
def test_a_wrong_override_is_named_as_such(override: str, start: str, refusal: Callable[..., str]) -> None:
    message = refusal(REQUIRED + "steps: 5\nloss: {name: l1}\n", override)
    assert message.startswith(start)
    assert len(message) < 500


# ---- one mutation of a valid configuration --------------------------------------------------------------------------


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and section, as the keys and positions that lead there."""
    within = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in within:
        if isinstance(data, dict):
            yield (*path, key)
        if isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)):
            yield from paths_of(value, (*path, key))


PATHS = list(paths_of(COMPLETE))
# Wrong for every key of the schema.
WRONG: list[Any] = [{"a": 1}, [[]], -1, -(10**40), math.nan, math.inf, -0.5]


def parent_of(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        data = data[key]
    return data


def mutated(path: tuple[Any, ...], change: Callable[[dict[str, Any], str], object]) -> dict[str, Any]:
    data = copy.deepcopy(COMPLETE)
    change(parent_of(data, path), path[-1])
    return data


@settings(max_examples=100, deadline=None, derandomize=True)
@given(path=st.sampled_from(PATHS), wrong=st.sampled_from(WRONG))
def test_a_wrong_value_at_any_key_is_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], wrong: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "mutated.yaml"
    file.write_text(yaml.safe_dump(mutated(path, lambda parent, key: parent.update({key: wrong}))))
    with pytest.raises(UsageError) as refused:
        load(file, Experiment)
    named = [line for line in refused.value.lines if f": {'.'.join(map(str, path))}" in line]
    assert named
    assert all(line.startswith(f"{file}:") and line.isprintable() for line in refused.value.lines)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(path=st.sampled_from(PATHS), data=st.data())
def test_a_misspelt_key_anywhere_is_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(path[-1])))
    letter = data.draw(st.sampled_from("abxyz_0é-"))
    typo = path[-1][:position] + letter + path[-1][position:]
    file = tmp_path_factory.getbasetemp() / "misspelt.yaml"
    mutation = mutated(path, lambda parent, key: parent.update({typo: parent.pop(key)}))
    file.write_text(yaml.safe_dump(mutation, allow_unicode=True))
    with pytest.raises(UsageError) as refused:
        load(file, Experiment)
    section = ".".join(map(str, path[:-1]))
    key = f"{section}.{typo}" if section else typo
    if path[-1] == "name" and len(path) > 1:  # without its name a section cannot tell what it may hold
        assert f"{section}: lacks its `name`" in str(refused.value)
    else:
        assert f": {key}: unknown key. Did you mean {path[-1]!r}?" in str(refused.value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=st.text(max_size=60) | st.text("{}[]:,&*!|>'\"%@`#?-_.~e0123456789\n\t ax", max_size=60))
def test_any_text_is_read_or_refused_in_whole_lines(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "random.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    class Anything(Config):
        a: int = 0

    try:
        lines: tuple[str, ...] = (str(load(file, Anything)),)
    except UsageError as error:
        lines = error.lines
    assert lines
    assert all(line.isprintable() for line in lines)


# ---- the real command -----------------------------------------------------------------------------------------------


def test_the_command_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    cases = {
        "typo.yaml": (REQUIRED + "stps: 3\n", [], "typo.yaml:3: stps: unknown key. Did you mean 'steps'?"),
        "two\nlines.yaml": (REQUIRED, ["steps=[\n"], "steps=[\\n:2: expected the node content"),
    }
    commands = {}
    for name, (content, overrides, _) in cases.items():
        (tmp_path / name).write_text(content)
        arguments = [sys.executable, "-m", "competition.train", str(tmp_path / name), *overrides]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        commands[name] = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
        )
    for name, command in commands.items():
        output, errors = command.communicate(timeout=120)
        assert command.returncode == 2, errors
        assert output == ""
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert cases[name][2] in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(cases)
