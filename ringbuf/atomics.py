"""Loads, stores, fences and the futex, as plain Python and as LLVM instructions.

Owns how a word shared between processes is read and written.  It must never know what a word means.

Each operation is a plain function on an int64 array and a word number.  Compiled, numba replaces it with the LLVM
instruction of that name: a plain `words[i]` in a loop is hoisted by LLVM and would never see another process's
store, and plain stores may be merged, torn or moved.  Uncompiled (NUMBA_DISABLE_JIT=1, or `kernel.py_func`) the
function itself runs; x86 then gives the order, which is enough for tests and for coverage.

A store into a read-only mapping is refused when the kernel is compiled, so no reader can write.
Memory order, as used by the kernels: `monotonic` = atomic and nothing else; `acquire` and `release` pair up across
processes; `fence_seq_cst` orders a store before a later load.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from tlv.buffers import Bytes, Words
from tlv.units import NS

WORD = ir.IntType(64)
HALF = ir.IntType(32)
WORD_BYTES = 8
X86 = os.uname().machine == "x86_64"
SYS_FUTEX, SYS_YIELD = (202, 24) if X86 else (98, 124)
PAUSE = ("llvm.x86.sse2.pause",) if X86 else ("llvm.aarch64.hint", 1)
FUTEX_WAIT = 0  # shared, not FUTEX_PRIVATE: waiter and waker are different processes
FUTEX_WAKE = 1
EVERYBODY = (1 << 31) - 1

CLOCK_MONOTONIC = 1

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


Emit = Callable[..., Any]


def _compiles(
    function: Callable[..., Any], *, result: Any = types.int64, stores: bool = False
) -> Callable[[Emit], Emit]:
    """Let numba replace a call of `function` by what the decorated `emit(builder, address, *arguments)` writes.

    A function with arguments takes an array and an index first; `emit` gets the address of that element instead.
    """
    extra = max(function.__code__.co_argcount - 2, 0)
    takes_array = function.__code__.co_argcount > 0

    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_call(_context: Any) -> Any:
        def check(*given: Any) -> Any:
            if stores and not given[0].mutable:
                raise TypingError(f"{function.__name__}: the array is a reader's, and its mapping is read-only")
            place = (given[0], types.intp) if takes_array else ()
            return result(*place, *(types.int64,) * extra)

        check.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return check

    def lower(emit: Emit) -> Emit:
        place = (types.Array, types.intp) if takes_array else ()

        @lower_builtin(function, *place, *(types.int64,) * extra)  # type: ignore[untyped-decorator]
        def emit_call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if takes_array:
                data = context.make_array(signature.args[0])(context, builder, args[0]).data
                value = emit(builder, builder.gep(data, [args[1]]), *args[2:])
            else:
                value = emit(builder)
            return context.get_dummy_value() if result is types.none else value

        return emit

    return lower


def _syscall(builder: Any, number: int, *args: Any) -> Any:
    signature = ir.FunctionType(WORD, [WORD], var_arg=True)
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, "syscall"), [WORD(number), *args])


@_compiles(load_acquire)
def _(builder: Any, address: Any) -> Any:
    return builder.load_atomic(address, "acquire", WORD_BYTES)


@_compiles(load_monotonic)
def _(builder: Any, address: Any) -> Any:
    return builder.load_atomic(address, "monotonic", WORD_BYTES)


@_compiles(store_release, result=types.none, stores=True)
def _(builder: Any, address: Any, value: Any) -> None:
    builder.store_atomic(value, address, "release", WORD_BYTES)


@_compiles(store_monotonic, result=types.none, stores=True)
def _(builder: Any, address: Any, value: Any) -> None:
    builder.store_atomic(value, address, "monotonic", WORD_BYTES)


@_compiles(fetch_max, stores=True)
def _(builder: Any, address: Any, value: Any) -> Any:
    return builder.atomic_rmw("max", address, value, "acq_rel")


@_compiles(fence_acquire, result=types.none)
def _(builder: Any) -> None:
    builder.fence("acquire")


@_compiles(fence_release, result=types.none)
def _(builder: Any) -> None:
    builder.fence("release")


@_compiles(fence_seq_cst, result=types.none)
def _(builder: Any) -> None:
    builder.fence("seq_cst")


@_compiles(pause, result=types.none)
def _(builder: Any) -> None:
    name, *hint = PAUSE
    signature = ir.FunctionType(ir.VoidType(), [HALF] * len(hint))
    builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [HALF(value) for value in hint])


@_compiles(yield_core, result=types.none)
def _(builder: Any) -> None:
    _syscall(builder, SYS_YIELD)


@_compiles(monotonic_ns)
def _(builder: Any) -> Any:
    signature = ir.FunctionType(HALF, [HALF, WORD.as_pointer()])
    clock_gettime = cgutils.get_or_insert_function(builder.module, signature, "clock_gettime")
    timespec = cgutils.alloca_once(builder, WORD, size=2)
    builder.call(clock_gettime, [HALF(CLOCK_MONOTONIC), timespec])
    seconds, ns = builder.load(timespec), builder.load(builder.gep(timespec, [WORD(1)]))
    return builder.add(builder.mul(seconds, WORD(NS)), ns)


@_compiles(word_at)
def _(builder: Any, address: Any) -> Any:
    return builder.load(builder.bitcast(address, WORD.as_pointer()), align=1)


@_compiles(futex_wait)
def _(builder: Any, address: Any, expected: Any, timeout_ns: Any) -> Any:
    timespec = cgutils.alloca_once(builder, WORD, size=2)
    builder.store(builder.sdiv(timeout_ns, WORD(NS)), timespec)
    builder.store(builder.srem(timeout_ns, WORD(NS)), builder.gep(timespec, [WORD(1)]))
    at, until = builder.ptrtoint(address, WORD), builder.ptrtoint(timespec, WORD)
    return _syscall(builder, SYS_FUTEX, at, WORD(FUTEX_WAIT), expected, until, WORD(0), WORD(0))


@_compiles(futex_wake)
def _(builder: Any, address: Any) -> Any:
    at = builder.ptrtoint(address, WORD)
    return _syscall(builder, SYS_FUTEX, at, WORD(FUTEX_WAKE), WORD(EVERYBODY), WORD(0), WORD(0), WORD(0))
