"""Training states damaged after they were saved: every damage is found and named, and the state before it is used."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from small_run import advance, begin, conditions, describe
from torch import Tensor

from competition import checkpoints
from competition.states import Training

OLDER, NEWEST = "step_000000009", "step_000000012"
FILES = ("MANIFEST.json", "model.safetensors", "optim.safetensors", "state.json")
Files = dict[str, bytes]


def trained(step: int) -> Training:
    """A training after two of its steps."""
    training = begin()
    advance(training, step)
    advance(training, step + 1)
    return training


def tensors(training: Training) -> list[Tensor]:
    """Everything a state holds."""
    moments = [state[key] for state in training.optimizer.state.values() for key in sorted(state)]
    return [*training.model.state_dict().values(), *training.ema.state_dict().values(), *moments]


def same(found: Training, expected: Training) -> bool:
    pairs = zip(tensors(found), tensors(expected), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def save(folder: Path, training: Training, step: int) -> None:
    checkpoints.save(folder, training, describe(step), conditions())


def resume(states: Path) -> tuple[int, list[str], Training]:
    """The step, the warnings and the training of a resume."""
    training = begin()
    resumed = checkpoints.load_newest(states, training, conditions())
    return resumed.step, resumed.warnings, training


def put(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def contents(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def older() -> Training:
    return trained(9)


@pytest.fixture
def newest() -> Training:
    return trained(12)


@pytest.fixture
def states(tmp_path: Path, older: Training, newest: Training) -> Path:
    """A folder with the states of the steps 9 and 12."""
    save(tmp_path / "checkpoints", older, 9)
    save(tmp_path / "checkpoints", newest, 12)
    return tmp_path / "checkpoints"


def skipped(states: Path, older: Training) -> str:
    """The one line with which the newest state is skipped; the older one is loaded to its last bit."""
    step, warnings, training = resume(states)
    assert step == 9, warnings
    (line,) = warnings
    assert line.startswith(str(states / NEWEST)) and line.endswith(". It is skipped") and line.isprintable(), line
    assert same(training, older)
    return line


def test_whole_states_are_loaded_newest_first(states: Path, older: Training, newest: Training) -> None:
    step, warnings, training = resume(states)
    assert (step, warnings) == (12, []) and same(training, newest)
    shutil.rmtree(states / NEWEST)
    step, warnings, training = resume(states)
    assert (step, warnings) == (9, []) and same(training, older)


# ---- random damage --------------------------------------------------------------------------------------------------

Damage = Callable[[bytes, random.Random], bytes]
TO_A_FILE: dict[str, Damage] = {
    "flip": lambda content, chance: flipped(content, chance.randrange(len(content)), 1 << chance.randrange(8)),
    "byte": lambda content, chance: flipped(content, chance.randrange(len(content)), chance.randrange(1, 256)),
    "truncate": lambda content, chance: content[: chance.randrange(len(content))],
    "zero-filled tail": lambda content, chance: zeroed(content, chance.randrange(len(content)), len(content)),
    "zero-filled page": lambda content, chance: zeroed(content, start := chance.randrange(len(content)), start + 512),
    "longer": lambda content, chance: content + b"\0" + chance.randbytes(chance.randrange(600)),
    "bytes moved": lambda content, chance: moved(content, chance),
    "bytes lost": lambda content, chance: content[: (cut := chance.randrange(len(content)))] + content[cut + 1 :],
}


def flipped(content: bytes, at: int, bits: int) -> bytes:
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


def zeroed(content: bytes, start: int, end: int) -> bytes:
    return content[:start] + bytes(len(content[start:end])) + content[end:]


def moved(content: bytes, chance: random.Random) -> bytes:
    one, other = sorted(chance.randrange(len(content)) for _ in range(2))
    return content[other:] + content[one:other] + content[:one]


def damaged(files: Files, others: Files, chance: random.Random) -> tuple[str, Files]:
    """What was done, and the files of a state after it."""
    name = chance.choice(FILES)
    kind = chance.choice([*TO_A_FILE, "swap", "several swapped", "missing", "extra", "renamed", "two files exchanged"])
    changed = dict(files)
    match kind:
        case "swap":
            changed[name] = others[name]
        case "several swapped":
            changed |= {each: others[each] for each in chance.sample(FILES, chance.randint(1, 3))}
        case "missing":
            del changed[name]
        case "extra":
            changed[chance.choice([".DS_Store", "model.safetensors.part", "step_000000013", "extra"])] = b""
        case "renamed":
            changed[chance.choice([name.upper() + "_", f"{name}~", f" {name}"])] = changed.pop(name)
        case "two files exchanged":
            other = chance.choice([each for each in FILES if each != name])
            changed[name], changed[other] = files[other], files[name]
        case _:
            changed[name] = TO_A_FILE[kind](files[name], chance)
    return f"{kind} {name}", changed


def meaning(files: Files) -> dict[str, object]:
    try:
        return {**files, "MANIFEST.json": json.loads(files["MANIFEST.json"])}
    except (KeyError, ValueError):
        return {**files}


def damages(files: Files, others: Files, chance: random.Random, count: int) -> Iterator[tuple[str, Files]]:
    while count:
        what, changed = damaged(files, others, chance)
        if meaning(changed) != meaning(files):  # a tail may have been zero before, a lost byte a blank of the manifest
            count -= 1
            yield what, changed


@pytest.mark.parametrize(
    "count", [pytest.param(200, id="200"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
)
def test_random_damage_is_found_and_the_state_before_it_used(
    count: int, states: Path, older: Training, newest: Training
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    whole = contents(states / NEWEST)
    for what, files in damages(whole, contents(states / OLDER), random.Random(seed), count):
        print(what)
        put(states / NEWEST, files)
        skipped(states, older)
    put(states / NEWEST, whole)
    step, warnings, training = resume(states)
    assert (step, warnings) == (12, []) and same(training, newest)


def test_every_byte_of_the_manifest_counts(states: Path, older: Training) -> None:
    manifest = states / NEWEST / "MANIFEST.json"
    content = manifest.read_bytes()
    for at in range(len(content)):
        manifest.write_bytes(flipped(content, at, 1 << at % 8))
        skipped(states, older)


# ---- damage by hand -------------------------------------------------------------------------------------------------


def with_manifest(change: Callable[[dict[str, dict[str, object]]], object]) -> Callable[[Path], None]:
    def damage(state: Path) -> None:
        manifest = json.loads((state / "MANIFEST.json").read_text())
        changed = change(manifest)
        (state / "MANIFEST.json").write_text(json.dumps(manifest if changed is None else changed))

    return damage


def with_text(text: str) -> Callable[[Path], None]:
    return lambda state: (state / "MANIFEST.json").write_text(text) and None


def replaced_by(make: Callable[[Path], object], name: str) -> Callable[[Path], None]:
    def damage(state: Path) -> None:
        (state / name).unlink()
        make(state / name)

    return damage


def emptied(state: Path) -> None:
    put(state, {})


def become_a_file(state: Path) -> None:
    shutil.rmtree(state)
    state.write_text("not a folder")


MANIFEST_OF_ANOTHER_KIND = "which its manifest does not list"
BY_HAND: dict[str, tuple[Callable[[Path], object], str]] = {
    "the other step's folder": (lambda state: put(state, contents(state.with_name(OLDER))), "is the state of step 9"),
    "no file": (emptied, "holds nothing"),
    "a file for the folder": (become_a_file, "cannot be read"),
    "manifest is a list": (with_manifest(list), MANIFEST_OF_ANOTHER_KIND),
    "manifest is empty": (with_manifest(lambda manifest: {}), MANIFEST_OF_ANOTHER_KIND),
    "manifest is null": (with_text("null"), MANIFEST_OF_ANOTHER_KIND),
    "manifest without end": (with_text("[" * 1_000_000), "cannot be read"),
    "manifest of a huge number": (with_text('{"a": ' + "1" * 10_000 + "}"), "cannot be read"),
    "manifest of names alone": (with_manifest(dict.fromkeys), "damaged"),
    "manifest without sizes": (
        with_manifest(lambda manifest: {name: {"sha256": entry["sha256"]} for name, entry in manifest.items()}),
        "damaged",
    ),
    "manifest of words for sizes": (with_manifest(lambda m: m["state.json"].update(size="40")), "damaged"),
    "manifest of a file elsewhere": (
        with_manifest(lambda m: m.update({"../step_000000009/state.json": m["state.json"]})),
        MANIFEST_OF_ANOTHER_KIND,
    ),
    "manifest without a file": (with_manifest(lambda m: m.pop("state.json") and None), MANIFEST_OF_ANOTHER_KIND),
    "manifest is a pipe": (replaced_by(os.mkfifo, "MANIFEST.json"), MANIFEST_OF_ANOTHER_KIND),
    "manifest is a folder": (replaced_by(Path.mkdir, "MANIFEST.json"), MANIFEST_OF_ANOTHER_KIND),
    "weights are a pipe": (replaced_by(os.mkfifo, "model.safetensors"), "damaged"),
    "weights are a folder": (replaced_by(Path.mkdir, "model.safetensors"), "damaged"),
    "weights are a link to nowhere": (
        replaced_by(lambda path: path.symlink_to("gone"), "model.safetensors"),
        "damaged",
    ),
    "weights are a link to themselves": (
        replaced_by(lambda path: path.symlink_to(path.name), "model.safetensors"),
        "damaged|cannot be read",
    ),
    "an extra folder": (lambda state: (state / "extra").mkdir(), MANIFEST_OF_ANOTHER_KIND),
    "an extra pipe": (lambda state: os.mkfifo(state / "extra"), MANIFEST_OF_ANOTHER_KIND),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_damage_by_hand_is_found(kind: str, states: Path, older: Training, deadline: None) -> None:
    damage, words = BY_HAND[kind]
    damage(states / NEWEST)
    assert re.search(words, skipped(states, older))


@pytest.mark.parametrize("kind", BY_HAND)
def test_the_damaged_step_can_be_saved_again(kind: str, states: Path, newest: Training, deadline: None) -> None:
    BY_HAND[kind][0](states / NEWEST)
    save(states, newest, 12)
    step, warnings, training = resume(states)
    assert (step, warnings) == (12, []) and same(training, newest)
    assert sorted(os.listdir(states)) == [OLDER, NEWEST]


def test_without_a_whole_state_training_begins_anew_and_both_are_named(states: Path) -> None:
    for name in (OLDER, NEWEST):
        (states / name / "optim.safetensors").unlink()
    step, warnings, training = resume(states)
    assert step == 0 and same(training, begin())
    assert [line.partition(":")[0] for line in warnings] == [str(states / NEWEST), str(states / OLDER)]


def test_an_older_state_is_not_even_looked_at(states: Path) -> None:
    emptied(states / OLDER)
    assert resume(states)[:2] == (12, [])


def test_a_renamed_copy_is_neither_used_nor_counted_as_kept(states: Path, newest: Training) -> None:
    shutil.copytree(states / OLDER, states / "step_000000099")
    step, (line,), _ = resume(states)
    assert step == 12 and "step_000000099: is the state of step 9. It is skipped" in line
    save(states, newest, 15)
    assert sorted(os.listdir(states)) == [NEWEST, "step_000000015", "step_000000099"]
