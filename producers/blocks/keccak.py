"""Keccak-256 of a log's addresses and topics, compiled: a block's bloom filter is recomputed when the block is closed.

Owns the permutation (FIPS 202, with the padding 0x01 of Ethereum) for inputs below one block of the sponge, 136 bytes.
`eth_hash` takes 60 us for each entry in pure Python, this 0.5 us: a busy block has a thousand.
"""

from __future__ import annotations

import numpy as np

from tlv.buffers import Bytes, Limbs, Longs
from tlv.jit import kernel

_ROUNDS = np.array(
    [
        0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
        0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
        0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
        0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
        0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
        0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
    ],
    dtype=np.uint64,
)  # fmt: skip
_TURNS = np.array(
    [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44], dtype=np.uint64
)
_LANES = np.array(
    [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1], dtype=np.int64
)
RATE = 136
ENTRY_SIZE = 32
BLOOM_SIZE = 256


@kernel
def permute(lanes: Limbs, columns: Limbs) -> int:
    """Keccak-f[1600] of 25 uint64 lanes, in place; `columns` is room for five.  Returns the rounds."""
    for constant in _ROUNDS:
        for x in range(5):
            columns[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
        for x in range(5):
            near = columns[(x + 1) % 5]
            mixed = columns[(x + 4) % 5] ^ ((near << np.uint64(1)) | (near >> np.uint64(63)))
            for y in range(0, 25, 5):
                lanes[y + x] ^= mixed
        moved = lanes[1]
        for at in range(24):
            lane = _LANES[at]
            kept = lanes[lane]
            lanes[lane] = (moved << _TURNS[at]) | (moved >> (np.uint64(64) - _TURNS[at]))
            moved = kept
        for y in range(0, 25, 5):
            for x in range(5):
                columns[x] = lanes[y + x]
            for x in range(5):
                lanes[y + x] = columns[x] ^ (~columns[(x + 1) % 5] & columns[(x + 2) % 5])
        lanes[0] ^= constant
    return int(_ROUNDS.size)


@kernel
def add_entries(entries: Bytes, sizes: Longs, bloom: Bytes, lanes: Limbs, columns: Limbs) -> int:
    """Set the bits of each entry in `bloom` (256 bytes, as a header has them); returns the number of entries.

    `entries` holds a row of `ENTRY_SIZE` bytes for each, of which the first `sizes[i]` count.  Kernels allocate
    nothing: `lanes` (25) and `columns` (5) are room to work in.
    """
    block = lanes.view(np.uint8)
    for row in range(sizes.size):
        lanes[:] = 0
        size = sizes[row]
        for at in range(size):
            block[at] = entries[row * ENTRY_SIZE + at]
        block[size] ^= np.uint8(0x01)
        block[RATE - 1] ^= np.uint8(0x80)
        permute(lanes, columns)
        for at in range(0, 6, 2):
            bit = ((np.int64(block[at]) << 8) | np.int64(block[at + 1])) & 2047
            bloom[BLOOM_SIZE - 1 - (bit >> 3)] |= np.uint8(1 << (bit & 7))
    return int(sizes.size)
