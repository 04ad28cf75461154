"""One field of a log read, one field of a record written: the smallest kernels of `producers.decode.kernels`.

They know nothing of events.  A 256-bit word stands between the two sides as four limbs (`producers.node.hex`).
"""

from __future__ import annotations

import numpy as np

from producers.decode.cold import Refusal
from producers.node.hex import WORD_DIGITS, is_hex_shaped, read_number, read_word
from tlv.buffers import Bytes, Limbs
from tlv.jit import kernel

WORD_LENGTH = 2 + WORD_DIGITS
BAD_HEX = int(Refusal.BAD_HEX)
VALUE_OUT_OF_RANGE = int(Refusal.VALUE_OUT_OF_RANGE)


@kernel
def read_field_word(text: Bytes, start: int, length: int, word: Limbs) -> bool:
    """Read a field that must be `0x` and one 32-byte word."""
    return length == WORD_LENGTH and is_hex_shaped(text, start, length) and read_word(text, start + 2, word)


@kernel
def read_field_number(text: Bytes, start: int, length: int, largest: int) -> int:
    """The number in a field, at most `largest`; 0 if the field is absent, minus a refusal if it is no such number."""
    if length == 0:
        return 0
    if length < 2 or length > WORD_LENGTH or text[start] != ord("0") or text[start + 1] != ord("x"):
        return -BAD_HEX
    number = read_number(text, start + 2, length - 2)
    if number == -1:
        return -BAD_HEX
    return number if 0 <= number <= largest else -VALUE_OUT_OF_RANGE


@kernel
def store(out: Bytes, pos: int, word: Limbs, size: int) -> None:
    """Store the low `size` bytes of `word` as an integer: least significant first."""
    for limb in range(size >> 3):
        for i in range(8):  # a constant count: one store, once compiled
            out[pos + i] = np.uint8((word[limb] >> np.uint64(8 * i)) & np.uint64(0xFF))
        pos += 8
    for i in range(size & 7):
        out[pos + i] = np.uint8((word[size >> 3] >> np.uint64(8 * i)) & np.uint64(0xFF))


@kernel
def store_text_order(out: Bytes, pos: int, word: Limbs, size: int) -> None:
    """Store the low `size` bytes of `word` as an address or a hash: in the order in which they are printed."""
    end = pos + size
    for limb in range(size >> 3):
        for i in range(8):
            out[end - 1 - i] = np.uint8((word[limb] >> np.uint64(8 * i)) & np.uint64(0xFF))
        end -= 8
    for i in range(size & 7):
        out[end - 1 - i] = np.uint8((word[size >> 3] >> np.uint64(8 * i)) & np.uint64(0xFF))


@kernel
def negate(word: Limbs) -> None:
    """Two's complement of `word`, in place: the magnitude of a negative int256, exact down to -2^255."""
    carry = np.uint64(1)
    for i in range(4):
        word[i] = ~word[i] + carry
        if word[i] != 0:
            carry = np.uint64(0)
