"""Options of a mapped ring that the kernel may refuse: prefault, mlock and huge pages.

None of them changes what a ring does, only how evenly it runs, so a refusal (no privilege, an old kernel, no huge
pages) is reported and is no error.
"""

from __future__ import annotations

import ctypes
import errno
import mmap

from tlv.buffers import Words

MADV_POPULATE_READ = 22  # Linux 5.14
MADV_POPULATE_WRITE = 23

_libc = ctypes.CDLL(None, use_errno=True)


def _outcome(result: int) -> str:
    return "ok" if result == 0 else errno.errorcode.get(ctypes.get_errno(), "refused")


def advise(
    words: Words, *, prefault: bool = False, lock_memory: bool = False, huge_pages: bool = False
) -> dict[str, str]:
    """Request the options that are True; returns "ok" or the error's name for each.

    prefault: all page-table entries now, so that no publish or read takes a page fault later.
    lock_memory: never swapped (RLIMIT_MEMLOCK must allow the ring's size).
    huge_pages: 2 MiB pages where /sys/kernel/mm/transparent_hugepage/shmem_enabled says `advise`.
    """
    start, size = ctypes.c_void_p(words.ctypes.data), ctypes.c_size_t(words.nbytes)
    outcome = {}
    if huge_pages:
        outcome["huge_pages"] = _outcome(_libc.madvise(start, size, mmap.MADV_HUGEPAGE))
    if prefault:
        how = MADV_POPULATE_WRITE if words.flags.writeable else MADV_POPULATE_READ
        outcome["prefault"] = _outcome(_libc.madvise(start, size, how))
    if lock_memory:
        outcome["lock_memory"] = _outcome(_libc.mlock(start, size))
    return outcome
