"""Memory between two guard pages, so that an access one byte beyond it raises SIGSEGV.

The kernel places a new map right beside an older one, so a read beyond the end of an ordinary map finds memory and goes
unnoticed.  Owns the guarded maps; they last as long as the process.
"""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np

from tlv.buffers import Longs

MAP_FIXED = 0x10
FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def _map(at: int | None, size: int, access: int, flags: int, fd: int = -1) -> int:
    address: int | None = _libc.mmap(at, size, access, flags, fd, 0)
    if address is None or address == FAILED:
        raise OSError(ctypes.get_errno(), f"no map of {size} bytes: {os.strerror(ctypes.get_errno())}")
    return address


def guarded_words(size: int, fd: int = -1) -> Longs:
    """Words between guard pages: of the object behind `fd`, read-only and shared, or zeros of our own.

    `size` is a multiple of the page size.
    """
    if size % mmap.PAGESIZE:
        raise AssertionError(f"{size} bytes are no whole pages: the guard would not begin at their end")
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start = _map(None, size + 2 * mmap.PAGESIZE, 0, anonymous) + mmap.PAGESIZE  # no access: the guards
    if fd < 0:
        _map(start, size, mmap.PROT_READ | mmap.PROT_WRITE, anonymous | MAP_FIXED)
    else:
        _map(start, size, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, fd)
    words: Longs = np.ctypeslib.as_array((ctypes.c_int64 * (size // 8)).from_address(start))
    words.flags.writeable = fd < 0
    return words
