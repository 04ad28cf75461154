"""CPython's functions that make values, for kernels: what `tlv.record_kernels` builds records with.

Owns how a kernel reads a word of memory, makes an object, and becomes a builtin.  It must never know what a record is.

An object is an integer here: its address.  What makes one returns a new reference, or 0 with an exception set.  As
plain Python each does the same through ctypes, and an exception is kept in `raised`.  A builtin holds the GIL from its
first to its last instruction.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tlv.buffers import Bytes
from tlv.jit import COMPILES, compile_with

WORD = 8
OBJECT_BYTES = object.__basicsize__
TYPE_AT = WORD
SIZE_AT = OBJECT_BYTES  # of bytes and tuples
BYTES_AT = bytes.__basicsize__ - 1  # a zero ends them
ITEMS_AT = tuple.__basicsize__
LIST_AT = OBJECT_BYTES + WORD  # the address of its items
STACK_WORDS = 64
LONG_SUBCLASS = 1 << 24  # in the flags of int and of what derives from it

BUILTINS = COMPILES and sys.implementation.name == "cpython" and 2 * WORD == OBJECT_BYTES
"""Whether builtins can be made: not of kernels that are plain Python, nor where an object does not begin with its count
and its type (a build without GIL, or for debugging)."""

FASTCALL = 0x80  # METH_FASTCALL


class BuiltinDefinition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_definitions: list[BuiltinDefinition] = []
"""Builtins point into these, so they stay."""
_stacks: deque[Any] = deque(maxlen=STACK_WORDS)
"""The newest rows of words that plain kernels got; none is used for longer than a call."""


raised: deque[BaseException] = deque(maxlen=1)
"""What plain kernels go on from, in the place of the exception that is set where they are compiled."""


def _api(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


def _made(function: Callable[..., Any], *arguments: Any) -> int:
    """The object that CPython's function makes; 0 for an exception, which is kept."""
    try:
        return int(function(*arguments))
    except BaseException as error:  # noqa: BLE001 - whatever it is: a kernel goes on with 0
        raised.append(error)
        return 0


def _found(function: Callable[..., Any], *arguments: Any) -> int:
    """What CPython's function finds; -1 for an exception, which is kept."""
    try:
        return int(function(*arguments))
    except BaseException as error:  # noqa: BLE001 - as above
        raised.append(error)
        return -1


_LONG, _POINTER, _INT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
_signed = _api("PyLong_FromLongLong", _POINTER, _LONG)
_unsigned = _api("PyLong_FromUnsignedLongLong", _POINTER, ctypes.c_uint64)
_wide = _api("_PyLong_FromByteArray", _POINTER, _POINTER, ctypes.c_size_t, _INT, _INT)
_bytes = _api("PyBytes_FromStringAndSize", _POINTER, _POINTER, _LONG)
_text = _api("PyUnicode_DecodeUTF8", _POINTER, _POINTER, _LONG, _POINTER)
_tuple = _api("PyTuple_New", _POINTER, _LONG)
_list = _api("PyList_New", _POINTER, _LONG)
_item = _api("PyDict_GetItem", _POINTER, _POINTER, _POINTER)
_call = _api("PyObject_Vectorcall", _POINTER, _POINTER, _POINTER, ctypes.c_size_t, _POINTER)
_as_signed = _api("PyLong_AsLongLong", _LONG, _POINTER)
_as_unsigned = _api("PyLong_AsUnsignedLongLong", _LONG, _POINTER)
_as_bytes = _api("_PyLong_AsByteArray", _INT, _POINTER, _POINTER, ctypes.c_size_t, _INT, _INT, _INT)
_as_text = _api("PyUnicode_AsUTF8AndSize", _POINTER, _POINTER, _POINTER)
_flags = _api("PyType_GetFlags", _LONG, _POINTER)
_keep = _api("Py_IncRef", None, _POINTER)
_drop = _api("Py_DecRef", None, _POINTER)
_new_builtin = _api("PyCFunction_NewEx", ctypes.py_object, _POINTER, ctypes.py_object, ctypes.py_object)


def bytes_from(address: int, count: int) -> Bytes:
    """`count` bytes of memory that is there, and stays as long as the array is used."""
    if count == 0:
        return np.zeros(0, np.uint8)
    memory: Any = (ctypes.c_char * count).from_address(address)
    return np.frombuffer(memory, np.uint8)


def load_byte(address: int) -> int:
    """An u8."""
    return ctypes.c_uint8.from_address(address).value


def load_short(address: int) -> int:
    """An u16."""
    return ctypes.c_uint16.from_address(address).value


def load_unsigned(address: int) -> int:
    """An u32."""
    return ctypes.c_uint32.from_address(address).value


def load_signed(address: int) -> int:
    """An i32."""
    return ctypes.c_int32.from_address(address).value


def load_word(address: int) -> int:
    """An i64: an integer, or the address of an object."""
    return ctypes.c_int64.from_address(address).value


def store_word(address: int, value: int) -> None:
    """Write an i64."""
    ctypes.c_int64.from_address(address).value = value


def store_byte(address: int, value: int) -> None:
    """Write the lowest 8 bits."""
    ctypes.c_uint8.from_address(address).value = value


def store_short(address: int, value: int) -> None:
    """Write the lowest 16 bits."""
    ctypes.c_uint16.from_address(address).value = value


def store_half(address: int, value: int) -> None:
    """Write the lowest 32 bits."""
    ctypes.c_uint32.from_address(address).value = value


def stack_words() -> int:
    """The address of `STACK_WORDS` words that are the calling kernel's own until it returns."""
    words = (ctypes.c_int64 * STACK_WORDS)()
    _stacks.append(words)
    return ctypes.addressof(words)


def signed_object(value: int) -> int:
    """An int."""
    return _made(_signed, value)


def unsigned_object(value: int) -> int:
    """An int of the 64 bits, without a sign."""
    return _made(_unsigned, value & (1 << 64) - 1)


def wide_object(address: int, size: int, signed: int) -> int:
    """An int of `size` little-endian bytes."""
    return _made(_wide, address, size, 1, signed)


def bytes_object(address: int, size: int) -> int:
    """A copy of the bytes."""
    return _made(_bytes, address, size)


def text_object(address: int, size: int, errors: int) -> int:
    """A str of UTF-8; `errors` is the address of the name of what is done with other bytes."""
    return _made(_text, address, size, errors)


def tuple_object(count: int) -> int:
    """A tuple whose items are yet to be stored; one that is dropped before has none."""
    return _made(_tuple, count)


def list_object(count: int) -> int:
    """A list whose items are yet to be stored."""
    return _made(_list, count)


def cut_list(address: int, count: int) -> None:
    """Let a list whose other items were not stored have `count`."""
    store_word(address + SIZE_AT, count)


def item_of(table: int, key: int) -> int:
    """The value of a dict's key, borrowed; 0 if it has none, without an exception."""
    return int(_item(table, key) or 0)


def call_object(called: int, arguments: int, count: int) -> int:
    """What a call with the objects in `count` words gives."""
    return _made(_call, called, arguments, count, None)


def signed_of(address: int) -> int:
    """The value of an int; -1 and an exception where it has more than 64 bits."""
    return _found(_as_signed, address)


def unsigned_of(address: int) -> int:
    """The 64 bits of an int without a sign; -1 and an exception where it has another form."""
    return _found(_as_unsigned, address)


def wide_into(address: int, into: int, size: int, signed: int) -> int:
    """Write an int as `size` little-endian bytes: 0, or -1 and an exception."""
    return _found(_as_bytes, address, into, size, 1, signed, 1)


def utf8_of(address: int, size: int) -> int:
    """Where the UTF-8 of a str is, and at the address `size` how long it is; 0 and an exception, or -1 as plain Python,
    where it has none."""
    return _found(_as_text, address, size)


def flags_of(address: int) -> int:
    """The flags of a type."""
    return int(_flags(address))


def has_raised() -> int:
    """Whether an exception is set."""
    return len(raised)


def forget_exception() -> None:
    """Set none."""
    raised.clear()


def keep_object(address: int) -> None:
    """One reference more."""
    _keep(address)


def drop_object(address: int) -> None:
    """One reference less; nothing, if there is no object."""
    _drop(address)


def builtin(kernel: Any, name: str, bound: bytes) -> Callable[..., Any]:
    """A builtin whose code is `kernel`: int64(address of `bound`, address of its arguments, how many).

    It returns the kernel's reference; 0 raises.  `bound` lives as long as it does.
    """
    from numba import types  # where nothing is compiled, numba is not imported

    compiled = kernel.get_compile_result(types.int64(*[types.int64] * 3))
    code = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    _definitions.append(BuiltinDefinition(name.encode(), code, FASTCALL, None))
    made: Callable[..., Any] = _new_builtin(ctypes.addressof(_definitions[-1]), bound, None)
    return made


compile_with("tlv.making_instructions")
