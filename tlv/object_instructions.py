"""Arrays at addresses, and CPython's functions, for numba; `objects` imports this where kernels are compiled.

CPython's functions are symbols of the process, so cached machine code finds them in another one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

from tlv.objects import (
    SIZE_AT,
    TYPE_AT,
    array_at,
    bytes_object,
    call_object,
    clear_error,
    drop_reference,
    get_buffer,
    integer_object,
    integer_of,
    list_object,
    new_reference,
    part_object,
    read_only_at,
    release_buffer,
    release_gil,
    serve_signals,
    size_at,
    slice_object,
    take_gil,
    type_at,
)

LONG, INT = ir.IntType(64), ir.IntType(32)
FUNCTIONS = (
    (integer_object, "PyLong_FromLongLong"),
    (integer_of, "PyLong_AsLongLong"),
    (call_object, "PyObject_Vectorcall"),
    (slice_object, "PySequence_GetSlice"),
    (part_object, "PyObject_GetItem"),
    (bytes_object, "PyBytes_FromStringAndSize"),
    (list_object, "PyList_New"),
    (clear_error, "PyErr_Clear"),
    (drop_reference, "Py_DecRef"),
    (release_buffer, "PyBuffer_Release"),
    (release_gil, "PyEval_SaveThread"),
    (take_gil, "PyEval_RestoreThread"),
)
"""What takes and returns words, or nothing."""


def _compiles(function: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Let numba replace a call of `function`, whose arguments are words, by what `emit(builder, *words)` does."""
    nothing = inspect.signature(function).return_annotation == "None"
    words = (types.int64,) * function.__code__.co_argcount

    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_call(_context: Any) -> Any:
        def check(*_given: Any) -> Any:
            return (types.none if nothing else types.int64)(*words)

        check.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return check

    @lower_builtin(function, *words)  # type: ignore[untyped-decorator]
    def emit_call(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = emit(builder, *args)
        return context.get_dummy_value() if nothing else value


def _calls(name: str, result: Any) -> Callable[..., Any]:
    def emit(builder: Any, *words: Any) -> Any:
        signature = ir.FunctionType(result, [LONG] * len(words))
        return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), words)

    return emit


def _loads(offset: int) -> Callable[..., Any]:
    def emit(builder: Any, address: Any) -> Any:
        return builder.load(builder.inttoptr(builder.add(address, LONG(offset)), LONG.as_pointer()))

    return emit


def _emit_get_buffer(builder: Any, address: Any, buffer: Any, flags: Any) -> Any:
    signature = ir.FunctionType(INT, [LONG, LONG, INT])
    called = cgutils.get_or_insert_function(builder.module, signature, "PyObject_GetBuffer")
    return builder.sext(builder.call(called, [address, buffer, builder.trunc(flags, INT)]), LONG)


def _emit_serve_signals(builder: Any) -> Any:
    called = cgutils.get_or_insert_function(builder.module, ir.FunctionType(INT, []), "PyErr_CheckSignals")
    return builder.sext(builder.call(called, []), LONG)


def _emit_new_reference(builder: Any, address: Any) -> Any:
    _calls("Py_IncRef", ir.VoidType())(builder, address)
    return address


for _function, _name in FUNCTIONS:
    _nothing = inspect.signature(_function).return_annotation == "None"
    _compiles(_function, _calls(_name, ir.VoidType() if _nothing else LONG))
_compiles(get_buffer, _emit_get_buffer)
_compiles(new_reference, _emit_new_reference)
_compiles(serve_signals, _emit_serve_signals)
_compiles(type_at, _loads(TYPE_AT))
_compiles(size_at, _loads(SIZE_AT))


def _compiles_array(function: Callable[..., Any], *, read_only: bool) -> None:
    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_array(_context: Any) -> Any:
        def check(address: Any, count: Any, dtype: Any) -> Any:
            return types.Array(dtype.dtype, 1, "C", readonly=read_only)(types.int64, types.int64, dtype)

        check.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return check

    @lower_builtin(function, types.int64, types.int64, types.DType)  # type: ignore[untyped-decorator]
    def emit_array(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from numba.np.arrayobj import populate_array  # it is there where something is compiled

        kind = context.get_data_type(signature.return_type.dtype)
        array = context.make_array(signature.return_type)(context, builder)
        itemsize = LONG(context.get_abi_sizeof(kind))
        populate_array(array, builder.inttoptr(args[0], kind.as_pointer()), [args[1]], [itemsize], itemsize, None)
        return array._getvalue()


_compiles_array(array_at, read_only=False)
_compiles_array(read_only_at, read_only=True)
