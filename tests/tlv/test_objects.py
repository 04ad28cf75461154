"""Python objects in kernels: compiled and plain read and make the same ones, and keep none.

What is compiled is so whether or not the suite compiles.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import tlv.object_instructions  # noqa: F401 - what numba makes of `objects`
from tests.tlv.plain_calls import call_plainly
from tlv.objects import (
    BUFFER,
    BYTES_AT,
    INT64,
    ITEMS_AT,
    LIST_AT,
    LONG_SUBCLASS,
    ONE_ROW,
    UINT8,
    WORD,
    array_at,
    bound_bytes,
    builtin,
    bytes_object,
    call_object,
    clear_error,
    cut_list,
    drop_reference,
    flags_of,
    get_buffer,
    has_error,
    item_of,
    list_object,
    load_byte,
    load_short,
    load_signed,
    load_unsigned,
    load_word,
    new_reference,
    part_object,
    read_only_at,
    release_buffer,
    release_gil,
    serve_signals,
    signed_object,
    signed_of,
    size_at,
    slice_object,
    stack_words,
    store_byte,
    store_half,
    store_short,
    store_word,
    take_gil,
    text_object,
    tuple_object,
    type_at,
    unsigned_object,
    unsigned_of,
    utf8_of,
    wide_into,
    wide_object,
)


def compiled(function: Callable[..., Any]) -> Any:
    return CPUDispatcher(function, targetoptions={"nopython": True, "_nrt": False})


def as_builtin(kernel: Callable[..., int], *bound: object) -> Any:
    return builtin(compiled(kernel), kernel.__name__, "($self, /, *arguments)", bound)


def as_plain_python(kernel: Callable[..., int], *bound: object) -> Any:
    return partial(call_plainly, kernel, bound)


in_both_ways = pytest.mark.parametrize("way", [as_plain_python, as_builtin])


def numbers_of(bound: int, arguments: int, count: int, names: int) -> int:
    """`(data: bytes)`: a tuple of the numbers and texts that can be made of its bytes."""
    data = load_word(arguments)
    at = data + BYTES_AT
    made = tuple_object(10)
    items = stack_words()
    store_word(items, signed_object(load_byte(at)))
    store_word(items + WORD, signed_object(load_short(at)))
    store_word(items + 2 * WORD, signed_object(load_unsigned(at)))
    store_word(items + 3 * WORD, signed_object(load_signed(at)))
    store_word(items + 4 * WORD, signed_object(load_word(at)))
    store_word(items + 5 * WORD, unsigned_object(load_word(at)))
    store_word(items + 6 * WORD, wide_object(at, 16, 0))
    store_word(items + 7 * WORD, wide_object(at, 16, 1))
    store_word(items + 8 * WORD, bytes_object(at, size_at(data) - 13))
    store_word(items + 9 * WORD, text_object(at, 4, bound_bytes(bound)))
    for i in range(10 * count):
        store_word(made + ITEMS_AT + i * WORD, load_word(items + i * WORD))
    return made


@in_both_ways
def test_numbers_and_texts_are_made_of_bytes(way: Any) -> None:
    data = bytes(range(0xF8, 0x100)) * 2
    word, wide = int.from_bytes(data[:8], "little"), int.from_bytes(data, "little")
    assert way(numbers_of, b"replace")(data) == (
        *(0xF8, 0xF9F8, 0xFBFAF9F8, 0xFBFAF9F8 - (1 << 32), word - (1 << 64), word),
        *(wide, wide - (1 << 128), data[:3], data[:4].decode("utf-8", "replace")),
    )


def parts_of(bound: int, arguments: int, count: int, names: int) -> int:
    """`(text: bytes, part: slice, table: dict, key)`: a list of what can be made of them, and what came."""
    text, part, table, key = (
        load_word(arguments),
        load_word(arguments + WORD),
        load_word(arguments + 2 * WORD),
        load_word(arguments + 3 * WORD),
    )
    made = list_object(9)  # of which 7 are stored
    items = load_word(made + LIST_AT)
    store_word(items, slice_object(text, 1, 3))
    store_word(items + WORD, part_object(text, part))
    store_word(items + 2 * WORD, new_reference(new_reference(text)))
    drop_reference(text)
    found = item_of(table, key)
    store_word(items + 3 * WORD, new_reference(key if found == 0 else found))
    state = release_gil()
    letter = array_at(text + BYTES_AT, 4, UINT8)[3]
    take_gil(state)
    row = array_at(arguments, count, INT64)
    store_word(items + 4 * WORD, signed_object(letter + serve_signals() + len(array_at(0, 0, INT64))))
    named = size_at(names) if names != 0 else 0
    store_word(items + 5 * WORD, signed_object(named + 10 * len(row)))
    store_word(items + 6 * WORD, call_object(load_word(bound + ITEMS_AT), arguments, count, names))
    cut_list(made, 7)
    return made


@in_both_ways
def test_parts_of_objects_are_made_and_none_is_kept(way: Any) -> None:
    called, text, part, table, key = (lambda *given, last=0: last), b"abcd", slice(0, 2), {1 << 40: "one"}, 1 << 40
    shared = (called, text, part, table, key, table[key])
    before = [sys.getrefcount(one) for one in shared]
    take = way(parts_of, called)
    made = take(text, part, table, key)
    assert made == [b"bc", b"ab", b"abcd", "one", ord("d"), 40, 0] and made[2] is text
    assert sys.getrefcount(made) == 2
    assert take(text, part, {}, key, last=5)[3:] == [key, ord("d"), 41, 5]
    del take, made
    assert [sys.getrefcount(one) for one in shared] == before


def copied(bound: int, arguments: int, count: int, names: int) -> int:
    """`(number, small, text)`: bytes of the number's 16, of the small one's 1, 2, 4 and 8, and of the text; an
    exception where one has no such form."""
    number, small, text = load_word(arguments), load_word(arguments + WORD), load_word(arguments + 2 * WORD)
    room = stack_words()
    size = room + 6 * WORD
    source = utf8_of(text, size)
    if wide_into(number, room, 16, 1) != 0 or source == 0:
        return 0
    value = signed_of(small)
    if value == -1 and has_error() != 0:
        clear_error()
        value = unsigned_of(small)
    if flags_of(type_at(small)) & LONG_SUBCLASS == 0:
        return 0
    store_byte(room + 16, value)
    store_short(room + 17, value)
    store_half(room + 19, value)
    store_word(room + 23, value)
    for k in range(load_word(size)):
        store_byte(room + 31 + k, load_byte(source + k))
    return bytes_object(room, 31 + load_word(size))


@in_both_ways
def test_values_of_objects_are_read(way: Any) -> None:
    copy = way(copied)
    for number, small in ((-5, 7), (1 << 126, -(1 << 63)), (0, (1 << 64) - 1), (0, True)):
        low = small % (1 << 64)
        parts = [low.to_bytes(8, "little")[:size] for size in (1, 2, 4, 8)]
        assert copy(number, small, "é!") == number.to_bytes(16, "little", signed=True) + b"".join(parts) + "é!".encode()
    with pytest.raises(OverflowError):
        copy(1 << 127, 7, "")
    with pytest.raises(UnicodeEncodeError):
        copy(0, 7, "\ud800")


def called(bound: int, arguments: int, count: int, names: int) -> int:
    """`(function, *arguments)`: what the function gives, or raises."""
    return call_object(load_word(arguments), arguments + WORD, count - 1, names)


@in_both_ways
def test_what_a_call_raises_is_raised_and_no_reference_kept(way: Any) -> None:
    call, marker = way(called), object()
    assert call(max, 3, 7) == 7 and call(max, (), default=4) == 4
    with pytest.raises(ZeroDivisionError):
        call(divmod, 1, 0)
    before = sys.getrefcount(marker)
    for _ in range(1_000):
        assert call(id, marker) == id(marker)
        with pytest.raises(TypeError):
            call(len, marker)
    assert sys.getrefcount(marker) == before


def read_buffer(address: int, buffer: int) -> int:
    """The length of a row of bytes, or -1."""
    if get_buffer(address, buffer, ONE_ROW) != 0:
        clear_error()
        return -1
    row = array_at(buffer, 1, BUFFER)[0]
    length: int = row["size"] if row["dimensions"] == 1 and row["itemsize"] == 1 else -2
    release_buffer(buffer)
    return length


@pytest.mark.parametrize("read", [read_buffer, compiled(read_buffer)], ids=["plain", "compiled"])
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


def test_builtin_tells_what_it_does_and_holds_what_it_is_bound_to() -> None:
    text = b"bound".upper()
    before = sys.getrefcount(text)
    kernel = compiled(called)
    one, other = (builtin(kernel, "call", "($self, function, /)\nCall it.", (text,)) for _ in range(2))
    assert one(int) == other(int) == 0 and sys.getrefcount(text) == before + 2
    assert (one.__name__, one.__doc__, str(inspect.signature(one))) == ("call", "Call it.", "(function, /)")
    del one, other
    assert sys.getrefcount(text) == before


def store_at(address: int) -> None:
    """A store into what is only to be read."""
    read_only_at(address, 1, INT64)[0] = 1


def test_read_only_array_takes_no_store() -> None:
    word = np.full(1, 7, np.int64)
    with pytest.raises(ValueError, match="read-only"):
        store_at(word.ctypes.data)
    with pytest.raises(TypingError, match="readonly"):
        CPUDispatcher(store_at, targetoptions={"nopython": True})(word.ctypes.data)
    read = CPUDispatcher(lambda address: read_only_at(address, 1, INT64)[0], targetoptions={"nopython": True})
    assert read(word.ctypes.data) == 7
