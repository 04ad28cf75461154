"""Python objects in kernels: compiled and plain read and make the same ones, and keep none."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import tlv.object_instructions  # noqa: F401 - what numba makes of them, also where this suite compiles nothing
from tlv.objects import (
    BUFFER,
    BYTE,
    BYTES_AT,
    ITEMS_AT,
    LIST_AT,
    ONE_ROW,
    WORD,
    array_at,
    builtin,
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


def make_all(number: int, text: int, part: int, called: int, arguments: int, out: np.ndarray[Any, Any]) -> int:
    """References to what can be made, at the addresses of the items of a list."""
    made = list_object(6)
    items = array_at(array_at(made + LIST_AT, 1, WORD)[0], 6, WORD)
    items[0] = integer_object(integer_of(number) + size_at(text))
    items[1] = slice_object(text, 1, 3)
    items[2] = part_object(text, part)
    items[3] = bytes_object(text + BYTES_AT, 2)
    items[4] = new_reference(new_reference(text))
    drop_reference(text)
    items[5] = call_object(called, arguments, 1, 0)
    state = release_gil()
    out[0] = array_at(text + BYTES_AT, 4, BYTE)[3]
    take_gil(state)
    out[1] = serve_signals() + len(array_at(0, 0, WORD))
    return made


def read_buffer(address: int, buffer: int) -> int:
    """The length of a row of bytes, or -1."""
    if get_buffer(address, buffer, ONE_ROW) != 0:
        clear_error()
        return -1
    row = array_at(buffer, 1, BUFFER)[0]
    length: int = row["size"] if row["dimensions"] == 1 and row["itemsize"] == 1 else -2
    release_buffer(buffer)
    return length


def too_large(number: int) -> int:
    """What a number beyond 64 bits reads as; its type is read as well."""
    found = integer_of(number)
    clear_error()
    return found if type_at(number) == type_at(number) else 0


def both(function: Callable[..., int]) -> list[Callable[..., int]]:
    return [function, CPUDispatcher(function, targetoptions={"nopython": True, "_nrt": False})]


@pytest.mark.parametrize("make", both(make_all), ids=["plain", "compiled"])
def test_objects_are_made_and_none_is_kept(make: Callable[..., int]) -> None:
    number, text, part, arguments = 1 << 40, b"abcd", slice(0, 2), (1,)
    called = b"12345".__getitem__
    shared = (number, text, part, called, arguments)
    before = [sys.getrefcount(one) for one in shared]
    out = np.zeros(2, np.int64)
    given = (id(number), id(text), id(part), id(called), id(arguments) + ITEMS_AT)
    address = make(*given, out)
    made = ctypes.cast(address, ctypes.py_object).value
    assert made == [(1 << 40) + 4, b"bc", b"ab", b"ab", b"abcd", 50] and made[4] is text
    assert out.tolist() == [ord("d"), 0]
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(made))
    assert sys.getrefcount(made) == 2
    del made
    assert [sys.getrefcount(one) for one in shared] == before


@pytest.mark.parametrize("read", both(read_buffer), ids=["plain", "compiled"])
def test_buffers_are_given_back(read: Callable[..., int]) -> None:
    buffer = np.zeros(1, BUFFER)
    given: list[Any] = [bytearray(7), memoryview(b"12"), np.zeros((2, 2), np.uint8), memoryview(b"1234")[::2], 5]
    found = []
    for one in given[:4]:
        before = sys.getrefcount(one)
        found.append(read(id(one), buffer.ctypes.data))
        assert sys.getrefcount(one) == before
    assert found == [7, 2, -2, -1]
    given[0].append(1)  # nobody holds it


@pytest.mark.parametrize("read", both(too_large), ids=["plain", "compiled"])
def test_integer_beyond_64_bits_leaves_no_exception(read: Callable[..., int]) -> None:
    assert read(id(1 << 80)) == -1


def count_call(bound: int, arguments: int, count: int, names: int) -> int:
    """How many arguments came, and the length of what it is bound to."""
    named = size_at(names) if names != 0 else 0
    return integer_object(count + named + size_at(array_at(bound + ITEMS_AT, 1, WORD)[0]))


def test_builtin_holds_what_it_is_bound_to() -> None:
    text = b"bound".upper()
    before = sys.getrefcount(text)
    kernel = CPUDispatcher(count_call, targetoptions={"nopython": True, "_nrt": False})
    count = builtin(kernel, "test.count", "($self, *arguments)\nCount.", (text,))
    again = builtin(kernel, "test.count", "($self, *arguments)\nCount.", (text,))
    assert (count(), again(1, 2), count(1, a=2, b=3)) == (5, 7, 8)
    assert count.__doc__ == "Count." and count.__name__ == "count" and sys.getrefcount(text) == before + 2
    del count, again
    assert sys.getrefcount(text) == before


def store_at(address: int) -> None:
    """A store into what is only to be read."""
    read_only_at(address, 1, WORD)[0] = 1


def test_read_only_array_takes_no_store() -> None:
    word = np.full(1, 7, np.int64)
    with pytest.raises(ValueError, match="read-only"):
        store_at(word.ctypes.data)
    with pytest.raises(TypingError, match="readonly"):
        CPUDispatcher(store_at, targetoptions={"nopython": True})(word.ctypes.data)
    read = CPUDispatcher(lambda address: read_only_at(address, 1, WORD)[0], targetoptions={"nopython": True})
    assert read(word.ctypes.data) == 7
