"""The functions of `tlv.making` for numba; `making` imports this where kernels are compiled.

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

from tlv import making

WORD, INT = ir.IntType(64), ir.IntType(32)
CALLS: tuple[tuple[Callable[..., Any], str], ...] = (
    (making.signed_object, "PyLong_FromLongLong"),
    (making.unsigned_object, "PyLong_FromUnsignedLongLong"),
    (making.bytes_object, "PyBytes_FromStringAndSize"),
    (making.text_object, "PyUnicode_DecodeUTF8"),
    (making.tuple_object, "PyTuple_New"),
    (making.list_object, "PyList_New"),
    (making.item_of, "PyDict_GetItem"),
    (making.signed_of, "PyLong_AsLongLong"),
    (making.unsigned_of, "PyLong_AsUnsignedLongLong"),
    (making.utf8_of, "PyUnicode_AsUTF8AndSize"),
    (making.flags_of, "PyType_GetFlags"),
    (making.has_raised, "PyErr_Occurred"),
    (making.forget_exception, "PyErr_Clear"),
    (making.keep_object, "Py_IncRef"),
    (making.drop_object, "Py_DecRef"),
)
"""What takes and returns words, or nothing."""
LOADS = (
    (making.load_byte, 8, False),
    (making.load_short, 16, False),
    (making.load_unsigned, 32, False),
    (making.load_signed, 32, True),
    (making.load_word, 64, True),
)
STORES = ((making.store_byte, 8), (making.store_short, 16), (making.store_half, 32), (making.store_word, 64))


def _compiles(function: Callable[..., Any], emit: Callable[..., Any]) -> None:
    """Let numba replace a call of `function`, whose arguments are words, by what `emit(builder, *words)` does."""
    signature = inspect.signature(function)
    nothing = signature.return_annotation == "None"
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


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _calls(name: str, result: Any) -> Callable[..., Any]:
    def emit(builder: Any, *words: Any) -> Any:
        return builder.call(_function(builder, name, result, [WORD] * len(words)), words)

    return emit


def _loads(bits: int, signed: bool) -> Callable[..., Any]:
    def emit(builder: Any, address: Any) -> Any:
        kind = ir.IntType(bits)
        value = builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)
        return value if bits == WORD.width else (builder.sext if signed else builder.zext)(value, WORD)

    return emit


def _stores(bits: int) -> Callable[..., Any]:
    def emit(builder: Any, address: Any, value: Any) -> None:
        kind = ir.IntType(bits)
        narrow = value if bits == WORD.width else builder.trunc(value, kind)
        builder.store(narrow, builder.inttoptr(address, kind.as_pointer()), align=1)

    return emit


def _emit_cut(builder: Any, address: Any, count: Any) -> None:
    _stores(WORD.width)(builder, builder.add(address, WORD(making.SIZE_AT)), count)


def _emit_stack(builder: Any) -> Any:
    return builder.ptrtoint(cgutils.alloca_once(builder, WORD, making.STACK_WORDS), WORD)


def _emit_wide(builder: Any, address: Any, size: Any, signed: Any) -> Any:
    called = _function(builder, "_PyLong_FromByteArray", WORD, [WORD, WORD, INT, INT])
    return builder.call(called, [address, size, INT(1), builder.trunc(signed, INT)])


def _emit_wide_into(builder: Any, address: Any, into: Any, size: Any, signed: Any) -> Any:
    # The last argument is that of newer Pythons, whether it raises; older ones do, and take no notice of it.
    called = _function(builder, "_PyLong_AsByteArray", INT, [WORD, WORD, WORD, INT, INT, INT])
    return builder.sext(builder.call(called, [address, into, size, INT(1), builder.trunc(signed, INT), INT(1)]), WORD)


def _emit_call(builder: Any, called: Any, arguments: Any, count: Any) -> Any:
    function = _function(builder, "PyObject_Vectorcall", WORD, [WORD] * 4)
    return builder.call(function, [called, arguments, count, WORD(0)])


for _called, _name in CALLS:
    _compiles(_called, _calls(_name, ir.VoidType() if inspect.signature(_called).return_annotation == "None" else WORD))
for _loaded, _bits, _is_signed in LOADS:
    _compiles(_loaded, _loads(_bits, _is_signed))
for _stored, _bits in STORES:
    _compiles(_stored, _stores(_bits))
_compiles(making.stack_words, _emit_stack)
_compiles(making.cut_list, _emit_cut)
_compiles(making.wide_object, _emit_wide)
_compiles(making.wide_into, _emit_wide_into)
_compiles(making.call_object, _emit_call)


@type_callable(making.bytes_from)  # type: ignore[untyped-decorator]
def _type_bytes_from(_context: Any) -> Any:
    def check(address: Any, count: Any) -> Any:
        return types.Array(types.uint8, 1, "C")(types.int64, types.int64)

    check.__signature__ = inspect.signature(making.bytes_from)  # type: ignore[attr-defined]
    return check


@lower_builtin(making.bytes_from, types.int64, types.int64)  # type: ignore[untyped-decorator]
def _emit_bytes_from(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    from numba.np.arrayobj import populate_array  # it is there where something is compiled

    array = context.make_array(signature.return_type)(context, builder)
    data = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
    populate_array(array, data, [args[1]], [WORD(1)], WORD(1), None)
    return array._getvalue()
