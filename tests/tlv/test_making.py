"""Values that machine code makes through CPython, in a builtin that is compiled whether or not the suite compiles."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import pytest
from numba.core.registry import CPUDispatcher

import tlv.making_instructions  # noqa: F401 - what numba makes of `making`
from tlv import making
from tlv.making import (
    BYTES_AT,
    ITEMS_AT,
    LIST_AT,
    LONG_SUBCLASS,
    SIZE_AT,
    TYPE_AT,
    WORD,
    builtin,
    bytes_from,
    bytes_object,
    call_object,
    cut_list,
    drop_object,
    flags_of,
    forget_exception,
    has_raised,
    item_of,
    keep_object,
    list_object,
    load_byte,
    load_short,
    load_signed,
    load_unsigned,
    load_word,
    signed_object,
    signed_of,
    stack_words,
    store_byte,
    store_half,
    store_short,
    store_word,
    text_object,
    tuple_object,
    unsigned_object,
    unsigned_of,
    utf8_of,
    wide_into,
    wide_object,
)


def values_of(bound: int, arguments: int, count: int) -> int:
    """`(data: bytes, table: dict, key)`: a tuple of everything that can be made of the data."""
    data, table, key = load_word(arguments), load_word(arguments + WORD), load_word(arguments + 2 * WORD)
    at = data + BYTES_AT
    row = bytes_from(at, load_word(data + SIZE_AT))
    made = tuple_object(12)
    found = item_of(table, key)
    if found == 0:
        found = key
    keep_object(found)
    numbers = list_object(3)
    store_word(load_word(numbers + LIST_AT), signed_object(row.size))
    cut_list(numbers, 1)
    items = stack_words()
    store_word(items, signed_object(load_byte(at)))
    store_word(items + WORD, signed_object(load_short(at)))
    store_word(items + 2 * WORD, signed_object(load_unsigned(at)))
    store_word(items + 3 * WORD, signed_object(load_signed(at)))
    store_word(items + 4 * WORD, signed_object(load_word(at)))
    store_word(items + 5 * WORD, unsigned_object(load_word(at)))
    store_word(items + 6 * WORD, wide_object(at, 16, 0))
    store_word(items + 7 * WORD, wide_object(at, 16, 1))
    store_word(items + 8 * WORD, bytes_object(at, 3))
    store_word(items + 9 * WORD, text_object(at, 4, bound + BYTES_AT))
    store_word(items + 10 * WORD, found)
    store_word(items + 11 * WORD, numbers)
    for i in range(4 * count):
        store_word(made + ITEMS_AT + i * WORD, load_word(items + i * WORD))
    return made


def copied(_bound: int, arguments: int, _count: int) -> int:
    """`(number, small, text, length)`: bytes of the number's 16, of the small one's 1, 2, 4 and 8, and of the text; an
    exception where one has no such form."""
    number, small, text = load_word(arguments), load_word(arguments + WORD), load_word(arguments + 2 * WORD)
    room = stack_words()
    size = room + 6 * WORD
    source = utf8_of(text, size)
    if wide_into(number, room, 16, 1) != 0 or source in (0, -1):
        return 0
    value = signed_of(small)
    if value == -1 and has_raised() != 0:
        forget_exception()
        value = unsigned_of(small)
    if flags_of(load_word(small + TYPE_AT)) & LONG_SUBCLASS == 0:
        return 0
    store_byte(room + 16, value)
    store_short(room + 17, value)
    store_half(room + 19, value)
    store_word(room + 23, value)
    for k in range(load_word(size)):
        store_byte(room + 31 + k, load_byte(source + k))
    return bytes_object(room, 31 + load_word(size))


def called(_bound: int, arguments: int, count: int) -> int:
    """`(function, *arguments)`: what the function gives, or raises."""
    return call_object(load_word(arguments), arguments + WORD, count - 1)


def plain(kernel: Any, bound: bytes) -> Any:
    """The same as plain Python."""

    def call(*arguments: object) -> Any:
        row = (ctypes.c_int64 * len(arguments))(*map(id, arguments))
        found = kernel(id(bound), ctypes.addressof(row), len(arguments))
        if found == 0:
            raise making.raised.pop()
        try:
            return ctypes.cast(found, ctypes.py_object).value
        finally:
            drop_object(found)

    return call


def compiled(kernel: Any, bound: bytes) -> Any:
    """As a builtin."""
    return builtin(CPUDispatcher(kernel, targetoptions={"nopython": True}), kernel.__name__, bound)


@pytest.mark.parametrize("way", [plain, compiled])
def test_a_builtin_makes_every_kind_of_value(way: Any) -> None:
    values = way(values_of, b"replace")
    data = bytes(range(0xF8, 0x100)) * 2
    word = int.from_bytes(data[:8], "little")
    expected = (0xF8, 0xF9F8, 0xFBFAF9F8, 0xFBFAF9F8 - (1 << 32), word - (1 << 64), word)
    wide = int.from_bytes(data, "little")
    shown = data[:4].decode("utf-8", "replace")
    assert values(data, {1: "one"}, 1) == (*expected, wide, wide - (1 << 128), data[:3], shown, "one", [16])
    assert values(data, {}, "none")[10] == "none"


@pytest.mark.parametrize("way", [plain, compiled])
def test_a_builtin_reads_the_values_of_objects(way: Any) -> None:
    copy = way(copied, b"")
    for number, small in ((-5, 7), (1 << 126, -(1 << 63)), (0, (1 << 64) - 1), (0, True)):
        low = small % (1 << 64)
        parts = [low.to_bytes(8, "little")[:size] for size in (1, 2, 4, 8)]
        assert copy(number, small, "é!") == number.to_bytes(16, "little", signed=True) + b"".join(parts) + "é!".encode()
    with pytest.raises(OverflowError):
        copy(1 << 127, 7, "")
    with pytest.raises(UnicodeEncodeError):
        copy(0, 7, "\ud800")


@pytest.mark.parametrize("way", [plain, compiled])
def test_a_builtin_raises_what_a_call_raises_and_keeps_no_reference(way: Any) -> None:
    call, marker = way(called, b""), object()
    assert call(max, 3, 7) == 7
    with pytest.raises(ZeroDivisionError):
        call(divmod, 1, 0)
    before = sys.getrefcount(marker)
    for _ in range(1_000):
        assert call(id, marker) == id(marker)
        with pytest.raises(TypeError):
            call(len, marker)
    assert sys.getrefcount(marker) == before


def test_plain_memory_of_no_bytes_is_none() -> None:
    assert bytes_from(0, 0).size == 0
