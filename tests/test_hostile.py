"""Hostile and damaged weights files: refused in one line, nothing of them run, whatever their bytes."""

import contextlib
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import torch
from hostile_weights import LIVE, MALFORMED, MISDESCRIBED, MODEL, TENSORS, State, safetensors_of, saved

from competition import weights
from competition.errors import BadCheckpoint
from competition.files import sha256
from competition.pretrained import fetch, state_for
from competition.published import Entry

Make = Callable[[State], bytes]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return dict(MODEL.build().state_dict())


# ---- the three doors ------------------------------------------------------------------------------------------------


def start_from(path: Path) -> None:
    """What training does with `pretrained`."""
    weights.load_state(MODEL.build(), state_for(str(path), MODEL), str(path))


def convert(path: Path) -> None:
    """What `make pretrained` does with a file that was verified."""
    entry = Entry("small", MODEL, "MIT", "a test", sha256=sha256(path))
    fetch(entry, path.with_name("kept"), path)


def infer(path: Path) -> None:
    weights.build_network(path)


def refusal(door: Callable[[Path], None], path: Path) -> str:
    """The one line with which a file is refused; it ends the command with status 4."""
    with pytest.raises(BadCheckpoint) as refused:
        door(path)
    assert refused.value.code == 4
    (line,) = refused.value.lines
    assert line.isprintable() and len(line) < 600 and "weights_only" not in line
    return line


# ---- what happens meanwhile -----------------------------------------------------------------------------------------

RISKY = (
    *("os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.link"),
    *("os.symlink", "os.truncate", "os.chmod", "subprocess.", "socket.", "ctypes.dlopen", "shutil.", "urllib."),
    *("pty.", "exec-file", "open-to-write"),
)
_log: list[IO[bytes]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _log:
        return
    if event == "open" and isinstance(arguments[2], int):
        event = "open-to-write" if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else event
    if event.startswith(RISKY):
        os.write(_log[0].fileno(), f"{event} {arguments}\n".encode())


@pytest.fixture(scope="session")
def _audited() -> None:
    sys.addaudithook(_note)


@contextlib.contextmanager
def nothing_happens(folder: Path) -> Iterator[None]:
    """No process, socket or file is made, in this process or its children, and memory grows by less than 300 MB."""
    before, held = sorted(folder.rglob("*")), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryFile(buffering=0) as log:
        _log.append(log)
        try:
            yield
        finally:
            _log.clear()
        log.seek(0)
        assert log.read() == b""
    assert sorted(folder.rglob("*")) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 300_000


# ---- refused --------------------------------------------------------------------------------------------------------


def test_the_corpus_is_large() -> None:
    assert len(LIVE) + len(MALFORMED) >= 120 and len(TENSORS) + len(MISDESCRIBED) >= 60


@pytest.mark.parametrize("kind", LIVE)
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(
    kind: str, state: State, tmp_path: Path, deadline: None, _audited: None
) -> None:
    marker, path = tmp_path / "marker", tmp_path / "given.pth"
    path.write_bytes(LIVE[kind](marker, state))
    for door in (start_from, convert):
        with nothing_happens(tmp_path):
            assert "not a dictionary of tensors" in refusal(door, path)
    assert not os.path.lexists(marker)
    # The file is live: only the safe reader keeps it from making its marker.
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert os.path.lexists(marker)


def test_the_watch_sees_what_a_child_does(tmp_path: Path, state: State, _audited: None) -> None:
    path = tmp_path / "given.pth"
    path.write_bytes(LIVE["os.mkdir"](tmp_path / "marker", state))
    with pytest.raises(AssertionError, match=r"os\.mkdir"), nothing_happens(tmp_path):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(Exception):
                torch.load(path, weights_only=False)
            os._exit(0)
        os.waitpid(child, 0)


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_pth_is_refused(kind: str, state: State, tmp_path: Path, deadline: None, _audited: None) -> None:
    make, words = MALFORMED[kind]
    check(make(state), words, tmp_path / "given.pth", start_from)


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("door", [start_from, infer])
def test_a_malformed_safetensors_is_refused(
    door: Callable[[Path], None], kind: str, state: State, tmp_path: Path, deadline: None, _audited: None
) -> None:
    make, words = TENSORS[kind]
    check(make(state), words, tmp_path / "given.safetensors", door)


@pytest.mark.parametrize("kind", MISDESCRIBED)
def test_weights_that_say_they_are_of_another_network_are_refused(
    kind: str, state: State, tmp_path: Path, deadline: None, _audited: None
) -> None:
    make, words = MISDESCRIBED[kind]
    check(make(state), words, tmp_path / "given.safetensors", infer)


def check(content: bytes, words: str, path: Path, door: Callable[[Path], None]) -> None:
    path.write_bytes(content)
    with nothing_happens(path.parent):
        line = refusal(door, path)
    assert re.search(words, line), line


def test_commands_end_with_one_line_and_status_4(state: State, tmp_path: Path) -> None:
    for name in ("endlessly deep key", "compressed"):
        path = tmp_path / "given.pth"
        path.write_bytes(MALFORMED[name][0](state))
        options = f"--file={path}", f"--folder={tmp_path / 'kept'}", f"--trust-sha256={sha256(path)}"
        command = [sys.executable, "-m", "competition.pretrained", "RRDB_PSNR_x4", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 4 and not done.stdout, done
        assert done.stderr.startswith(f"error: {path}: ") and done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(tmp_path) == ["given.pth"]


# ---- the reader's own process ---------------------------------------------------------------------------------------


def test_no_process_is_left_behind(state: State, tmp_path: Path) -> None:
    path = tmp_path / "given.pth"
    before = set(psutil.Process().children())
    for content in (saved(state), saved(1), MALFORMED["endlessly deep key"][0](state)):
        path.write_bytes(content)
        with contextlib.suppress(BadCheckpoint):
            start_from(path)
        assert not multiprocessing.active_children()
    assert set(psutil.Process().children()) <= before  # dead ones that nobody has waited for too


def test_tensors_come_back_after_this_process_has_used_its_threads(tmp_path: Path) -> None:
    """A forked process that expected the threads of its parent would wait for ever."""
    script = f"""
import torch
from competition.models.rrdbnet import RRDBNetConfig
from competition.pretrained import state_for
torch.set_num_threads(4)
network = RRDBNetConfig(num_feat=64, num_block=1).build()
network(torch.rand(1, 3, 32, 32)).mean().backward()
torch.save(network.half().state_dict(), {str(tmp_path / "given.pth")!r})
state = state_for({str(tmp_path / "given.pth")!r}, RRDBNetConfig(num_feat=64, num_block=1))
assert all(torch.equal(state[name], tensor.float()) for name, tensor in network.state_dict().items())
assert torch.get_num_threads() == 4
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# ---- random damage --------------------------------------------------------------------------------------------------


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes after one to four flips, cuts, moves, fills or insertions."""
    changed = bytearray(content)
    # Structure lies at both ends, numbers between them: half of the damage goes to the ends.
    edge = 4000
    for _ in range(chance.randint(1, 4)):
        size = len(changed)
        near = chance.choice([chance.randrange(size), chance.randrange(edge), size - 1 - chance.randrange(edge)])
        at, length = min(max(near, 0), size - 1), chance.choice([1, 4, 16, 1000])
        match chance.choice(["flip", "byte", "cut", "remove", "move", "zeros", "insert", "repeat"]):
            case "flip":
                changed[at] ^= 1 << chance.randrange(8)
            case "byte":
                changed[at] = chance.randrange(256)
            case "cut":
                del changed[max(at, 1) :]
            case "remove":
                del changed[at : min(at + length, size - 1)]
            case "move":
                other = chance.randrange(size)
                changed[at : at + length] = changed[other : other + length]
            case "zeros":
                changed[at : at + length] = bytes(min(length, size - at))
            case "insert":
                changed[at:at] = chance.randbytes(length)
            case "repeat":
                changed[at:at] = changed[at : at + length]
    return bytes(changed)


COUNTS = [pytest.param(100, id="100"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
VALID: dict[str, tuple[Make, Callable[[Path], None]]] = {
    "given.pth": (saved, start_from),
    "legacy.pth": (lambda state: saved(state, zipped=False), start_from),
    "train.safetensors": (safetensors_of, start_from),
    "infer.safetensors": (safetensors_of, infer),
}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", VALID)
def test_damaged_bytes_are_read_or_refused(name: str, count: int, state: State, tmp_path: Path, _audited: None) -> None:
    make, door = VALID[name]
    content, path = make(state), tmp_path / name
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, refused = random.Random(seed), 0
    path.touch()
    for _ in range(count):
        path.write_bytes(mutated(content, chance))
        with nothing_happens(tmp_path):
            try:
                door(path)
            except BadCheckpoint as error:
                refused += 1
                # One line, or one for each wrong key of a description, such as `model` changed to `moden`.
                assert error.lines and all(line.startswith(f"{path}: ") for line in error.lines), error.lines
    print(f"{refused} of {count} refused")
    assert refused > count / 2
