"""Memory: how much is free, how much an operation holds, what its lack looks like, what the system is told of it."""

import ctypes
import mmap
import platform
import resource
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_NEVER = 2**31 - 1
# What torch and the libraries below it say on the CPU; on GPUs they have a class for it.
_EXHAUSTED = ("out of memory", "can't allocate memory", "bad_alloc", "could not create a memory")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _EXHAUSTED)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated, as the system, its container and its limits have it."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + idle)
    bounds: list[int] = [int(psutil.virtual_memory().available)]
    limit = int(resource.getrlimit(resource.RLIMIT_AS)[0])
    if limit != resource.RLIM_INFINITY:
        bounds.append(limit - int(psutil.Process().memory_info().vms))
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").exists() and (most := (group / "memory.max").read_text().strip()) != "max":
        bounds.append(int(most) - int((group / "memory.current").read_text()))
    return max(0, min(bounds))


def peak_bytes(operation: Callable[[], Any]) -> int:
    """The most bytes of new tensors that an operation holds at once; what kernels take for themselves is not seen."""
    with _Ledger() as ledger:
        operation()
    peak: int = ledger.peak
    return peak


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the storages that operations make, and when they go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak, self._live, self._known = 0, 0, set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(tensor)._cdata for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and _storage(tensor)._cdata not in self._known | given:
                self._add(_storage(tensor))
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self._live += size
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()


def reuse_freed_memory() -> None:
    """Tell glibc not to map and unmap every large tensor; does nothing with another C library.

    Each new mapping is cleared page by page by the system, which costs a CPU run of a network on a whole picture about
    a quarter of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def will_need(address: int, length: int) -> None:
    """Start reading mapped pages from disk, without waiting for them."""
    # Advice that the system refuses costs speed only, here and below.
    first = address - address % mmap.PAGESIZE
    _madvise(first, address + length - first, mmap.MADV_WILLNEED)


def random_access(address: int, length: int) -> None:
    """Say that mapped pages are read here and there: none is fetched that nobody asked for."""
    first = address - address % mmap.PAGESIZE
    _madvise(first, address + length - first, mmap.MADV_RANDOM)
