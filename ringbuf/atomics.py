"""Loads, stores, fences and the futex, as plain Python; `instructions` has what numba makes of each.

Owns how a word shared between processes is read and written.  It must never know what a word means.

Each operation is a plain function on an int64 array and a word number.  Compiled, numba replaces it with the LLVM
instruction of that name: a plain `words[i]` in a loop is hoisted by LLVM and would never see another process's
store, and plain stores may be merged, torn or moved.  Uncompiled (NUMBA_DISABLE_JIT=1, or `kernel.py_func`) the
function itself runs; x86 then gives the order, which is enough for tests and for coverage.

A store into a read-only mapping is refused when the kernel is compiled, so no reader can write.
Memory order, as used by the kernels: `monotonic` = atomic and nothing else; `acquire` and `release` pair up across
processes; `fence_seq_cst` orders a store before a later load.

`store_four` and `load_four` are one vector access of 32 bytes, for a payload.  It is volatile and not atomic, and that
is enough.  A payload word is believed only if `tail` published it and `intent` did not pass it since, so what must
hold is the order between the payload and those two words.  Fences and the release store give it: LLVM moves no access
of memory across them, and in hardware (x86's total store order, AArch64's DMB and STLR) they order vectors like words.
A race is left only where `intent` will show that the copy is to be thrown away; there LLVM calls what a plain load
returns undefined, and what a volatile one returns the target's: some mixture of old and new bytes, no more.  An access
that is split, by LLVM or a processor, is the same with more pieces, each of which is ordered by the same fences.
"""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np

from tlv.buffers import Bytes, Words
from tlv.jit import compile_with
from tlv.units import NS

WORD_BYTES = 8
FOUR = 4
X86 = os.uname().machine == "x86_64"
SYS_FUTEX, SYS_YIELD = (202, 24) if X86 else (98, 124)
FUTEX_WAIT = 0  # shared, not FUTEX_PRIVATE: waiter and waker are different processes
FUTEX_WAKE = 1
EVERYBODY = (1 << 31) - 1

_libc = ctypes.CDLL(None, use_errno=True)


def load_acquire(words: Words, index: int) -> int:
    """Read a word; what its writer stored before a release store of it is visible afterwards."""
    return int(words[index])


def load_monotonic(words: Words, index: int) -> int:
    """Read a word, whole."""
    return int(words[index])


def store_release(words: Words, index: int, value: int) -> None:
    """Write a word after everything this thread wrote before."""
    words[index] = value


def store_monotonic(words: Words, index: int, value: int) -> None:
    """Write a word, whole."""
    words[index] = value


def fetch_max(words: Words, index: int, value: int) -> int:
    """Raise a word to at least `value` and return what it was: one indivisible step."""
    before = int(words[index])
    words[index] = max(before, value)
    return before


def fence_acquire() -> None:
    """No later access moves before an earlier load."""


def fence_release() -> None:
    """No later store moves before an earlier access."""


def fence_seq_cst() -> None:
    """No access moves across; the only one that orders a store before a later load."""


def pause() -> None:
    """The CPU's hint that this is a spin loop."""


def yield_core() -> None:
    """Let another thread run on this core."""
    os.sched_yield()


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, comparable between the processes of a host."""
    return time.monotonic_ns()


def word_at(buffer: Bytes, offset: int) -> int:
    """Eight private bytes at any alignment, as a little-endian word."""
    return int.from_bytes(bytes(buffer[offset : offset + WORD_BYTES]), "little", signed=True)


def store_four(words: Words, index: int, buffer: Bytes, offset: int) -> None:
    """Write 32 private bytes over four words, each of them whole and all unordered, as four monotonic stores are."""
    for i in range(FOUR):
        words[index + i] = word_at(buffer, offset + WORD_BYTES * i)


def load_four(words: Words, index: int, out: Words, at: int) -> None:
    """Read four words to private ones, each of them whole and all unordered, as four monotonic loads are."""
    for i in range(FOUR):
        out[at + i] = int(words[index + i])


def futex_wait(words: Words, index: int, expected: int, timeout_ns: int) -> int:
    """Sleep while the low half of the word equals `expected`; 0 = woken, else -1 (changed, timed out or a signal)."""
    timeout = np.array([timeout_ns // NS, timeout_ns % NS], dtype=np.int64)
    low = ctypes.c_uint32(expected & 0xFFFFFFFF)
    at, until = ctypes.c_void_p(words.ctypes.data + WORD_BYTES * index), ctypes.c_void_p(timeout.ctypes.data)
    return int(_libc.syscall(ctypes.c_long(SYS_FUTEX), at, ctypes.c_long(FUTEX_WAIT), low, until, None, 0))


def futex_wake(words: Words, index: int) -> int:
    """Wake everybody who sleeps on the word; how many that were."""
    at = ctypes.c_void_p(words.ctypes.data + WORD_BYTES * index)
    return int(_libc.syscall(ctypes.c_long(SYS_FUTEX), at, ctypes.c_long(FUTEX_WAKE), ctypes.c_long(EVERYBODY), None))


compile_with("ringbuf.instructions")
