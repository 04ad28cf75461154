"""Python objects as kernels see them, and a kernel as a builtin of Python.

Owns how a kernel reads and writes memory at an address, where CPython keeps what a kernel reads of an object, CPython's
functions that kernels call, and how a kernel becomes a builtin.  It must never know what a kernel does.

An object is an integer here: its address.  What makes one returns a new reference, or 0 with an exception set.
As plain Python each function does the same through ctypes, and an exception is kept in `raised`.

numba's dispatcher takes 170-225 ns before a kernel begins, 400 with nine arguments: types are looked up, arrays are
taken apart.  Its entry point alone, with all in one integer, takes 83.  A builtin that is made of the same machine code
takes 29: CPython hands it a pointer to the arguments (METH_FASTCALL), and it takes the objects as they are (bench
`ring.python`).  It holds the GIL, so it is short or lets go of it.

Such a kernel takes four integers: the address of the tuple that it is bound to, that of its arguments, how many are by
position, and the tuple of the others' names (0: none).  It returns a reference to its result, or 0 with an exception
set.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tlv.jit import COMPILES, compile_with

WORD = 8
"""Bytes of an integer or address."""
INT64, UINT8, FLOAT64 = np.dtype(np.int64), np.dtype(np.uint8), np.dtype(np.float64)
OBJECT_BYTES = object.__basicsize__
TYPE_AT = OBJECT_BYTES - WORD
SIZE_AT = OBJECT_BYTES  # of bytes, a tuple, a list
BYTES_AT = bytes.__basicsize__ - 1  # a zero ends them
ITEMS_AT = tuple.__basicsize__
LIST_AT = OBJECT_BYTES + WORD  # the address of its items
FLOAT_AT = OBJECT_BYTES
STACK_WORDS = 64
LONG_SUBCLASS = 1 << 24  # in the flags of int and of what derives from it

BUILTINS = COMPILES and sys.implementation.name == "cpython" and 2 * WORD == OBJECT_BYTES
"""Whether builtins can be made: not of kernels that are plain Python, nor where an object does not begin with its count
and its type (a build without GIL, or for debugging)."""

ONE_ROW = 0x08 | 0x04  # PyBUF_ND | PyBUF_FORMAT: contiguous, and of which shape and type
BUFFER = np.dtype(  # Py_buffer
    [
        ("start", np.int64),
        ("owner", np.int64),
        ("size", np.int64),
        ("itemsize", np.int64),
        ("read_only", np.int32),
        ("dimensions", np.int32),
        ("format", np.int64),
        ("rest", np.int64, (4,)),
    ]
)
FASTCALL = 0x80 | 0x02  # METH_FASTCALL | METH_KEYWORDS


class MethodDefinition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_definitions: dict[Any, MethodDefinition] = {}
"""Of each kernel.  Builtins point into these, so they stay."""
_stacks: deque[Any] = deque(maxlen=STACK_WORDS)
"""The newest rows of words that plain kernels got; none is used for longer than a call."""

raised: deque[BaseException] = deque(maxlen=1)
"""What plain kernels go on from, in the place of the exception that is set where they are compiled."""

_LONG, _INT, _POINTER = ctypes.c_int64, ctypes.c_int, ctypes.c_void_p


def _api(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    """A function of CPython for plain kernels: 0 in the place of an object, or -1, for an exception, which is kept."""
    function = ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))
    failed = 0 if result is _POINTER else -1

    def call(*given: Any) -> int:
        try:
            return function(*map(int, given)) or 0  # numpy's integers are none to ctypes
        except BaseException as error:  # noqa: BLE001 - whatever it is: a kernel goes on
            raised.append(error)
            return failed

    return call


_signed = _api("PyLong_FromLongLong", _POINTER, _LONG)
_unsigned = _api("PyLong_FromUnsignedLongLong", _POINTER, ctypes.c_uint64)
_wide = _api("_PyLong_FromByteArray", _POINTER, _POINTER, ctypes.c_size_t, _INT, _INT)
_bytes = _api("PyBytes_FromStringAndSize", _POINTER, _POINTER, _LONG)
_text = _api("PyUnicode_DecodeUTF8", _POINTER, _POINTER, _LONG, _POINTER)
_tuple = _api("PyTuple_New", _POINTER, _LONG)
_list = _api("PyList_New", _POINTER, _LONG)
_dict_item = _api("PyDict_GetItem", _POINTER, _POINTER, _POINTER)
_part = _api("PyObject_GetItem", _POINTER, _POINTER, _POINTER)
_slice = _api("PySequence_GetSlice", _POINTER, _POINTER, _LONG, _LONG)
_call = _api("PyObject_Vectorcall", _POINTER, _POINTER, _POINTER, ctypes.c_size_t, _POINTER)
_as_signed = _api("PyLong_AsLongLong", _LONG, _POINTER)
_as_unsigned = _api("PyLong_AsUnsignedLongLong", _LONG, _POINTER)
_as_bytes = _api("_PyLong_AsByteArray", _INT, _POINTER, _POINTER, ctypes.c_size_t, _INT, _INT, _INT)
_as_text = _api("PyUnicode_AsUTF8AndSize", _POINTER, _POINTER, _POINTER)
_flags = _api("PyType_GetFlags", _LONG, _POINTER)
_get_buffer = _api("PyObject_GetBuffer", _INT, _POINTER, _POINTER, _INT)
_release_buffer = _api("PyBuffer_Release", None, _POINTER)
_new_reference = _api("Py_IncRef", None, _POINTER)
_drop_reference = _api("Py_DecRef", None, _POINTER)
_check_signals = _api("PyErr_CheckSignals", _INT)
_new_builtin = ctypes.PYFUNCTYPE(ctypes.py_object, _POINTER, ctypes.py_object, ctypes.py_object)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)


def array_at(address: int, count: int, dtype: np.dtype[Any]) -> Any:
    """`count` elements of memory that is there, and stays as long as the array is used."""
    if count == 0:
        return np.zeros(0, dtype)
    memory = (ctypes.c_char * (int(count) * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(memoryview(memory), dtype)


def read_only_at(address: int, count: int, dtype: np.dtype[Any]) -> Any:
    """`array_at`, but a kernel that stores into it does not compile."""
    found = array_at(address, count, dtype)
    found.flags.writeable = False
    return found


def load_byte(address: int) -> int:
    """An u8."""
    return ctypes.c_uint8.from_address(int(address)).value


def load_short(address: int) -> int:
    """An u16."""
    return ctypes.c_uint16.from_address(int(address)).value


def load_unsigned(address: int) -> int:
    """An u32."""
    return ctypes.c_uint32.from_address(int(address)).value


def load_signed(address: int) -> int:
    """An i32."""
    return ctypes.c_int32.from_address(int(address)).value


def load_word(address: int) -> int:
    """An i64: an integer, or the address of an object."""
    return ctypes.c_int64.from_address(int(address)).value


def store_byte(address: int, value: int) -> None:
    """Write the lowest 8 bits."""
    ctypes.c_uint8.from_address(int(address)).value = value


def store_short(address: int, value: int) -> None:
    """Write the lowest 16 bits."""
    ctypes.c_uint16.from_address(int(address)).value = value


def store_half(address: int, value: int) -> None:
    """Write the lowest 32 bits."""
    ctypes.c_uint32.from_address(int(address)).value = value


def store_word(address: int, value: int) -> None:
    """Write an i64."""
    ctypes.c_int64.from_address(int(address)).value = value


def stack_words() -> int:
    """The address of `STACK_WORDS` words that are the calling kernel's own until it returns."""
    words = (ctypes.c_int64 * STACK_WORDS)()
    _stacks.append(words)
    return ctypes.addressof(words)


def type_at(address: int) -> int:
    """The address of an object's type."""
    return load_word(address + TYPE_AT)


def size_at(address: int) -> int:
    """The length of bytes, a tuple or a list."""
    return load_word(address + SIZE_AT)


def bound_bytes(bound: int) -> int:
    """The address of the bytes that are the first of what a builtin is bound to."""
    return load_word(bound + ITEMS_AT) + BYTES_AT


def signed_object(value: int) -> int:
    """An int."""
    return _signed(value)


def unsigned_object(value: int) -> int:
    """An int of the 64 bits, without a sign."""
    return _unsigned(value)


def wide_object(address: int, size: int, signed: int) -> int:
    """An int of `size` little-endian bytes."""
    return _wide(address, size, 1, signed)


def bytes_object(address: int, size: int) -> int:
    """A copy of the bytes; of address 0, bytes that are yet to be stored."""
    return _bytes(address, size)


def text_object(address: int, size: int, errors: int) -> int:
    """A str of UTF-8; `errors` is the address of the name of what is done with other bytes."""
    return _text(address, size, errors)


def tuple_object(count: int) -> int:
    """A tuple whose items are yet to be stored; one that is dropped before has none."""
    return _tuple(count)


def list_object(count: int) -> int:
    """A list whose items are yet to be stored."""
    return _list(count)


def cut_list(address: int, count: int) -> None:
    """Let a list whose other items were not stored have `count`."""
    store_word(address + SIZE_AT, count)


def slice_object(address: int, begin: int, end: int) -> int:
    """`object[begin:end]`."""
    return _slice(address, begin, end)


def part_object(address: int, part: int) -> int:
    """`object[part]`: with a slice that is there already, 81 ns for the 102 of `slice_object`."""
    return _part(address, part)


def item_of(table: int, key: int) -> int:
    """The value of a dict's key, borrowed; 0 if it has none, without an exception."""
    return _dict_item(table, key)


def call_object(called: int, arguments: int, count: int, names: int) -> int:
    """What a call gives: with `count` objects at `arguments`, and behind them those of the tuple of names (0: none)."""
    return _call(called, arguments, count, names)


def signed_of(address: int) -> int:
    """The value of an int; -1 and an exception where it has more than 64 bits."""
    return _as_signed(address)


def unsigned_of(address: int) -> int:
    """The 64 bits of an int without a sign; -1 and an exception where it has another form."""
    return _as_unsigned(address)


def wide_into(address: int, into: int, size: int, signed: int) -> int:
    """Write an int as `size` little-endian bytes: 0, or -1 and an exception."""
    return _as_bytes(address, into, size, 1, signed, 1)


def utf8_of(address: int, size: int) -> int:
    """Where the UTF-8 of a str is, and at the address `size` how long it is; 0 and an exception where it has none."""
    return _as_text(address, size)


def flags_of(address: int) -> int:
    """The flags of a type."""
    return _flags(address)


def get_buffer(address: int, buffer: int, flags: int) -> int:
    """Fill a BUFFER: 0, or -1 and an exception."""
    return _get_buffer(address, buffer, flags)


def release_buffer(buffer: int) -> None:
    """Give a BUFFER back."""
    _release_buffer(buffer)


def new_reference(address: int) -> int:
    """The object, once more."""
    _new_reference(address)
    return address


def drop_reference(address: int) -> None:
    """One reference to the object less; nothing, if there is no object."""
    _drop_reference(address)


def has_error() -> int:
    """Whether an exception is set: not 0."""
    return len(raised)


def clear_error() -> None:
    """Forget the exception that is set, if any."""
    raised.clear()


def serve_signals() -> int:
    """Run the handlers of signals that came: 0, or -1 and an exception, as by Ctrl-C."""
    return _check_signals()


def release_gil() -> int:
    """Let other threads run Python until `take_gil`; no object may be touched in between.  Plain Python keeps it."""
    return 0


def take_gil(state: int) -> None:
    """Wait for the GIL again; `state` is what `release_gil` returned."""


def builtin(kernel: Any, name: str, text: str, bound: tuple[object, ...]) -> Callable[..., Any]:
    """A builtin whose code is `kernel`, compiled, or loaded, now; `bound` lives as long as it does.

    `text` is its signature and docstring as `inspect` and `help` read them: "($self, a, /)", and in the lines behind
    what it does.
    """
    definition = _definitions.get(kernel)
    if definition is None:
        from numba import types  # where nothing is compiled, numba is not imported

        compiled = kernel.get_compile_result(types.int64(*[types.int64] * 4))
        code = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
        signature, _, doc = text.partition("\n")
        shown = f"{name}{signature}\n--\n\n{doc}"
        definition = _definitions[kernel] = MethodDefinition(name.encode(), code, FASTCALL, shown.encode())
    made: Callable[..., Any] = _new_builtin(ctypes.addressof(definition), bound, None)
    return made


compile_with("tlv.object_instructions")
