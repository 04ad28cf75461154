"""Strict hex, as a node writes it: `0x` and an even number of hex digits, either case, nothing else.

Owns the two ways hex is read: text to Python values for cold calls, and ASCII to 64-bit limbs for kernels.  It knows
no event and no record.  Python's own readers are too kind for bytes from outside: `int(x, 16)` takes ' 0x10 ', `0x_1_0`
and `-0x10`, `bytes.fromhex` takes spaces.

Kernels read from a uint8 array that holds the ASCII of many fields one after the other; what is no ASCII was replaced
by `?` before and so is no digit.  They never raise: a bad digit leaves a mark in the second result.  A 256-bit word is
four uint64 limbs, least significant first, as `tlv.fields` lays U256 out.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tlv.buffers import Bytes, Limbs
from tlv.errors import FeedError
from tlv.jit import kernel

WORD_DIGITS = 64
"""Hex digits of one 32-byte ABI word."""

_BYTES = re.compile(r"0x((?:[0-9a-fA-F]{2})*)", re.ASCII)
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{0,64}", re.ASCII)


class HexError(FeedError, ValueError):
    """Text that is no hex of the expected size."""


def read_bytes(text: str | None, size: int | None = None) -> bytes:
    """The bytes that `text` spells, `size` of them if given.

    Raises:
        HexError: no `0x`, an odd number of digits, a character that is no digit, or another size.
    """
    match = _BYTES.fullmatch(text or "")
    if match is None or (size is not None and len(match[1]) != 2 * size):
        raise HexError(f"expected 0x and {'pairs of' if size is None else 2 * size} hex digits, found {_shown(text)}")
    return bytes.fromhex(match[1])


def read_quantity(text: str | None) -> int:
    """The number that `text` spells; `0x` is zero, as some nodes write it.

    Raises:
        HexError: no `0x`, a character that is no digit, or more than 64 digits.
    """
    if text is None or _QUANTITY.fullmatch(text) is None:
        raise HexError(f"expected 0x and at most 64 hex digits, found {_shown(text)}")
    return int(text, 16) if len(text) > 2 else 0


def read_optional_quantity(text: str | None) -> int:
    """A number that is only passed on; 0 where it is missing, or none."""
    try:
        return read_quantity(text) if text else 0
    except HexError:
        return 0


def _shown(text: str | None) -> str:
    """`text` for an error message: a hostile field must not become a hostile log line."""
    if text is None:
        return "nothing"
    return f"{text[:80]!r} and {len(text) - 80} more characters" if len(text) > 80 else repr(text)


def _digit_values() -> Bytes:
    values = np.full(256, BAD_DIGIT, dtype=np.uint8)
    for value, digits in enumerate(zip("0123456789abcdef", "0123456789ABCDEF", strict=True)):
        for digit in digits:
            values[ord(digit)] = value
    values.flags.writeable = False
    return values


BAD_DIGIT = 0xF0
"""Marks a character that is no hex digit; or-ed over a whole field, it says that one of them was none."""
DIGIT_VALUES = _digit_values()


@kernel
def is_hex_shaped(text: Bytes, at: int, length: int) -> bool:
    """Whether the field of `length` characters at `at` is `0x` and an even number of characters."""
    return bool(length >= 2 and length & 1 == 0 and text[at] == ord("0") and text[at + 1] == ord("x"))


@kernel
def read_limb(text: Bytes, at: int) -> tuple[Any, Any]:
    """The uint64 of the 16 digits at `at`, and the or of their values: at least BAD_DIGIT if one is no digit."""
    value = np.uint64(0)
    seen = np.uint8(0)
    for i in range(16):
        digit = DIGIT_VALUES[text[at + i]]
        seen |= digit
        value = (value << np.uint64(4)) | np.uint64(digit)
    return value, seen


@kernel
def read_word(text: Bytes, at: int, limbs: Limbs) -> bool:
    """Read the 64 digits at `at` into `limbs`.  False if one of them is no digit."""
    limbs[3], seen3 = read_limb(text, at)
    limbs[2], seen2 = read_limb(text, at + 16)
    limbs[1], seen1 = read_limb(text, at + 32)
    limbs[0], seen0 = read_limb(text, at + 48)
    return bool((seen0 | seen1 | seen2 | seen3) < BAD_DIGIT)


@kernel
def read_number(text: Bytes, at: int, digits: int) -> int:
    """The number of the `digits` digits at `at`: -1 if one is no digit, -2 if it does not fit 63 bits."""
    value = np.uint64(0)
    lost = np.uint64(0)
    seen = np.uint8(0)
    for i in range(digits):
        digit = DIGIT_VALUES[text[at + i]]
        seen |= digit
        lost |= value >> np.uint64(59)
        value = (value << np.uint64(4)) | np.uint64(digit)
    if seen >= BAD_DIGIT:
        return -1
    return -2 if lost else int(np.int64(value))


@kernel
def fits_unsigned(limbs: Limbs, bits: int) -> bool:
    """Whether the word is below 2^bits, as the ABI demands of uint<bits> and, with 160, of an address."""
    if bits == 256:
        return True
    top = bits >> 6
    rest = limbs[top] >> np.uint64(bits & 63)
    for i in range(top + 1, 4):
        rest |= limbs[i]
    return bool(rest == 0)


@kernel
def fits_signed(limbs: Limbs, bits: int) -> bool:
    """Whether the word is the sign extension of an int<bits>."""
    top = (bits - 1) >> 6
    above = np.int64(limbs[top]) >> ((bits - 1) & 63)  # the sign, and what must be equal to it
    rest = np.uint64(0)
    for i in range(top + 1, 4):
        rest |= limbs[i] ^ np.uint64(above)
    return bool(rest == 0 and -1 <= above <= 0)
