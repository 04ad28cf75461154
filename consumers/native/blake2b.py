"""BLAKE2b (RFC 7693) in compiled code: the one step that takes in a block.

Knows nothing of what is hashed.  The sixteen mixed words are variables and stay in registers, 0.16 us for a signal's
id; an array of them, mixed in a loop, took 0.28 us (AMD EPYC; within a signal of bench `strategy`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Limbs
from tlv.jit import inline_kernel, kernel

BLOCK_BYTES = 128
BLOCK_WORDS = BLOCK_BYTES // 8
CHAIN_WORDS = 8
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
    np.uint64,
)
"""RFC 7693, 2.7: which words of the message a round mixes."""
ROUNDS = np.concatenate([SIGMA, SIGMA[:2]])
"""Of all twelve rounds."""


@inline_kernel
def rotated(word: int, count: int) -> Any:
    """A uint64, rotated right."""
    return word >> np.uint64(count) | word << np.uint64(64 - count)


@inline_kernel
def mix(a: int, b: int, c: int, d: int, x: int, y: int) -> tuple[int, int, int, int]:
    """The function G of RFC 7693, 3.1, on one of a round's columns or diagonals."""
    a += b + x
    d = rotated(d ^ a, 32)
    c += d
    b = rotated(b ^ c, 24)
    a += b + y
    d = rotated(d ^ a, 16)
    c += d
    b = rotated(b ^ c, 63)
    return a, b, c, d


@kernel
def begin_hash(chain: Limbs, digest_bytes: int) -> None:
    """RFC 7693, 2.5 and 3.3: no key, fanout 1, depth 1, and so many bytes of digest."""
    for i in range(CHAIN_WORDS):
        chain[i] = IV[i]
    chain[0] ^= np.uint64(0x01010000) ^ np.uint64(digest_bytes)


@kernel
def take_block(chain: Limbs, words: Limbs, total: int, is_last: bool) -> None:
    """RFC 7693, 3.2: mix a block into `chain`; `total` bytes were taken in with it, and zeros stand behind them."""
    a0, a1, a2, a3 = chain[0], chain[1], chain[2], chain[3]
    b0, b1, b2, b3 = chain[4], chain[5], chain[6], chain[7]
    c0, c1, c2, c3 = IV[0], IV[1], IV[2], IV[3]
    d0, d1, d2, d3 = IV[4] ^ np.uint64(total), IV[5], ~IV[6] if is_last else IV[6], IV[7]
    for i in range(ROUNDS.shape[0]):
        s = ROUNDS[i]
        a0, b0, c0, d0 = mix(a0, b0, c0, d0, words[s[0]], words[s[1]])
        a1, b1, c1, d1 = mix(a1, b1, c1, d1, words[s[2]], words[s[3]])
        a2, b2, c2, d2 = mix(a2, b2, c2, d2, words[s[4]], words[s[5]])
        a3, b3, c3, d3 = mix(a3, b3, c3, d3, words[s[6]], words[s[7]])
        a0, b1, c2, d3 = mix(a0, b1, c2, d3, words[s[8]], words[s[9]])
        a1, b2, c3, d0 = mix(a1, b2, c3, d0, words[s[10]], words[s[11]])
        a2, b3, c0, d1 = mix(a2, b3, c0, d1, words[s[12]], words[s[13]])
        a3, b0, c1, d2 = mix(a3, b0, c1, d2, words[s[14]], words[s[15]])
    chain[0] ^= a0 ^ c0
    chain[1] ^= a1 ^ c1
    chain[2] ^= a2 ^ c2
    chain[3] ^= a3 ^ c3
    chain[4] ^= b0 ^ d0
    chain[5] ^= b1 ^ d1
    chain[6] ^= b2 ^ d2
    chain[7] ^= b3 ^ d3
