"""Hex, strictly: what is accepted, what is refused, and that kernels read what Python reads."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.node.hex import (
    BAD_DIGIT,
    HexError,
    fits_signed,
    fits_unsigned,
    is_hex_shaped,
    read_bytes,
    read_limb,
    read_number,
    read_quantity,
    read_word,
)
from tests.tlv.plain import both
from tlv.buffers import Bytes, Limbs

DIGITS = "0123456789abcdefABCDEF"
BOUNDARIES = sorted({((1 << bit) + step) % (1 << 256) for bit in range(257) for step in (-1, 0, 1)})
"""2^k and 2^k+-1 for every k, within a word."""


def ascii_array(text: str) -> Bytes:
    return np.frombuffer(text.encode("ascii"), dtype=np.uint8)


def limbs_of(value: int) -> Limbs:
    return np.array([value >> shift & (1 << 64) - 1 for shift in (0, 64, 128, 192)], dtype=np.uint64)


def value_of(limbs: Limbs) -> int:
    return sum(int(limb) << 64 * place for place, limb in enumerate(limbs))


@pytest.mark.parametrize("text", ["0x", "0x00", "0xdeadBEEF", "0x" + "0123456789abcdefABCDEF" * 3])
def test_read_bytes_valid_hex_returns_the_bytes(text: str) -> None:
    assert read_bytes(text) == bytes.fromhex(text[2:])


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "0",
        "00",
        "0x0",
        "0X00",
        "x00",
        " 0x00",
        "0x00 ",
        "0x0 0",
        "0x00\n",
        "0x_0",
        "-0x00",
        "0x0g",
        "0x\u0660\u0660",
        "0x\xe9\xe9",
    ],
)
def test_read_bytes_anything_else_is_refused(text: str | None) -> None:
    with pytest.raises(HexError, match="hex digits"):
        read_bytes(text)


def test_read_bytes_another_size_is_refused_with_the_expected_one() -> None:
    assert read_bytes("0x" + "00" * 20, 20) == bytes(20)
    with pytest.raises(HexError, match="expected 0x and 40 hex digits"):
        read_bytes("0x" + "00" * 19, 20)


def test_read_bytes_long_garbage_is_not_repeated_in_the_error() -> None:
    with pytest.raises(HexError) as refused:
        read_bytes("z" * 1_000_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"), [("0x", 0), ("0x0", 0), ("0x00ff", 255), ("0xFf", 255), ("0x" + "f" * 64, (1 << 256) - 1)]
)
def test_read_quantity_valid_hex_returns_the_number(text: str, value: int) -> None:
    assert read_quantity(text) == value


@pytest.mark.parametrize(
    "text", [None, "", "0", "10", " 0x10 ", "0x_1_0", "0x1_0", "-0x10", "+0x10", "0X10", "0x1\n", "0x" + "0" * 65]
)
def test_read_quantity_what_int_would_take_is_refused(text: str | None) -> None:
    with pytest.raises(HexError, match="at most 64 hex digits"):
        read_quantity(text)


@pytest.mark.parametrize("value", [0, 1, (1 << 64) - 1, 1 << 64, (1 << 256) - 1, int("0123456789abcdef" * 4, 16)])
def test_read_word_any_word_returns_its_limbs(value: int) -> None:
    for read in both(read_word):
        limbs = np.zeros(4, dtype=np.uint64)
        assert read(ascii_array(f"0x{value:064x}"), 2, limbs)
        assert value_of(limbs) == value


def test_read_word_every_character_in_every_place_is_accepted_only_if_it_is_a_digit() -> None:
    text, limbs = ascii_array("0" * 64).copy(), np.zeros(4, dtype=np.uint64)
    for place in range(64):
        for character in range(256):
            text[place] = character
            assert read_word(text, 0, limbs) == (chr(character) in DIGITS)
        text[place] = ord("0")


def test_read_word_boundaries_and_random_words_agree_with_int() -> None:
    rng = random.Random(8)
    limbs = np.zeros(4, dtype=np.uint64)
    for value in [*BOUNDARIES, *(rng.getrandbits(256) for _ in range(20_000))]:
        assert read_word(ascii_array(f"{value:064x}"), 0, limbs)
        assert value_of(limbs) == value


def test_read_limb_bad_digit_leaves_its_mark() -> None:
    for read in both(read_limb):
        assert int(read(ascii_array("fedcba9876543210"), 0)[0]) == 0xFEDCBA9876543210
        assert read(ascii_array("fedcba9876543210"), 0)[1] < BAD_DIGIT <= read(ascii_array("fedcba98765432g0"), 0)[1]


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        ("", 0),
        ("0", 0),
        ("ce54bf", 13522111),
        ("0" * 48 + "ff", 255),
        ("7" + "f" * 15, (1 << 63) - 1),
        ("8" + "0" * 15, -2),
        ("1" + "0" * 16, -2),
        ("f" * 64, -2),
        ("1" + "0" * 63, -2),
        ("12g4", -1),
        ("g" + "0" * 40, -1),
        ("f" * 40 + "g", -1),
    ],
)
def test_read_number_digits_are_a_number_of_63_bits_or_refused(digits: str, number: int) -> None:
    for read in both(read_number):
        assert read(ascii_array(digits + "!"), 0, len(digits)) == number


@pytest.mark.parametrize(
    ("text", "shaped"),
    [("0x", True), ("0x0g", True), ("0x0", False), ("0X00", False), ("0", False), ("", False), ("x0", False)],
)
def test_is_hex_shaped_prefix_and_even_length_decide(text: str, shaped: bool) -> None:
    for check in both(is_hex_shaped):
        assert check(ascii_array(text + "!!"), 0, len(text)) == shaped


@pytest.mark.parametrize("bits", [24, 112, 128, 160, 256])
def test_fits_unsigned_agrees_with_comparison_at_every_boundary(bits: int) -> None:
    for value in BOUNDARIES:
        assert fits_unsigned(limbs_of(value), bits) == (value < 1 << bits)
    for check in both(fits_unsigned):
        assert check(limbs_of((1 << bits) - 1), bits)
        assert bits == 256 or not check(limbs_of(1 << bits), bits)


@pytest.mark.parametrize("bits", [24, 64, 65, 128, 256])
def test_fits_signed_agrees_with_comparison_at_every_boundary(bits: int) -> None:
    for word in BOUNDARIES:
        value = word - (1 << 256) if word >> 255 else word
        for check in both(fits_signed):
            assert check(limbs_of(word), bits) == (-(1 << bits - 1) <= value < 1 << bits - 1)


@given(st.text(alphabet=st.characters(), max_size=70))
def test_read_bytes_any_text_is_refused_or_spells_exactly_itself(text: str) -> None:
    try:
        raw = read_bytes(text)
    except HexError:
        return
    assert "0x" + raw.hex() == text.lower()
