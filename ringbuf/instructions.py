"""The atomics as LLVM instructions, for numba.

Owns what a call in `ringbuf.atomics` is compiled to.  `atomics` imports it where kernels are compiled.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import lower_builtin, type_callable

from ringbuf.atomics import (
    EVERYBODY,
    FOUR,
    FUTEX_WAIT,
    FUTEX_WAKE,
    SYS_FUTEX,
    SYS_YIELD,
    WORD_BYTES,
    X86,
    fence_acquire,
    fence_release,
    fence_seq_cst,
    fetch_max,
    futex_wait,
    futex_wake,
    load_acquire,
    load_four,
    load_monotonic,
    monotonic_ns,
    pause,
    store_four,
    store_monotonic,
    store_release,
    word_at,
    yield_core,
)
from tlv.units import NS

WORD = ir.IntType(64)
HALF = ir.IntType(32)
BYTES = ir.IntType(8).as_pointer()
VOLATILE = ir.Constant(ir.IntType(1), 1)
PAUSE = ("llvm.x86.sse2.pause",) if X86 else ("llvm.aarch64.hint", 1)
CLOCK_MONOTONIC = 1

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


def _copies(function: Callable[..., Any], private: Any, *, stores: bool = False) -> None:
    """Let numba replace a call of `function` by a copy of four words between a shared and a private array."""

    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_call(_context: Any) -> Any:
        def check(words: Any, index: Any, other: Any, at: Any) -> Any:
            if not (words if stores else other).mutable:
                raise TypingError(f"{function.__name__}: what it writes to is read-only")
            if words.dtype != types.int64 or other.dtype != private:
                raise TypingError(f"{function.__name__}: expected words, and {private} on the private side")
            return types.none(words, types.intp, other, types.intp)

        check.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return check

    @lower_builtin(function, types.Array, types.intp, types.Array, types.intp)  # type: ignore[untyped-decorator]
    def emit_call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shared, ours = (
            builder.gep(context.make_array(signature.args[i])(context, builder, args[i]).data, [args[i + 1]])
            for i in (0, 2)
        )
        places = [builder.bitcast(place, BYTES) for place in ((shared, ours) if stores else (ours, shared))]
        arguments = ir.FunctionType(ir.VoidType(), [BYTES, BYTES, WORD, ir.IntType(1)])
        memcpy = cgutils.get_or_insert_function(builder.module, arguments, "llvm.memcpy.p0.p0.i64")
        builder.call(memcpy, [*places, WORD(FOUR * WORD_BYTES), VOLATILE])
        return context.get_dummy_value()


_copies(store_four, types.uint8, stores=True)
_copies(load_four, types.int64)


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
