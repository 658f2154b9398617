"""Weights files made to run code, to exhaust the machine or to pass for what they are not, made on the spot.

`LIVE` are pickles that make the file `marker` when an unsafe reader opens them; `MALFORMED` are other .pth files,
`TENSORS` and `MISDESCRIBED` safetensors files, each beside words of its refusal.
"""

import code
import collections
import ctypes
import functools
import importlib
import io
import json
import operator
import os
import pickle
import pickletools
import pydoc
import runpy
import shutil
import struct
import subprocess
import tarfile
import time
import timeit
import urllib.request
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from competition import weights
from competition.models.rrdbnet import RRDBNetConfig

MODEL = RRDBNetConfig(num_feat=8, num_block=2, num_grow_ch=4)
State = dict[str, Tensor]


def saved(content: object, zipped: bool = True) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


class Call:
    """Pickles as the call of a function; it can itself be the function of another one."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __call__(self) -> None:
        """Only what is callable is pickled as a function."""

    def __reduce__(self) -> Any:
        return self.call


def storage() -> Any:
    """Three numbers as torch.save wants them."""
    numbers = torch.ones(3).untyped_storage()
    return torch.storage.TypedStorage(  # type: ignore[no-untyped-call]
        wrap_storage=numbers, dtype=torch.float32, _internal=True
    )


class Reduced:
    """Pickles as the given parts: function, arguments, state, list items, dictionary items, setter of the state."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return self.parts


def archive(pickled: bytes, records: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as of torch.save around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as content:
        content.writestr("archive/data.pkl", pickled)
        for name, data in {"byteorder": b"little", "version": b"3\n", **(records or {})}.items():
            content.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def rewritten(content: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """A zip with every record passed through `change`; None leaves it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            if (data := change(name, source.read(name))) is not None:
                target.writestr(name, data)
    return buffer.getvalue()


def tar_of(*pickles: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in zip(("storages", "tensors", "pickle"), pickles, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# ---- pickles that run code ------------------------------------------------------------------------------------------


def touch(marker: Path) -> str:
    """Python that makes the marker."""
    return f"open({str(marker)!r}, 'w')"


def shell(marker: Path) -> str:
    return f"touch {marker}"


def run(marker: Path) -> Call:
    return Call(eval, touch(marker))


def attribute(module: str, *names: str) -> Any:
    """A chain of getattr from an imported module."""
    found: Any = Call(importlib.import_module, module)
    for name in names:
        found = Call(getattr, found, name)
    return found


def with_hub(marker: Path) -> bytes:
    folder = marker.with_name("hub")
    folder.mkdir(exist_ok=True)
    (folder / "hubconf.py").write_text(f"def network():\n    {touch(marker)}\n")
    return saved(Call(functools.partial(torch.hub.load, source="local", verbose=False), str(folder), "network"))


def with_script(marker: Path) -> bytes:
    script = marker.with_name("script.py")
    script.write_text(touch(marker))
    return saved(Call(runpy.run_path, str(script)))


def legacy(marker: Path, hostile: int) -> bytes:
    """The five pickles of torch.save's first format, one of them hostile."""
    parts: list[object] = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}, []]
    parts[hostile] = run(marker)
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def persistent(marker: Path) -> bytes:
    """The call hides in the address of a tensor's storage."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: object) -> object:
            if isinstance(thing, torch.UntypedStorage):
                return "storage", torch.FloatStorage, run(marker), "cpu", 1
            return None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"conv_last.bias": torch.UntypedStorage(4)})
    return archive(buffer.getvalue(), {"data/0": bytes(4)})


def as_text(marker: Path) -> bytes:
    return f"cposix\nsystem\n(S'{shell(marker)}'\ntR.".encode()


LIVE: dict[str, Callable[[Path, State], bytes]] = {
    "os.system": lambda marker, state: saved(Call(os.system, shell(marker))),
    "os.spawnlp": lambda marker, state: saved(Call(os.spawnlp, os.P_WAIT, "touch", "touch", str(marker))),
    "os.mkdir": lambda marker, state: saved(Call(os.mkdir, str(marker))),
    "os.open": lambda marker, state: saved(Call(os.open, str(marker), os.O_CREAT)),
    "os.symlink": lambda marker, state: saved(Call(os.symlink, "/etc/hostname", str(marker))),
    "subprocess.call": lambda marker, state: saved(Call(subprocess.call, ["touch", str(marker)])),
    "subprocess.Popen": lambda marker, state: saved(
        Call(Call(getattr, Call(subprocess.Popen, ["touch", str(marker)]), "wait"))
    ),
    "subprocess.getoutput": lambda marker, state: saved(Call(subprocess.getoutput, shell(marker))),
    "shutil": lambda marker, state: saved(Call(shutil.copyfile, __file__, str(marker))),
    "pathlib": lambda marker, state: saved(Call(Path.touch, marker)),
    "open": lambda marker, state: saved(Call(open, str(marker), "w")),
    "eval": lambda marker, state: saved(run(marker)),
    "exec": lambda marker, state: saved(Call(exec, touch(marker))),
    "compiled": lambda marker, state: saved(Call(exec, Call(compile, touch(marker), "x", "exec"))),
    "__import__": lambda marker, state: saved(Call(Call(getattr, Call(__import__, "os"), "system"), shell(marker))),
    "getattr chain": lambda marker, state: saved(Call(attribute("os", "path", "os", "system"), shell(marker))),
    "builtins by name": lambda marker, state: saved(
        Call(Call(operator.getitem, Call(getattr, Call(__import__, "builtins"), "__dict__"), "eval"), touch(marker))
    ),
    "__call__": lambda marker, state: saved(Call(Call(getattr, eval, "__call__"), touch(marker))),
    "partial": lambda marker, state: saved(Call(functools.partial(eval, touch(marker)))),
    "reduce": lambda marker, state: (
        saved(Call(functools.reduce, operator.call, [eval, touch(marker)]))
        if hasattr(operator, "call")
        else saved(Call(functools.reduce, functools.partial(map, eval), [[touch(marker)]], []))
    ),
    "methodcaller": lambda marker, state: saved(Call(operator.methodcaller("touch"), marker)),
    "attrgetter": lambda marker, state: saved(
        Call(Call(operator.attrgetter("system"), attribute("os")), shell(marker))
    ),
    "map": lambda marker, state: saved(Call(list, Call(map, eval, [touch(marker)]))),
    "runpy code": lambda marker, state: saved(
        Call(runpy._run_code, Call(compile, touch(marker), "x", "exec"), {})  # type: ignore[attr-defined]
    ),
    "runpy path": lambda marker, state: with_script(marker),
    "ctypes": lambda marker, state: saved(
        Call(Call(getattr, Call(ctypes.CDLL, None), "system"), shell(marker).encode())
    ),
    "interpreter": lambda marker, state: saved(
        Call(Call(getattr, Call(code.InteractiveInterpreter), "runsource"), touch(marker), "x", "exec")
    ),
    "timeit": lambda marker, state: saved(Call(timeit.timeit, touch(marker), "pass", time.perf_counter, 1)),
    "pydoc": lambda marker, state: saved(Call(pydoc.pipepager, "", shell(marker))),  # type: ignore[attr-defined]
    "urllib": lambda marker, state: saved(Call(urllib.request.urlretrieve, f"file://{__file__}", str(marker))),
    "torch.hub": lambda marker, state: with_hub(marker),
    "torch.load": lambda marker, state: saved(
        Call(functools.partial(torch.load, weights_only=False), io.BytesIO(saved(run(marker))))
    ),
    "torch storage bytes": lambda marker, state: saved(
        Call(torch.storage._load_from_bytes, saved(run(marker)))  # type: ignore[no-untyped-call]
    ),
    "torch collect_env": lambda marker, state: saved(Call(attribute("torch.utils.collect_env", "run"), shell(marker))),
    "torch.save": lambda marker, state: saved(Call(torch.save, {}, str(marker))),
    "pickle in a pickle": lambda marker, state: saved(Call(pickle.loads, pickle.dumps(run(marker)))),
    "numpy objects": lambda marker, state: saved(np.array([run(marker)], dtype=object)),
    "numpy.load": lambda marker, state: saved(
        Call(functools.partial(np.load, allow_pickle=True), io.BytesIO(pickle.dumps(run(marker))))
    ),
    "numpy.savetxt": lambda marker, state: saved(Call(np.savetxt, str(marker), [1])),
    "setter of a state": lambda marker, state: saved(Reduced(str, (touch(marker),), {}, None, None, exec)),
    "items of a list": lambda marker, state: saved(Reduced(list, (), None, iter([run(marker)]))),
    "items of a dictionary": lambda marker, state: saved(
        Reduced(OrderedDict, (), None, None, iter([("a", run(marker))]))
    ),
    "attributes of a dictionary": lambda marker, state: saved(Reduced(OrderedDict, (), {"a": run(marker)})),
    "default factory": lambda marker, state: saved(
        Call(Call(getattr, collections.defaultdict(functools.partial(eval, touch(marker))), "__getitem__"), 1)
    ),
    "nested": lambda marker, state: saved({"params_ema": {**state, "conv_hr.bias": run(marker)}}),
    "key": lambda marker, state: saved({run(marker): torch.zeros(1)}),
    "hooks of a tensor": lambda marker, state: saved(
        Call(torch._utils._rebuild_tensor_v2, storage(), 0, (3,), (1,), False, OrderedDict(a=run(marker)))
    ),
    "subclass of a tensor": lambda marker, state: saved(
        Call(torch._tensor._rebuild_from_type_v2, eval, torch.Tensor, (touch(marker),), {})
    ),
    "type of a storage": lambda marker, state: persistent(marker),
    "after the weights": lambda marker, state: saved([state, run(marker)]),
    "protocol 0": lambda marker, state: archive(as_text(marker)),
    "INST": lambda marker, state: archive(f"(S'{shell(marker)}'\nios\nsystem\n.".encode()),
    "OBJ": lambda marker, state: archive(f"(cos\nsystem\nS'{shell(marker)}'\no.".encode()),
    "protocol 4": lambda marker, state: archive(pickle.dumps(run(marker), protocol=4)),
    "protocol 5": lambda marker, state: archive(pickle.dumps(run(marker), protocol=5)),
    "optimised": lambda marker, state: archive(pickletools.optimize(pickle.dumps(run(marker), protocol=2))),
    "legacy": lambda marker, state: saved({**state, "x": run(marker)}, zipped=False),
    "legacy magic": lambda marker, state: legacy(marker, 0),
    "legacy system": lambda marker, state: legacy(marker, 2),
    "legacy keys": lambda marker, state: legacy(marker, 4),
    "bare": lambda marker, state: pickle.dumps(run(marker)),
    "bare text": lambda marker, state: as_text(marker),
    "tar": lambda marker, state: tar_of(*[pickle.dumps(run(marker))] * 3),
}


# ---- other files named .pth -----------------------------------------------------------------------------------------


def put(**tensors: object) -> Callable[[State], bytes]:
    """The state with other values; two underscores stand for a dot."""
    return lambda state: saved(state | {name.replace("__", "."): value for name, value in tensors.items()})


def rebuilt(function: Any, *arguments: object) -> Callable[[State], bytes]:
    """A state whose last tensor is what one of torch's own functions makes of the arguments."""
    return put(conv_last__bias=Call(function, *arguments))


def view(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Callable[[State], bytes]:
    """A view of three numbers."""
    return rebuilt(torch._utils._rebuild_tensor_v2, storage(), offset, size, stride, False, OrderedDict())


def csr(rows: list[int], columns: list[int], size: tuple[int, ...] = (3, 3)) -> Callable[[State], bytes]:
    parts = torch.tensor(rows), torch.tensor(columns), torch.ones(len(columns)), size, False
    return rebuilt(torch._utils._rebuild_sparse_tensor, torch.sparse_csr, parts)


def coo(indices: list[list[int]], size: tuple[int, ...]) -> Callable[[State], bytes]:
    parts = torch.tensor(indices), torch.ones(len(indices[0])), size, False
    return rebuilt(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, parts)


def record(ending: str, change: Callable[[bytes], bytes | None]) -> Callable[[State], bytes]:
    return lambda state: rewritten(saved(state), lambda name, data: change(data) if name.endswith(ending) else data)


def masked(tensor: Tensor) -> Tensor:
    """A tensor whose own attribute hides a method."""
    tensor = tensor.clone()
    tensor.isfinite = 1  # type: ignore[method-assign, assignment]
    return tensor


def looped(state: State) -> bytes:
    loop: dict[str, object] = dict(state)
    loop["conv_hr.bias"] = loop
    return saved(loop)


def quantized(state: State) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)  # type: ignore[no-untyped-call]
    return saved(state | {"conv_last.bias": tensor})


def item(key: bytes, value: bytes = b"K\x01") -> bytes:
    """A zip around a dictionary of one item, both given as pickle instructions."""
    return archive(b"\x80\x02}" + key + value + b"s.")


def script(state: State) -> bytes:
    class Network(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Network()), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def many_keys(count: int) -> bytes:
    """A dictionary of `count` names, all for one number."""
    names = (b"X" + struct.pack("<I", 8) + b"%08d" % number + b"K\x01" for number in range(count))
    return archive(b"\x80\x02}(" + b"".join(names) + b"u.")


def many_views(state: State) -> bytes:
    """A hundred thousand names for the tensors of a small file, each to be copied."""
    tensor = torch.ones(100_000, dtype=torch.float16)
    return saved({f"a{number}": tensor for number in range(100_000)})


def inflated(state: State) -> bytes:
    buffer = io.BytesIO()
    large = io.BytesIO(saved(state | {"x": torch.zeros(1_000_000)}))
    with zipfile.ZipFile(large) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()


READ = "not a dictionary of tensors"
TOO_LARGE = "larger than its data"
HUGE = 10**12
FALSE_SHAPE = torch._utils._rebuild_wrapper_subclass
MALFORMED: dict[str, tuple[Callable[[State], bytes], str]] = {
    # What the tensors are.
    "sparse": (put(conv_last__bias=torch.ones(3).to_sparse()), "is not dense"),
    "sparse, indices outside": (coo([[0, 10**9]], (3,)), "is not dense"),
    "sparse, huge": (coo([[0]], (HUGE,)), "is not dense"),
    "CSR": (csr([0, 1, 2, 3], [0, 1, 2]), f"is not dense|{READ}"),
    "CSR, false counts": (csr([0, 10**9, 2, 3], [0, 1, 2]), READ),
    "CSR, columns outside": (csr([0, 1, 2, 3], [0, 1, 10**9]), READ),
    "CSR, negative": (csr([0, -1, 2, 3], [0, 1, -2]), READ),
    "meta": (put(conv_last__bias=torch.ones(3, device="meta")), "is not dense .*meta"),
    "meta, huge": (rebuilt(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (HUGE,), (1,), False), "meta"),
    "quantized": (quantized, "is not dense .*qint8"),
    "nested": (
        rebuilt(
            torch._utils._rebuild_nested_tensor,
            *(torch.ones(3), torch.tensor([[2], [1]]), torch.tensor([[1], [1]]), torch.tensor([0, 2])),
        ),
        "is not dense",
    ),
    "nested, false sizes": (
        rebuilt(
            torch._utils._rebuild_nested_tensor,
            *(torch.ones(3), torch.tensor([[10**9]]), torch.tensor([[1]]), torch.tensor([0])),
        ),
        "is not dense|not a dictionary",
    ),
    "integers": (put(conv_last__bias=torch.ones(3, dtype=torch.int8)), "is not dense .*int8"),
    "booleans": (put(conv_last__bias=torch.ones(3, dtype=torch.bool)), "is not dense .*bool"),
    "complex": (put(conv_last__bias=torch.ones(3) * 1j), "is not dense .*complex64"),
    "float8": (put(conv_last__bias=torch.ones(3).to(torch.float8_e4m3fn)), "is not dense .*float8"),
    "wrapper without data": (
        rebuilt(FALSE_SHAPE, torch.Tensor, torch.float32, (3,), (1,), 0, torch.strided, torch.device("cpu"), False),
        "conv_last.bias|not a dictionary",
    ),
    "masked": (put(conv_last__bias=masked(torch.ones(3))), "is not a plain tensor"),
    "NaN": (put(conv_last__bias=torch.tensor([0, float("nan"), 0])), "conv_last.bias is not finite"),
    "infinite": (put(conv_last__bias=torch.tensor([0, 0, float("inf")])), "conv_last.bias is not finite"),
    "infinite half": (put(conv_last__bias=torch.tensor([0, 0, float("-inf")]).half()), "is not finite"),
    "infinite as float32": (put(conv_last__bias=torch.full((3,), 1e300, dtype=torch.float64)), "is not finite"),
    # How large they say they are.
    "expanded": (put(conv_last__bias=torch.ones(1).expand(HUGE)), TOO_LARGE),
    "stride past the storage": (view(0, (3,), (2,)), READ),
    "size past the storage": (view(0, (HUGE,), (1,)), READ),
    "offset past the storage": (view(1, (3,), (1,)), READ),
    "negative offset": (view(-1, (3,), (1,)), READ),
    "negative stride": (view(2, (3,), (-1,)), READ),
    "negative size": (view(0, (-3,), (1,)), READ),
    "size that overflows": (view(0, (2**40, 2**40), (0, 0)), "conv_last.bias|not a dictionary"),
    "number in place of a size": (view(0, ("3",), (1,)), READ),  # type: ignore[arg-type]
    "uninitialised": (rebuilt(torch.Tensor, 10**8), TOO_LARGE),
    "uninitialised, huge": (rebuilt(torch.Tensor, 10**10), READ),
    "uninitialised, impossible": (rebuilt(torch.FloatTensor, 10**15), READ),
    "storage enlarged": (
        put(conv_last__bias=Reduced(torch.Tensor, (), (storage(), 0, (10**9,), (1,)))),
        f"{TOO_LARGE}|not a dictionary",
    ),
    "bytes": (put(conv_last__bias=Call(bytearray, 10**8)), "not a plain tensor but bytearray"),
    "bytes, huge": (put(conv_last__bias=Call(bytearray, 10**10)), READ),
    "one tensor under many names": (many_views, TOO_LARGE),
    "too many names": (lambda state: many_keys(200_000), "200,000 entries"),
    # What holds them.
    "empty": (lambda state: saved({}), "fits 0 of 72"),
    "one missing": (lambda state: saved(dict(list(state.items())[1:])), "Missing: conv_first.weight; not used: none"),
    "one too many": (put(other__bias=torch.ones(4)), "Missing: none; not used: other.bias"),
    "another shape": (put(conv_last__bias=torch.ones(4)), "fits 71 of 72 tensors. Missing: conv_last.bias"),
    "list": (lambda state: saved(list(state.values())), READ),
    "number": (lambda state: saved(1), READ),
    "tensor": (lambda state: saved(torch.ones(3)), READ),
    "parameter as a number": (put(conv_last__bias=1.0), "conv_last.bias is not a plain tensor but float"),
    "self-reference": (looped, "conv_hr.bias is not a plain tensor but dict"),
    "key that is a number": (lambda state: saved(state | {7: torch.ones(1)}), "7 is no parameter's name"),
    "key that is a tensor": (lambda state: saved(state | {torch.ones(1): torch.ones(1)}), "is no parameter's name"),
    "key with a line break": (lambda state: saved(state | {"a\nb": torch.ones(1)}), r"'a\\nb' is no parameter's name"),
    "key of a million letters": (lambda state: saved(state | {"a" * 10**6: torch.ones(1)}), "is no parameter's name"),
    "key with half a letter": (lambda state: saved(state | {"\ud800": torch.ones(1)}), "is no parameter's name"),
    "deep key": (lambda state: item(b")" + 10_000 * b"\x85"), "a tuple is no parameter's name"),
    "endlessly deep key": (lambda state: item(b")" + 1_000_000 * b"\x85"), "ended its reader"),
    "endlessly deep value": (
        lambda state: item(b"K\x01", b"]" + 1_000_000 * b"]a"),
        "is no parameter's name|not a dict",
    ),
    "key that cannot be one": (lambda state: item(b"]"), READ),
    # How they are packed.
    "nothing": (lambda state: b"", READ),
    "text": (lambda state: b"Not Found\n", READ),
    "half": (lambda state: saved(state)[:30_000], READ),
    "half, legacy": (lambda state: saved(state, zipped=False)[:30_000], READ),
    "zip without records": (lambda state: b"PK\x05\x06" + bytes(18), READ),
    "zip without its pickle": (record("data.pkl", lambda data: None), READ),
    "record missing": (record("data/0", lambda data: None), READ),
    "record too short": (record("data/0", lambda data: data[:-4]), READ),
    "record too long": (record("data/0", lambda data: data + bytes(4)), READ),
    "pickle of nothing": (record("data.pkl", lambda data: b""), READ),
    "pickle without an end": (record("data.pkl", lambda data: data[:-1]), READ),
    "pickle that looks up what it never kept": (lambda state: archive(b"\x80\x02h\x05."), READ),
    "pickle of unknown instructions": (lambda state: archive(b"\x80\x02\xff."), READ),
    "pickle that empties the stack": (lambda state: archive(b"\x80\x020000."), READ),
    "pickle of a huge number": (lambda state: item(b"K\x01", b"\x8b\xff\xff\xff\x7f"), READ),
    "pickle of a huge text": (lambda state: item(b"X\xff\xff\xff\xff"), READ),
    "byte order of no machine": (record("byteorder", lambda data: b"middle"), READ),
    "compressed": (inflated, "a compressed archive"),
    "TorchScript": (script, READ),
    "exported program": (lambda state: archive(b"N.", {"archive_format": b"pt2", "models/model.json": b"{}"}), READ),
}


# ---- safetensors ----------------------------------------------------------------------------------------------------


def safetensors_of(state: State, ema: State | None = None) -> bytes:
    """A weights file of ours around any tensors."""
    tensors = {f"weights.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in (ema or {}).items()}
    description = weights.Description(model=MODEL).model_dump_json()
    return safetensors.torch.save(tensors, {"competition": description})


def copied(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def parts_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: bytes | dict[str, Any], data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def described(change: Callable[[dict[str, Any]], object]) -> Callable[[State], bytes]:
    """The weights under a changed header."""

    def make(state: State) -> bytes:
        header, data = parts_of(safetensors_of(state))
        change(header)
        return joined(header, data)

    return make


def last(**entries: object) -> Callable[[State], bytes]:
    """The weights with other entries for the last tensor of three numbers."""
    return described(lambda header: header["weights.conv_last.bias"].update(entries))


def said(change: Callable[[dict[str, Any]], object]) -> Callable[[State], bytes]:
    """The weights under a changed description."""

    def rewrite(header: dict[str, Any]) -> None:
        description = json.loads(header["__metadata__"]["competition"])
        change(description)
        header["__metadata__"]["competition"] = json.dumps(description)

    return described(rewrite)


def spelt(change: Callable[[bytes], bytes]) -> Callable[[State], bytes]:
    """The weights under a header whose text is changed."""

    def make(state: State) -> bytes:
        header, data = parts_of(safetensors_of(state))
        return joined(change(json.dumps(header).encode()), data)

    return make


def replaced(**tensors: Tensor) -> Callable[[State], bytes]:
    return lambda state: safetensors_of(state | {name.replace("__", "."): value for name, value in tensors.items()})


def swapped_offsets(header: dict[str, Any]) -> None:
    first, second = header["weights.conv_last.bias"], header["weights.conv_hr.bias"]
    first["data_offsets"] = second["data_offsets"]


def shifted(by: int) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        entry = header["weights.conv_last.bias"]
        entry["data_offsets"] = [offset + by for offset in entry["data_offsets"]]

    return change


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.update({new: header.pop(old)})


def many_tensors(state: State) -> bytes:
    header, data = parts_of(safetensors_of(state))
    header |= {f"weights.x{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}
    return joined(header, data)


NOT_ONE = "Restore it or choose other weights"
LONG = "no weights file, its header would have"
FITS = "fits 71 of 72"
TENSORS: dict[str, tuple[Callable[[State], bytes], str]] = {
    # The header.
    "nothing": (lambda state: b"", NOT_ONE),
    "seven bytes": (lambda state: bytes(7), NOT_ONE),
    "header of no length": (lambda state: bytes(8), NOT_ONE),
    "header longer than the file": (lambda state: struct.pack("<Q", 10**6) + b"{}", NOT_ONE),
    "header longer than any file": (lambda state: struct.pack("<Q", 2**64 - 1) + safetensors_of(state)[8:], LONG),
    "header of 100 MB": (lambda state: joined(b"{" + b" " * 100_000_000 + b"}", b""), LONG),
    "pickle": (lambda state: saved(state), LONG),
    "text": (lambda state: b"Not Found\n", LONG),
    "not JSON": (spelt(lambda text: text[:-1]), NOT_ONE),
    "JSON and more": (spelt(lambda text: text + b"x"), NOT_ONE),
    "list": (lambda state: joined(b"[]", b""), NOT_ONE),
    "null": (lambda state: joined(b"null", b""), NOT_ONE),
    "nested without end": (lambda state: joined(b'{"a":' * 100_000, b""), NOT_ONE),
    "not UTF-8": (spelt(lambda text: text.replace(b"conv_last", b"conv\xfflast")), NOT_ONE),
    "half a letter": (spelt(lambda text: text.replace(b"conv_last", b"conv\\ud800")), NOT_ONE),
    "same name twice": (
        spelt(lambda text: text.replace(b"weights.conv_last.bias", b"weights.conv_hr.bias")),
        f"{NOT_ONE}|fits",
    ),
    "metadata twice": (spelt(lambda text: text[:-1] + b', "__metadata__": {}}'), f"{NOT_ONE}|says nothing"),
    "a hundred thousand tensors": (many_tensors, LONG),
    # Where the numbers are.
    "truncated": (lambda state: safetensors_of(state)[:-1], NOT_ONE),
    "bytes left over": (lambda state: safetensors_of(state) + b"x", NOT_ONE),
    "overlap": (described(swapped_offsets), NOT_ONE),
    "hole": (
        described(lambda header: header.pop("weights.conv_last.bias")),
        NOT_ONE,
    ),
    "past the end": (described(shifted(10**9)), NOT_ONE),
    "shifted by a byte": (described(shifted(1)), NOT_ONE),
    "negative offsets": (last(data_offsets=[-12, 0]), NOT_ONE),
    "reversed offsets": (last(data_offsets=[12, 0]), NOT_ONE),
    "offsets that overflow": (last(data_offsets=[2**64 - 12, 2**64 - 1]), NOT_ONE),
    "one offset": (last(data_offsets=[0]), NOT_ONE),
    "fraction of an offset": (last(data_offsets=[0.0, 12.5]), NOT_ONE),
    "offsets missing": (described(lambda header: header["weights.conv_last.bias"].pop("data_offsets")), NOT_ONE),
    # What they are.
    "unknown kind": (last(dtype="F31"), NOT_ONE),
    "wider kind": (last(dtype="F64"), NOT_ONE),
    "integers": (last(dtype="I32"), f"{FITS}|int32"),
    "eight-bit integers": (last(dtype="U8", shape=[12]), FITS),
    "complex": (last(dtype="C64", shape=[1]), NOT_ONE),
    "shape of other size": (last(shape=[4]), NOT_ONE),
    "shape of the same size": (last(shape=[3, 1]), FITS),
    "negative shape": (last(shape=[-3]), NOT_ONE),
    "shape that overflows": (last(shape=[2**40, 2**40]), NOT_ONE),
    "shape of a word": (last(shape="3"), NOT_ONE),
    "NaN": (replaced(conv_last__bias=torch.tensor([0, float("nan"), 0])), "conv_last.bias is not finite"),
    "infinite": (replaced(conv_last__bias=torch.tensor([0, float("-inf"), 0])), "conv_last.bias is not finite"),
    "infinite as float32": (replaced(conv_last__bias=torch.full((3,), 1e300, dtype=torch.float64)), "is not finite"),
    "boolean": (replaced(conv_last__bias=torch.ones(3, dtype=torch.bool)), FITS),
    "float8": (replaced(conv_last__bias=torch.ones(3).to(torch.float8_e5m2)), "float8"),
    "average with NaN": (
        lambda state: safetensors_of(state, copied(state) | {"conv_hr.bias": state["conv_hr.bias"] * float("nan")}),
        "ema.conv_hr.bias is not finite",
    ),
    # Which they are.
    "no weights": (lambda state: safetensors_of({}), "fits 0 of 72"),
    "one missing": (lambda state: safetensors_of({name: state[name] for name in list(state)[1:]}), FITS),
    "one too many": (lambda state: safetensors_of(state | {"more": torch.ones(1)}), "not used: more"),
    "average with one missing": (
        lambda state: safetensors_of(state, dict(list(copied(state).items())[1:])),
        FITS,
    ),
    "neither weights nor average": (described(renamed("weights.conv_last.bias", "other.conv_last.bias")), "other.conv"),
    "without a part": (described(renamed("weights.conv_last.bias", "conv_last.bias")), "conv_last"),
    # What the file says of itself.
    "no metadata": (described(lambda header: header.pop("__metadata__")), "says nothing about its network"),
    "other metadata": (
        described(lambda header: header.update(__metadata__={"format": "pt"})),
        "says nothing about its network",
    ),
    "metadata of numbers": (described(lambda header: header.update(__metadata__={"competition": 1})), NOT_ONE),
    "metadata that is a list": (described(lambda header: header.update(__metadata__=["competition"])), NOT_ONE),
    "description that is not JSON": (
        described(lambda header: header["__metadata__"].update(competition="{")),
        "not JSON",
    ),
    "description without end": (
        described(lambda header: header["__metadata__"].update(competition="[" * 10**6)),
        "not JSON",
    ),
    "description of nothing": (said(lambda description: description.clear()), "model: missing"),
    "unknown network": (said(lambda description: description["model"].update(name="pickle")), "model.name: unknown"),
    "unknown key": (said(lambda description: description["model"].update(path="/etc")), "model.path: unknown key"),
    "score that is not a number": (said(lambda d: d.update(score={"value": "NaN", "definition": "x"})), "score.value"),
    "negative network": (said(lambda description: description["model"].update(num_block=-1)), "model.num_block"),
}
# Weights that fit, under a description of another network: only a network built from the description meets it.
MISDESCRIBED: dict[str, tuple[Callable[[State], bytes], str]] = {
    "smaller network": (said(lambda d: d["model"].update(num_block=1)), "fits 42 of 42"),
    "larger network": (said(lambda d: d["model"].update(num_block=3)), "fits 72 of 102"),
    "wide network": (said(lambda d: d["model"].update(num_feat=30_000, num_grow_ch=30_000)), "describes a network"),
    "endlessly wide network": (said(lambda d: d["model"].update(num_feat=10**9)), "describes a network"),
    "endlessly deep network": (said(lambda d: d["model"].update(num_block=10**9)), "describes a network"),
}
