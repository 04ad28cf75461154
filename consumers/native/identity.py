"""The ids of signals and orders in compiled code: `consumers.strategy.signal_id`, to the bit.

Owns the text that is hashed, which always fits one block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.native.blake2b import BLOCK_WORDS, CHAIN_WORDS, begin_hash, take_block
from tlv.buffers import Bytes
from tlv.jit import kernel

NAME_BYTES, RING_BYTES, DIGEST_BYTES = 20, 16, 8
DIGITS = 20
"""Decimal digits that an int64 can have, its sign included."""
HASHING = np.dtype(
    [("block", "<u8", (BLOCK_WORDS,)), ("chain", "<u8", (CHAIN_WORDS,)), ("digits", "u1", (DIGITS,))], align=True
)
"""Memory that `native_signal_id` works in."""


@kernel
def put_number(text: Bytes, at: int, number: int, digits: Bytes) -> int:
    """Write an int64 as decimal text and a space; returns what follows.  The least int64 is the caller's to avoid."""
    if number < 0:
        text[at] = 45
        at, number = at + 1, -number
    count, rest, ten = 0, np.uint64(number), np.uint64(10)
    while count == 0 or rest > 0:
        digits[count] = np.uint64(48) + rest % ten
        rest //= ten
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
    for i in range(BLOCK_WORDS):
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
    begin_hash(hashing["chain"], DIGEST_BYTES)
    take_block(hashing["chain"], words, at + RING_BYTES, True)
    return hashing["chain"][0]
