"""The ids of signals and orders in compiled code: `consumers.strategy.signal_id`, to the bit.

Owns BLAKE2b (RFC 7693) of one block with an 8-byte digest and no key, and the text that is hashed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Bytes, Limbs
from tlv.jit import kernel

BLOCK_BYTES = 128
NAME_BYTES, RING_BYTES = 20, 16
DIGITS = 20
"""Decimal digits that an int64 can have, its sign included."""
IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    np.uint64,
)
"""RFC 7693, 2.6: those of SHA-512."""
PARAMETERS = np.uint64(0x01010000 ^ 8)
"""RFC 7693, 2.5: fanout 1, depth 1, no key, 8 bytes of digest."""
SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.int64,
)
"""RFC 7693, 2.7: which words of the message a round mixes."""
ROUNDS = 12
COLUMNS = np.array(
    [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
        [0, 5, 10, 15],
        [1, 6, 11, 12],
        [2, 7, 8, 13],
        [3, 4, 9, 14],
    ],
    np.int64,
)
"""RFC 7693, 3.2: the four words of each of a round's eight mixings."""

HASHING = np.dtype(
    [("block", "<u8", (BLOCK_BYTES // 8,)), ("mixed", "<u8", (16,)), ("digits", "u1", (DIGITS,))], align=True
)
"""Memory that `native_signal_id` works in."""


@kernel
def rotated(word: int, count: int) -> Any:
    """A uint64, rotated right."""
    return word >> np.uint64(count) | word << np.uint64(64 - count)


@kernel
def mix(mixed: Limbs, words: Limbs, round_number: int, column: int) -> None:
    """The function G of RFC 7693, 3.1, on one of a round's columns or diagonals."""
    order = SIGMA[round_number % 10]
    a, b, c, d = COLUMNS[column]
    mixed[a] += mixed[b] + words[order[2 * column]]
    mixed[d] = rotated(mixed[d] ^ mixed[a], 32)
    mixed[c] += mixed[d]
    mixed[b] = rotated(mixed[b] ^ mixed[c], 24)
    mixed[a] += mixed[b] + words[order[2 * column + 1]]
    mixed[d] = rotated(mixed[d] ^ mixed[a], 16)
    mixed[c] += mixed[d]
    mixed[b] = rotated(mixed[b] ^ mixed[c], 63)


@kernel
def digest_of_block(hashing: Any, length: int) -> Any:
    """BLAKE2b of the `length` bytes in `hashing["block"]`, behind which zeros stand: 8 bytes, as a uint64."""
    words, mixed = hashing["block"], hashing["mixed"]
    for i in range(8):
        mixed[i] = mixed[i + 8] = IV[i]
    mixed[0] ^= PARAMETERS
    first = mixed[0]
    mixed[12] ^= np.uint64(length)
    mixed[14] = ~mixed[14]
    for round_number in range(ROUNDS):
        for column in range(8):
            mix(mixed, words, round_number, column)
    return first ^ mixed[0] ^ mixed[8]


@kernel
def put_number(text: Bytes, at: int, number: int, digits: Bytes) -> int:
    """Write an int64 as decimal text and a space; returns what follows.  The least int64 is the caller's to avoid."""
    if number < 0:
        text[at] = 45
        at, number = at + 1, -number
    count = 0
    while count == 0 or number > 0:
        digits[count] = 48 + number % 10
        number //= 10
        count += 1
    for i in range(count):
        text[at + i] = digits[count - 1 - i]
    text[at + count] = 32
    return at + count + 1


@kernel
def native_signal_id(
    hashing: Any, name: Bytes, version: int, sequence: int, ordinal: int, ring: Bytes
) -> Any:  # a uint64
    """The id of the `ordinal`-th message on frame `sequence` of `ring`; name: 20 bytes, padded with NUL."""
    words = hashing["block"]
    for i in range(BLOCK_BYTES // 8):
        words[i] = np.uint64(0)
    text, digits = words.view(np.uint8), hashing["digits"]
    at = 0
    while at < NAME_BYTES and name[at] != 0:
        text[at] = name[at]
        at += 1
    text[at] = 32
    at = put_number(text, at + 1, version, digits)
    at = put_number(text, at, sequence, digits)
    at = put_number(text, at, ordinal, digits)
    for i in range(RING_BYTES):
        text[at + i] = ring[i]
    return digest_of_block(hashing, at + RING_BYTES)
