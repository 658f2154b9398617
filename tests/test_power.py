"""The power fails after every change: whatever the disk had not promised to keep is gone, and training still goes on.

A file that was not synced holds all, half or none of its bytes, or zeros; of the names made, changed and deleted in a
folder since it was synced, any are on the disk, in any order.
"""

import contextlib
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import small_run
import torch
from faults import Change, Crash, Disk

from competition import checkpoints
from competition.files import sha256, write_atomic

LAST = 10  # five saves, three of them delete an older state
Tree = dict[str, bytes | None]  # by path; None is a folder


@dataclass(eq=False)
class File:
    """Bytes as programs see them, and how many of them the disk keeps."""

    content: bytes = b""
    synced: bool = False

    def left(self, form: str) -> bytes:
        """What may be left of it."""
        if self.synced or form == "whole":
            return self.content
        return {"empty": b"", "zeros": bytes(len(self.content)), "half": self.content[: len(self.content) // 2]}[form]


@dataclass(eq=False)
class Folder:
    """Names as programs see them, those the disk keeps, and the changes in between."""

    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    kept: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def change(self, names: "dict[str, File | Folder | None]") -> None:
        """Give names another meaning, or none, at once."""
        self.pending.append(names)
        _set(self.entries, names)


def _set(entries: dict[str, File | Folder], names: dict[str, File | Folder | None]) -> None:
    for name, node in names.items():
        entries.pop(name, None)
        if node is not None:
            entries[name] = node


class Model:
    """A disk that remembers what it has promised to keep."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()

    def find(self, path: Path) -> File | Folder:
        """What programs see under a path."""
        node: File | Folder = self.top
        for name in path.relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.entries[name]
        return node

    def apply(self, change: Change) -> None:
        """Make a change; only `fsync` promises anything."""
        kind, path, source, content = change
        parent = self.find(path.parent) if path != self.root else None
        assert parent is None or isinstance(parent, Folder)
        match kind:
            case "mkdir":
                parent.change({path.name: Folder()})
            case "create":
                parent.change({path.name: File()})
            case "write":
                file = self.find(path)
                file.content, file.synced = file.content + content, False
            case "rename":
                parent.change({source.name: None, path.name: parent.entries[source.name]})
            case "unlink" | "rmdir":
                parent.change({path.name: None})
            case "fsync":
                node = self.find(path)
                if isinstance(node, File):
                    node.synced = True
                else:
                    node.kept, node.pending = dict(node.entries), []

    def after_power_loss(self, choose: random.Random, form: str | None, share: float) -> Tree:
        """One of the trees that may be left: of the pending changes about a `share`, files in one form or in any."""
        tree: Tree = {}
        self._collect(self.top, "", tree, choose, form, share)
        return tree

    def _collect(
        self, folder: Folder, prefix: str, tree: Tree, choose: random.Random, form: str | None, share: float
    ) -> None:
        entries = dict(folder.kept)
        done = [change for change in folder.pending if choose.random() < share]
        if form is None:
            choose.shuffle(done)
        for change in done:
            _set(entries, change)
        for name, node in entries.items():
            if isinstance(node, Folder):
                tree[prefix + name] = None
                self._collect(node, f"{prefix}{name}/", tree, choose, form, share)
            else:
                tree[prefix + name] = node.left(form or choose.choice(["whole", "empty", "zeros", "half"]))


def write_tree(folder: Path, tree: Tree) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir(exist_ok=True)
        else:
            (folder / path).write_bytes(content)


class Recorded:
    """A run's changes, what was safe after how many of them, and its weights by step."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int | None = None) -> None:
        """With `killed_at`, a first process dies before that change and a second one goes on."""
        root.mkdir()
        self.root, self.run = root, root / "run"
        self.changes: list[Change] = []
        self.states: list[tuple[int, int]] = [(0, 0)]
        self.bests: list[tuple[int, str]] = []
        if killed_at is not None:
            with pytest.raises(Crash):
                self._go_on(monkeypatch, Disk(_die, killed_at, within=str(root)))
        self._go_on(monkeypatch, Disk(within=str(root)))
        self.outcome = small_run.outcome(self.run)

    def _go_on(self, monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
        before = len(self.changes)

        def safe(what: str, step: int) -> None:
            if what == "state":
                self.states.append((before + len(disk.changes), step))
            else:
                self.bests.append((before + len(disk.changes), sha256(self.run / "best.safetensors")))

        with monkeypatch.context() as patch:
            disk.install(patch)
            try:
                small_run.go_on(self.run, LAST, safe)
            finally:
                self.changes += disk.changes[: disk.at] if disk.dead else disk.changes

    def check(self, folder: Path, made: int, to_the_end: bool) -> None:
        """What was safe after so many changes is there and whole."""
        run = folder / "run"
        training = small_run.begin()
        resumed = checkpoints.load_newest(run / "checkpoints", training, small_run.conditions())
        assert resumed.step >= max(step for when, step in self.states if when <= made)
        assert resumed.warnings == []  # what has a name is whole, or older than what is loaded
        assert torch.equal(training.model.weight, weights_at(resumed.step))
        safe = [digest for when, digest in self.bests if when <= made]
        coming = [digest for when, digest in self.bests if when > made]
        best = run / "best.safetensors"
        assert (sha256(best) in {*safe[-1:], *coming[:1]}) if best.exists() else not safe
        if to_the_end:
            small_run.go_on(run, LAST)
            assert small_run.outcome(run) == self.outcome


def _die(act, arguments, kind):
    raise Crash


_weights: list[torch.Tensor] = []


def weights_at(step: int) -> torch.Tensor:
    """The network's weights after so many steps without any fault."""
    if not _weights:
        training = small_run.begin()
        for number in range(LAST):
            _weights.append(training.model.weight.detach().clone())
            small_run.advance(training, number)
        _weights.append(training.model.weight.detach().clone())
    return _weights[step]


def trees(recorded: Recorded, choose: random.Random, count: int) -> Iterator[tuple[int, Tree]]:
    """For every number of changes made, up to `count` different trees that a power loss may leave."""
    model = Model(recorded.root)
    for made in range(len(recorded.changes) + 1):
        # The extremes first: nothing that was not promised, everything, and either with each form of the files.
        plans = [(form, share) for form in ("empty", "zeros", "half", "whole") for share in (0.0, 1.0)]
        plans += [(choose.choice(["empty", "zeros", "half", None, None, None]), choose.random()) for _ in range(count)]
        seen = set()
        for form, share in plans:
            tree = model.after_power_loss(choose, form, share)
            key = tuple(sorted(tree.items()))
            if key not in seen and len(seen) < count:
                seen.add(key)
                yield made, tree
        if made < len(recorded.changes):
            model.apply(recorded.changes[made])


@pytest.mark.parametrize(
    ("every", "count"), [pytest.param(False, 5, id="some"), pytest.param(True, 25, id="many", marks=pytest.mark.slow)]
)
def test_a_power_loss_after_any_change_loses_nothing_that_was_safe(
    in_memory, monkeypatch, seed, every: bool, count: int
):
    choose = random.Random(seed)
    whole = Recorded(in_memory / "whole", monkeypatch)
    changes = range(len(whole.changes))
    runs = [whole]
    for killed_at in changes if every else [choose.choice(changes)]:
        runs.append(Recorded(in_memory / f"killed{killed_at}", monkeypatch, killed_at))
    checked = 0
    for recorded in runs:
        for made, tree in trees(recorded, choose, count if recorded is whole else max(2, count // 5)):
            write_tree(in_memory / "left", tree)
            try:
                recorded.check(in_memory / "left", made, to_the_end=checked % 50 == 0)
            except BaseException:
                print(made, recorded.changes[max(0, made - 5) : made], *tree, sep="\n")
                raise
            checked += 1
    print(f"{checked} states of the disk")


def test_folders_of_a_killed_process_are_kept_with_what_the_next_one_puts_there(in_memory, monkeypatch):
    lost = []
    for killed_at in range(6):  # three folders are made, each synced
        root = in_memory / str(killed_at)
        root.mkdir()
        first, second = Disk(_die, killed_at, within=str(root)), Disk(within=str(root))
        for disk in (first, second):
            with monkeypatch.context() as patch, contextlib.suppress(Crash):
                disk.install(patch)
                write_atomic(root / "runs" / "mine" / "checkpoints" / "file", b"content")
        assert first.dead
        assert not second.dead
        model = Model(root)
        for change in first.changes[:killed_at] + second.changes:
            model.apply(change)
        if model.after_power_loss(random.Random(0), "empty", 0.0).get("runs/mine/checkpoints/file") != b"content":
            lost.append(killed_at)
    assert lost == []
