"""Weights files of others: pickles, read in a process of their own, of which only plain tensors come back.

torch's reader runs nothing of a file, but a file can make it fill the memory or crash: here, a child process only.
"""

import contextlib
import faulthandler
import json
import multiprocessing
import re
import resource
import signal
import tarfile
import warnings
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from competition import weights
from competition.errors import BadCheckpoint

_SECONDS = 60
_ROOM = 2**29
_ADVICE = "Nothing in it was run; delete it or choose a file with weights only"


def read(path: Path, left_out: str = "") -> tuple[weights.State, str]:
    """The tensors of a .pth under its own names, float32 and finite, and the part of the file they were in.

    Entries whose names match the regular expression `left_out` are, whatever they hold.
    Raises BadCheckpoint for everything but a dictionary of plain tensors, or one under `params_ema` or `params`.
    """
    # Forked as data workers are: a new interpreter would need seconds to import torch.
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(path, left_out, sender), daemon=True)
    process.start()
    sender.close()
    try:
        answer = json.loads(receiver.recv_bytes())
        if fault := answer.get("fault"):
            raise BadCheckpoint(fault)
        return safetensors.torch.load(receiver.recv_bytes()), answer["part"]
    except EOFError as error:
        process.join()
        code = process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"status {code}"
        raise BadCheckpoint(f"{path}: ended its reader ({cause}). {_ADVICE}") from error
    finally:
        process.kill()
        process.join()
        receiver.close()


# ---- in the child ---------------------------------------------------------------------------------------------------


def _answer(path: Path, left_out: str, sender: Connection) -> None:
    """Send the part's name and its tensors, or the fault."""
    faulthandler.disable()
    _limit(path.stat().st_size)
    torch.set_num_threads(1)  # the threads of the parent are not here
    try:
        state, part = _part(_unpickle(path), path)
        kept = {name: tensor for name, tensor in state.items() if not re.fullmatch(left_out, name)}
        encoded = safetensors.torch.save(_plain(kept, path))
    except Exception as error:  # A damaged or hostile file can raise anything.
        sender.send_bytes(json.dumps({"fault": _line(error, path)}).encode())
    else:
        sender.send_bytes(json.dumps({"part": part}).encode())
        sender.send_bytes(encoded)


def _limit(size: int) -> None:
    """Bound time and memory: a whole file is read in seconds, and held about six times while it is converted."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    with contextlib.suppress(OSError, ValueError):  # where there is no /proc
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + 8 * size + _ROOM, most))


def _line(error: Exception, path: Path) -> str:
    if isinstance(error, BadCheckpoint):
        return str(error)
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    cause = f"it asks for {named[1]}" if named else type(error).__name__
    return f"{path}: not a dictionary of tensors ({cause}). {_ADVICE}"


def _unpickle(path: Path) -> dict[Any, Any]:
    """A dictionary read without running anything of the file; its values may still be of any harmless type."""
    _require_plain_archive(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Said explicitly: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD changes only calls that leave it to the default.
        content = torch.load(path, map_location="cpu", weights_only=True)
    # By the type's own method: a pickle can give an OrderedDict attributes that hide its methods.
    return dict(dict.items(content))


def _require_plain_archive(path: Path) -> None:
    # torch.save never compresses, and torch.load inflates: a few kilobytes could fill the memory.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise BadCheckpoint(f"{path}: a compressed archive. Save it again with torch.save")
    # torch.load writes the members of a tar (torch 0.1) to the disk, links and pipes among them.
    with contextlib.suppress(tarfile.TarError), tarfile.open(path, "r:"):
        raise BadCheckpoint(f"{path}: not a dictionary of tensors (a tar archive). {_ADVICE}")


def _part(content: dict[Any, Any], path: Path) -> tuple[dict[str, Any], str]:
    part = "the top level"
    for key in ("params_ema", "params"):
        if isinstance(content.get(key), dict):
            content, part = dict(dict.items(content[key])), key
            break
    if len(content) > weights.MOST_TENSORS:
        raise BadCheckpoint(f"{path}: holds {len(content):,} entries. Choose a file with weights only")
    for name in content:
        if not (isinstance(name, str) and re.fullmatch(r"[\w.]{1,200}", name, re.ASCII)):
            shown = repr(name)[:80] if isinstance(name, str | int) else f"a {type(name).__name__}"
            raise BadCheckpoint(f"{path}: {shown} is no parameter's name. Choose a file with weights only")
    return content, part


def _plain(state: dict[str, Any], path: Path) -> weights.State:
    """The tensors as float32; raises BadCheckpoint for one that is not dense, floating, on the CPU and finite."""
    room = path.stat().st_size
    plain: weights.State = {}
    for name, tensor in state.items():
        fault = _fault(tensor)
        # Elements or storages that overlap let a small file stand for huge tensors.
        if not fault and (room := room - tensor.nbytes) < 0:
            fault = "larger than its data"
        if not fault:
            plain[name] = torch.empty(tensor.shape).copy_(tensor.detach())
            fault = None if plain[name].isfinite().all() else "not finite"
        if fault:
            raise BadCheckpoint(f"{path}: {name} is {fault}. Choose a file with weights only")
    return plain


def _fault(tensor: object) -> str | None:
    # An unpickled tensor can carry attributes that hide its methods.
    if not isinstance(tensor, Tensor) or type(tensor) not in (Tensor, nn.Parameter) or vars(tensor):
        return f"not a plain tensor but {type(tensor).__name__}"
    dense = tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    if not dense or tensor.dtype not in weights.FLOATS:
        return f"not dense floating numbers but {tensor.layout} {tensor.dtype} on {tensor.device}"
    return None
