"""The functions of `tlv.objects` for numba; `objects` imports this where kernels are compiled.

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

from tlv import objects

LONG, INT, NOTHING = ir.IntType(64), ir.IntType(32), ir.VoidType()
CALLS: tuple[tuple[Callable[..., Any], str], ...] = (
    (objects.signed_object, "PyLong_FromLongLong"),
    (objects.unsigned_object, "PyLong_FromUnsignedLongLong"),
    (objects.bytes_object, "PyBytes_FromStringAndSize"),
    (objects.text_object, "PyUnicode_DecodeUTF8"),
    (objects.tuple_object, "PyTuple_New"),
    (objects.list_object, "PyList_New"),
    (objects.slice_object, "PySequence_GetSlice"),
    (objects.part_object, "PyObject_GetItem"),
    (objects.item_of, "PyDict_GetItem"),
    (objects.call_object, "PyObject_Vectorcall"),
    (objects.signed_of, "PyLong_AsLongLong"),
    (objects.unsigned_of, "PyLong_AsUnsignedLongLong"),
    (objects.utf8_of, "PyUnicode_AsUTF8AndSize"),
    (objects.flags_of, "PyType_GetFlags"),
    (objects.release_buffer, "PyBuffer_Release"),
    (objects.drop_reference, "Py_DecRef"),
    (objects.has_error, "PyErr_Occurred"),
    (objects.clear_error, "PyErr_Clear"),
    (objects.release_gil, "PyEval_SaveThread"),
    (objects.take_gil, "PyEval_RestoreThread"),
)
"""What takes and returns words, or nothing."""
LOADS = (
    (objects.load_byte, 8, False),
    (objects.load_short, 16, False),
    (objects.load_unsigned, 32, False),
    (objects.load_signed, 32, True),
    (objects.load_word, 64, True),
)
STORES = ((objects.store_byte, 8), (objects.store_short, 16), (objects.store_half, 32), (objects.store_word, 64))
ARRAYS = ((objects.array_at, False), (objects.read_only_at, True))


def _compiles(function: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Let numba replace a call of `function`, whose arguments are words, by what `emit(builder, *words)` does."""
    signature = inspect.signature(function)
    nothing = _returns_nothing(function)
    words = (types.int64,) * len(signature.parameters)

    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_call(_context: Any) -> Any:
        def check(*_given: Any) -> Any:
            return (types.none if nothing else types.int64)(*words)

        check.__signature__ = signature  # type: ignore[attr-defined]
        return check

    @lower_builtin(function, *words)  # type: ignore[untyped-decorator]
    def emit_call(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = emit(builder, *args)
        return context.get_dummy_value() if nothing else value


def _returns_nothing(function: Callable[..., Any]) -> bool:
    return bool(inspect.signature(function).return_annotation == "None")


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call a function of CPython; an int is sign-extended to a word."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    value = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
    return builder.sext(value, LONG) if result is INT else value


def _calls(name: str, result: Any) -> Callable[..., Any]:
    return lambda builder, *words: _call(builder, name, result, *words)


def _load(builder: Any, address: Any, bits: int = LONG.width, *, signed: bool = True) -> Any:
    kind = ir.IntType(bits)
    value = builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)
    return value if bits == LONG.width else (builder.sext if signed else builder.zext)(value, LONG)


def _loads(bits: int, signed: bool) -> Callable[..., Any]:
    return lambda builder, address: _load(builder, address, bits, signed=signed)


def _loads_at(offset: int) -> Callable[..., Any]:
    return lambda builder, address: _load(builder, builder.add(address, LONG(offset)))


def _stores(bits: int, offset: int = 0) -> Callable[..., Any]:
    def emit(builder: Any, address: Any, value: Any) -> None:
        kind = ir.IntType(bits)
        narrow = value if bits == LONG.width else builder.trunc(value, kind)
        place = builder.inttoptr(builder.add(address, LONG(offset)), kind.as_pointer())
        builder.store(narrow, place, align=1)

    return emit


def _emit_stack(builder: Any) -> Any:
    return builder.ptrtoint(cgutils.alloca_once(builder, LONG, objects.STACK_WORDS), LONG)


def _emit_bound(builder: Any, bound: Any) -> Any:
    return builder.add(_loads_at(objects.ITEMS_AT)(builder, bound), LONG(objects.BYTES_AT))


def _emit_wide(builder: Any, address: Any, size: Any, signed: Any) -> Any:
    return _call(builder, "_PyLong_FromByteArray", LONG, address, size, INT(1), builder.trunc(signed, INT))


def _emit_wide_into(builder: Any, address: Any, into: Any, size: Any, signed: Any) -> Any:
    # The last argument is that of newer Pythons, whether it raises; older ones do, and take no notice of it.
    is_signed = builder.trunc(signed, INT)
    return _call(builder, "_PyLong_AsByteArray", INT, address, into, size, INT(1), is_signed, INT(1))


def _emit_get_buffer(builder: Any, address: Any, buffer: Any, flags: Any) -> Any:
    return _call(builder, "PyObject_GetBuffer", INT, address, buffer, builder.trunc(flags, INT))


def _emit_new_reference(builder: Any, address: Any) -> Any:
    _call(builder, "Py_IncRef", NOTHING, address)
    return address


def _compiles_array(function: Callable[..., Any], read_only: bool) -> None:
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


for _called, _name in CALLS:
    _compiles(_called, _calls(_name, NOTHING if _returns_nothing(_called) else LONG))
for _loaded, _bits, _is_signed in LOADS:
    _compiles(_loaded, _loads(_bits, _is_signed))
for _stored, _bits in STORES:
    _compiles(_stored, _stores(_bits))
for _array, _is_read_only in ARRAYS:
    _compiles_array(_array, _is_read_only)
_compiles(objects.stack_words, _emit_stack)
_compiles(objects.type_at, _loads_at(objects.TYPE_AT))
_compiles(objects.size_at, _loads_at(objects.SIZE_AT))
_compiles(objects.bound_bytes, _emit_bound)
_compiles(objects.cut_list, _stores(LONG.width, objects.SIZE_AT))
_compiles(objects.wide_object, _emit_wide)
_compiles(objects.wide_into, _emit_wide_into)
_compiles(objects.get_buffer, _emit_get_buffer)
_compiles(objects.new_reference, _emit_new_reference)
_compiles(objects.serve_signals, _calls("PyErr_CheckSignals", INT))
