"""Published weights: download, verification, refusal of hostile files, names of ESRGAN, and the command line."""

import ast
import functools
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_weights import LIVE, MODEL, State, saved

import competition
from competition import download, weights
from competition.errors import BadCheckpoint, UsageError
from competition.models.rrdbnet import RRDBNet, RRDBNetConfig
from competition.pretrained import fetch, locate, state_for
from competition.published import KNOWN, Entry


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def network() -> RRDBNet:
    torch.manual_seed(0)
    return MODEL.build().eval()


@pytest.fixture
def state(network: RRDBNet) -> State:
    return dict(network.state_dict())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry_for(content: bytes, url: str | None = None, known: bool = True) -> Entry:
    return Entry("small", MODEL, "MIT", "a test", url=url, sha256=digest(content) if known else None)


def convert(content: bytes, folder: Path) -> Path:
    """Fetch from a local file."""
    file = folder / "given.pth"
    file.write_bytes(content)
    return fetch(entry_for(content), folder / "kept", file)


# ---- a server that can be told to misbehave -------------------------------------------------------------------------


class Server:
    """Serves `content`; notes the path and the Range header of every request."""

    def __init__(self) -> None:
        self.content = b""
        self.ranges = True
        self.cuts: list[int] = []  # bytes after which the first connections are cut
        self.requests: list[tuple[str, str | None]] = []
        serve = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                serve.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.url = f"{self.address}/small.pth"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.requests.append((request.path, wanted))
        if not request.path.endswith("/small.pth"):
            return request.send_error(404)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        size = len(self.content)
        if start >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
        else:
            request.send_response(206 if wanted and self.ranges else 200)
            if wanted and self.ranges:
                request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            request.send_header("Content-Length", str(size - start))
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def server(state: State) -> Iterator[Server]:
    server = Server()
    server.content = saved({"params": state})
    yield server
    server.http.shutdown()
    server.http.server_close()


def closed_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- download -------------------------------------------------------------------------------------------------------


def test_download_is_converted_once(server: Server, state: State, tmp_path: Path) -> None:
    entry = entry_for(server.content, server.url)
    path = fetch(entry, tmp_path / "kept")
    content = weights.read(path)
    assert content.description.model == MODEL and content.ema == {}
    assert content.weights.keys() == state.keys()
    assert all(torch.equal(content.weights[name], tensor) for name, tensor in state.items())
    assert names(tmp_path / "kept") == {"small.safetensors"}
    assert fetch(entry, tmp_path / "kept") == path
    assert server.requests == [("/small.pth", None)]


def test_a_cut_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = [20_000, 10_000]
    cut = fetch(entry_for(server.content, server.url), tmp_path / "cut")
    assert [wanted for _, wanted in server.requests] == [None, "bytes=20000-", "bytes=30000-"]
    whole = fetch(entry_for(server.content, server.url), tmp_path / "whole")
    assert cut.read_bytes() == whole.read_bytes()


def test_a_part_of_an_earlier_call_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.pth.part").write_bytes(server.content[:1234])
    fetch(entry_for(server.content, server.url), tmp_path)
    assert server.requests == [("/small.pth", "bytes=1234-")]


@pytest.mark.parametrize("cut", [True, False])
def test_a_server_without_ranges_starts_again(cut: bool, server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [20_000] if cut else []
    (tmp_path / "small.pth.part").write_bytes(b"old")
    fetch(entry_for(server.content, server.url), tmp_path)
    assert names(tmp_path) == {"small.safetensors"}


@pytest.mark.parametrize("excess", [b"", b"too long"])
def test_nothing_left_to_send(excess: bytes, server: Server, tmp_path: Path) -> None:
    (tmp_path / "small.pth.part").write_bytes(server.content + excess)
    fetch(entry_for(server.content, server.url), tmp_path)
    assert len(server.requests) == (2 if excess else 1)


def test_a_server_that_never_gets_anywhere_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [20_000, 20_000]
    with pytest.raises(BadCheckpoint, match=r"cut off after 20,000 of [\d,]+ bytes.*put it into"):
        fetch(entry_for(server.content, server.url), tmp_path)
    assert names(tmp_path) == {"small.pth.part"}


def test_wrong_hash_is_refused_and_the_part_removed(server: Server, tmp_path: Path) -> None:
    entry = entry_for(b"another file", server.url)
    with pytest.raises(BadCheckpoint, match=f"SHA-256 is {digest(server.content)}, expected {entry.sha256}"):
        fetch(entry, tmp_path)
    assert names(tmp_path) == set()


def test_unknown_hash_is_named_and_then_trusted(server: Server, tmp_path: Path) -> None:
    entry = entry_for(server.content, server.url, known=False)
    found = digest(server.content)
    with pytest.raises(BadCheckpoint, match=f"--trust-sha256={found}"):
        fetch(entry, tmp_path)
    with pytest.raises(BadCheckpoint, match=f"SHA-256 is {found}, expected 00"):
        fetch(entry, tmp_path, trusted="00")
    assert names(tmp_path) == {"small.pth"}
    fetch(entry, tmp_path, trusted=found.upper())
    assert names(tmp_path) == {"small.safetensors"} and len(server.requests) == 1


def test_a_published_hash_cannot_be_replaced(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has a published SHA-256"):
        fetch(entry_for(b"another file", server.url), tmp_path, trusted=digest(server.content))


def test_mirror_replaces_what_comes_before_the_file_name(server: Server, tmp_path: Path) -> None:
    entry = entry_for(server.content, "https://nowhere.invalid/v1/small.pth")
    fetch(entry, tmp_path, mirror=f"{server.address}/weights/")
    assert server.requests == [("/weights/small.pth", None)]
    for address in ("file:///etc", "/srv/weights", "ftp://host"):
        with pytest.raises(UsageError, match="--mirror"):
            fetch(entry, tmp_path / "other", mirror=address)
    for address in ("http://[", "http://127.0.0.1:port", "http://a b"):
        with pytest.raises(BadCheckpoint, match="Run again, or get"):
            fetch(entry, tmp_path / "other", mirror=address)


def test_missing_on_the_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="404"):
        fetch(entry_for(server.content, f"{server.address}/gone.pth"), tmp_path)


def test_too_large(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    with pytest.raises(BadCheckpoint, match="larger than 1,000 bytes"):
        fetch(entry_for(server.content, server.url), tmp_path)
    assert names(tmp_path) == set()


def test_without_internet_a_file_put_into_the_folder_is_used(server: Server, tmp_path: Path) -> None:
    url = f"{closed_address()}/small.pth"
    with pytest.raises(BadCheckpoint) as caught:
        fetch(entry_for(server.content, url), tmp_path)
    assert len(caught.value.lines) == 1
    assert url in str(caught.value) and f"put it into {tmp_path} and run again" in str(caught.value)
    (tmp_path / "small.pth").write_bytes(b"not it")
    with pytest.raises(BadCheckpoint, match="expected"):
        fetch(entry_for(server.content, url), tmp_path)
    (tmp_path / "small.pth").write_bytes(server.content)
    fetch(entry_for(server.content, url), tmp_path)
    assert names(tmp_path) == {"small.safetensors"}


def test_a_given_file_is_verified_and_kept(server: Server, tmp_path: Path) -> None:
    given = tmp_path / "given.pth"
    with pytest.raises(UsageError, match="no such file"):
        fetch(entry_for(server.content, server.url), tmp_path / "kept", given)
    given.write_bytes(server.content + b"x")
    with pytest.raises(BadCheckpoint, match="expected"):
        fetch(entry_for(server.content, server.url), tmp_path / "kept", given)
    given.write_bytes(server.content)
    fetch(entry_for(server.content, server.url), tmp_path / "kept", given)
    assert given.exists() and names(tmp_path / "kept") == {"small.safetensors"} and not server.requests


@pytest.mark.parametrize("name", ["RRDB_PSNR_x4", "mini_x4"])
def test_no_direct_download_says_which_file_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=rf"Put {name}\.\w+ from .* into {tmp_path} and run again"):
        fetch(KNOWN[name], tmp_path)


def test_the_table() -> None:
    for name, entry in KNOWN.items():
        assert entry.name == name and entry.licence and entry.notes
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.by_hand if entry.url is None else entry.url.endswith(".pth")


# ---- names and layouts ----------------------------------------------------------------------------------------------


def second_names(name: str) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
    renamed = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    layer, _, parameter = name.partition(".")
    return f"{renamed.get(layer, layer)}.{parameter}"


def first_names(name: str) -> str:
    layers = {"conv_first": "0", "conv_body": f"1.sub.{MODEL.num_block}", "conv_up1": "3", "conv_up2": "6"}
    layers |= {"conv_hr": "8", "conv_last": "10"}
    name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0.", name)
    layer, _, parameter = name.partition(".")
    return f"model.{layers[layer]}.{parameter}" if layer in layers else name


def test_the_names_of_the_published_network() -> None:
    config = RRDBNetConfig(num_feat=1, num_block=23, num_grow_ch=1)
    old = set(config.build().state_dict())
    assert {second_names(name) for name in old} >= {"RRDB_trunk.22.RDB3.conv5.bias", "trunk_conv.weight", "HRconv.bias"}
    assert {first_names(name) for name in old} >= {"model.1.sub.22.RDB3.conv5.0.bias", "model.10.weight"}


LAYOUTS: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "ordered": lambda state: OrderedDict(state),
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params": {name: 0 * value for name, value in state.items()}, "params_ema": state},
    "module": lambda state: {"params": {f"module.{name}": value for name, value in state.items()}},
    "parameters": lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()},
    "channels last": lambda state: {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for name, value in state.items()
    },
    "first names": lambda state: {first_names(name): value for name, value in state.items()},
    "second names": lambda state: {second_names(name): value for name, value in state.items()},
    "module and first names": lambda state: {f"module.{first_names(name)}": value for name, value in state.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts_give_the_same_network(
    layout: str, zipped: bool, network: RRDBNet, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = convert(saved(LAYOUTS[layout](state), zipped), tmp_path)
    converted, description = weights.build_network(path)
    low = torch.rand(1, 3, 5, 7)
    with torch.no_grad():
        assert torch.equal(converted(low), network(low))
    assert description == weights.Description(model=MODEL)
    held = layout if layout.startswith("params") else "params" if layout == "module" else "the top level"
    assert f"72 of 72 tensors loaded, 0 of the file not used, taken from {held}\n" in capsys.readouterr().out
    direct = state_for(str(tmp_path / "given.pth"), MODEL)
    assert direct.keys() == state.keys() and all(torch.equal(direct[name], state[name]) for name in state)


def test_half_precision_becomes_float32(state: State, tmp_path: Path) -> None:
    convert(saved({name: value.half() for name, value in state.items()}), tmp_path)
    assert {value.dtype for value in state_for(str(tmp_path / "given.pth"), MODEL).values()} == {torch.float32}


# ---- refused --------------------------------------------------------------------------------------------------------


def test_the_environment_cannot_weaken_the_reader(state: State, tmp_path: Path) -> None:
    marker, file = tmp_path / "marker", tmp_path / "hostile.pth"
    for kind in ("nested", "legacy"):
        content = LIVE[kind](marker, state)
        file.write_bytes(content)
        done = command(
            ["RRDB_PSNR_x4", f"--file={file}", f"--trust-sha256={digest(content)}", f"--folder={tmp_path / 'kept'}"],
            TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1",
        )
        assert_one_error(done, 4)
        assert "it asks for eval" in done.stderr and not marker.exists() and not (tmp_path / "kept").exists()


UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "os.system", "os.popen", "torch.hub.load", "torch.jit.load", "numpy.load"}
UNSAFE_CALLS |= {"yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all"}


def test_every_reader_of_the_package_is_safe() -> None:
    for path in Path(competition.__file__).parent.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for node in tree:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not imported & UNSAFE_MODULES, path
            if isinstance(node, ast.Call):
                text, function = ast.unparse(node), ast.unparse(node.func)
                assert function not in UNSAFE_CALLS and "allow_pickle=True" not in text, path
                if function == "torch.load":
                    assert "weights_only=True" in text, path


def changed(**tensors: object) -> Callable[[State], object]:
    return lambda state: state | {name.replace("__", "."): value for name, value in tensors.items()}


class Hidden:
    """Pickles as an OrderedDict whose own attributes hide its methods."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return OrderedDict, (), {"items": 1, "keys": 1, "get": 1}, None, iter(self.state.items())


# What is wrong in a file that is read safely, and the words that say so.
WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "training state": (lambda state: {"model": state, "step": 1}, "model is not a plain tensor but dict"),
    "shape": (changed(conv_last__bias=torch.ones(4)), "fits 71 of 72 tensors. Missing: conv_last.bias"),
    "fewer blocks": (lambda state: {n: v for n, v in state.items() if "body.1." not in n}, "Missing: body.1.rdb1"),
    "twice": (lambda state: state | {"trunk_conv.bias": state["conv_body.bias"]}, "under two names"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_tensors_that_do_not_fit_are_refused(kind: str, state: State, tmp_path: Path) -> None:
    spoil, words = WRONG[kind]
    with pytest.raises(BadCheckpoint, match=words) as caught:
        convert(saved(spoil(state)), tmp_path)
    assert len(str(caught.value).splitlines()) == 1 and names(tmp_path) == {"given.pth"}


def test_hidden_methods_do_not_matter(state: State, tmp_path: Path) -> None:
    assert convert(saved({"params": Hidden(state)}), tmp_path).exists()


@pytest.mark.parametrize("size", [0, 1, 100, 30_000])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_refused(size: int, zipped: bool, state: State, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="not a dictionary of tensors"):
        convert(saved(state, zipped)[:size], tmp_path)


# ---- use ------------------------------------------------------------------------------------------------------------


def test_a_known_name_is_found_in_the_folder(
    network: RRDBNet, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPETITION_PRETRAINED", str(tmp_path))
    with pytest.raises(BadCheckpoint, match=r"missing\. Run make pretrained NAME=mini_x4"):
        state_for("mini_x4", MODEL)
    averaged = {name: value + 1 for name, value in state.items()}
    for ema in ({}, averaged):
        content = weights.Weights(state, ema, weights.Description(model=MODEL))
        (tmp_path / "mini_x4.safetensors").write_bytes(weights.encode(content))
        assert locate("mini_x4") == tmp_path / "mini_x4.safetensors"
        for source in ("mini_x4", str(tmp_path / "mini_x4.safetensors")):
            found = state_for(source, MODEL)
            assert found.keys() == state.keys()
            assert all(torch.equal(found[name], value) for name, value in (ema or state).items())


def test_an_unknown_source_names_the_nearest() -> None:
    for ask in (locate, functools.partial(state_for, model=MODEL)):
        with pytest.raises(UsageError, match=r"Did you mean 'RealESRGAN_x4plus'\? Allowed: RealESRNet_x4plus, "):
            ask("RealESRGAN_x4plu")


def command(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "competition.pretrained", *arguments],
        env={**os.environ, "no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_error(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


def test_command_without_a_name_lists_the_weights(tmp_path: Path) -> None:
    (tmp_path / "mini_x4.safetensors").touch()
    done = command([], COMPETITION_PRETRAINED=str(tmp_path))
    assert done.returncode == 0 and not done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert all(name in lines for name in KNOWN)
    assert lines["RealESRGAN_x4plus"][1:] == ["rrdbnet", "64/23/32", "x4", "BSD-3-Clause", "yes", "no"]
    assert lines["mini_x4"][-1] == "yes"


def test_command_with_an_unknown_name() -> None:
    done = command(["RealESRNet_x4pluss"])
    assert_one_error(done, 2)
    assert "Did you mean 'RealESRNet_x4plus'" in done.stderr


def test_command_without_a_connection(tmp_path: Path) -> None:
    mirror = closed_address()
    done = command(["RealESRGAN_x4plus", f"--folder={tmp_path}"], COMPETITION_MIRROR=mirror)
    assert_one_error(done, 4)
    assert f"{mirror}/RealESRGAN_x4plus.pth: [Errno 111] Connection refused" in done.stderr
    assert f"get RealESRGAN_x4plus.pth by other means, put it into {tmp_path} and run again" in done.stderr


def test_command_fetches_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "RRDB_PSNR_x4.pth"
    file.write_bytes(saved(KNOWN["RRDB_PSNR_x4"].model.build().state_dict()))
    arguments = ["RRDB_PSNR_x4", f"--folder={tmp_path}"]
    refused = command(arguments)
    assert_one_error(refused, 4)
    trust = re.findall(r"--trust-sha256=\w{64}", refused.stderr)
    done = command(arguments + trust)
    assert done.returncode == 0 and not done.stderr, done
    assert "702 of 702 tensors loaded" in done.stdout
    assert done.stdout.endswith(f"{tmp_path}/RRDB_PSNR_x4.safetensors: ready\n")
    assert names(tmp_path) == {"RRDB_PSNR_x4.safetensors"}
