"""What the system's memory manager is told: keep freed memory, fetch mapped pages ahead."""

import ctypes
import mmap
import platform

_madvise = ctypes.CDLL(None).madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_NEVER = 2**31 - 1


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
