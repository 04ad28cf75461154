"""Python objects as kernels see them, and a kernel as a builtin of Python.

Owns where CPython keeps what a kernel reads of an object, CPython's functions that kernels call, and how a kernel
becomes a builtin.  It must never know what a kernel does.

numba's dispatcher takes 170-225 ns before a kernel begins, 400 with nine arguments: types are looked up, arrays are
taken apart.  Its entry point alone, with all in one integer, takes 83.  A builtin that is made of the same machine code
takes 29: CPython hands it a pointer to the arguments (METH_FASTCALL), and it takes the objects as they are (bench
`ring.python`).  It holds the GIL, so it is short or lets go of it.

Such a kernel takes four integers: the address of the tuple that it is bound to, that of its arguments, how many are by
position, and the tuple of the others' names (0: none).  It returns a reference to its result, or 0 with an exception
set.  As plain Python it does the same, through ctypes.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tlv.jit import COMPILES, compile_with

WORD = np.dtype(np.int64)
BYTE = np.dtype(np.uint8)
DOUBLE = np.dtype(np.float64)
OBJECT_BYTES = object.__basicsize__
TYPE_AT = OBJECT_BYTES - 8
SIZE_AT = OBJECT_BYTES  # of bytes, a tuple, a list
BYTES_AT = bytes.__basicsize__ - 1  # a zero ends them
ITEMS_AT = tuple.__basicsize__
LIST_AT = OBJECT_BYTES + 8  # the address of its items
FLOAT_AT = OBJECT_BYTES

BUILTINS = COMPILES and sys.implementation.name == "cpython" and 2 * WORD.itemsize == OBJECT_BYTES
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


_definitions: dict[str, MethodDefinition] = {}
"""Builtins point into these, so they stay."""


def _api(name: str, result: Any, *arguments: Any) -> Any:
    function = ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))

    def call(*given: Any) -> Any:  # numpy's integers are none to ctypes
        return function(*(int(value) if isinstance(value, np.integer) else value for value in given))

    return call


_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p
_new_builtin = _api("PyCFunction_NewEx", ctypes.py_object, _POINTER, ctypes.py_object, ctypes.py_object)
_new_integer = _api("PyLong_FromLongLong", _POINTER, _LONG)
_as_integer = _api("PyLong_AsLongLong", _LONG, _POINTER)
_vectorcall = _api("PyObject_Vectorcall", _POINTER, _POINTER, _POINTER, ctypes.c_size_t, _POINTER)
_get_buffer = _api("PyObject_GetBuffer", ctypes.c_int, _POINTER, _POINTER, ctypes.c_int)
_release_buffer = _api("PyBuffer_Release", None, _POINTER)
_get_slice = _api("PySequence_GetSlice", _POINTER, _POINTER, _LONG, _LONG)
_get_item = _api("PyObject_GetItem", _POINTER, _POINTER, _POINTER)
_new_bytes = _api("PyBytes_FromStringAndSize", _POINTER, _POINTER, _LONG)
_new_list = _api("PyList_New", _POINTER, _LONG)
_new_reference = _api("Py_IncRef", None, _POINTER)
_drop_reference = _api("Py_DecRef", None, _POINTER)
_check_signals = _api("PyErr_CheckSignals", ctypes.c_int)


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


def integer_object(value: int) -> int:
    """A reference to an int."""
    return int(_new_integer(value))


def integer_of(address: int) -> int:
    """The value of an int; beyond 64 bits -1, with an exception set."""
    try:
        return int(_as_integer(address))
    except OverflowError:
        return -1


def clear_error() -> None:
    """Forget the exception that is set, if any.  As plain Python it was caught."""


def call_object(called: int, arguments: int, count: int, names: int) -> int:
    """Call an object with the arguments that a builtin was given: its result, or 0 with an exception set."""
    return int(_vectorcall(called, arguments, count, names or None))


def get_buffer(address: int, buffer: int, flags: int) -> int:
    """Fill a BUFFER: 0, or -1 with an exception set."""
    try:
        return int(_get_buffer(address, buffer, flags))
    except (BufferError, ValueError):
        return -1


def release_buffer(buffer: int) -> None:
    """Give a BUFFER back."""
    _release_buffer(buffer)


def slice_object(address: int, begin: int, end: int) -> int:
    """A reference to `object[begin:end]`."""
    return int(_get_slice(address, begin, end))


def part_object(address: int, part: int) -> int:
    """A reference to `object[part]`: with a slice that is there already, 81 ns for 102."""
    return int(_get_item(address, part))


def bytes_object(start: int, length: int) -> int:
    """A reference to a copy of `length` bytes."""
    return int(_new_bytes(start, length))


def list_object(length: int) -> int:
    """A reference to a list whose items are yet to be stored."""
    return int(_new_list(length))


def new_reference(address: int) -> int:
    """The object, once more."""
    _new_reference(address)
    return address


def drop_reference(address: int) -> None:
    """One reference to the object less."""
    _drop_reference(address)


def serve_signals() -> int:
    """Run the handlers of signals that came: 0, or -1 with an exception set, as by Ctrl-C."""
    return int(_check_signals())


def release_gil() -> int:
    """Let other threads run Python until `take_gil`; no object may be touched in between.  Plain Python keeps it."""
    return 0


def take_gil(state: int) -> None:
    """Wait for the GIL again; `state` is what `release_gil` returned."""


def type_at(address: int) -> int:
    """The address of an object's type."""
    return int(array_at(address + TYPE_AT, 1, WORD)[0])


def size_at(address: int) -> int:
    """The length of bytes, a tuple or a list."""
    return int(array_at(address + SIZE_AT, 1, WORD)[0])


def builtin(kernel: Any, name: str, text: str, bound: tuple[object, ...]) -> Callable[..., Any]:
    """A builtin whose code is `kernel`; `bound` lives as long as it does.

    `text` is its signature and docstring as `inspect` and `help` read them: "($self, a, /)" and what it does.
    """
    definition = _definitions.get(name)
    if definition is None:
        shown, doc = name.rpartition(".")[2].encode(), "\n--\n\n".join(text.split("\n", 1)).encode()
        definition = MethodDefinition(shown, code_address(kernel), FASTCALL, shown + doc)
        _definitions[name] = definition
    made: Callable[..., Any] = _new_builtin(ctypes.addressof(definition), bound, None)
    return made


def code_address(kernel: Any) -> int:
    """Where the machine code of a kernel of four integers is; compiled, or loaded, now."""
    from numba import types  # where nothing is compiled, numba is not imported

    compiled = kernel.get_compile_result(types.int64(*[types.int64] * 4))
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    return address


compile_with("tlv.object_instructions")
