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
    SIZE_AT,
    WORD,
    builtin,
    bytes_from,
    bytes_object,
    call_object,
    cut_list,
    drop_object,
    item_of,
    keep_object,
    list_object,
    load_byte,
    load_short,
    load_signed,
    load_unsigned,
    load_word,
    signed_object,
    stack_words,
    store_word,
    text_object,
    tuple_object,
    unsigned_object,
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
