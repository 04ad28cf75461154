"""CRC-32 with the zlib polynomial, in native code: the same values as `zlib.crc32`, callable from kernels.

It knows bytes and no messages.  From 16 bytes on it multiplies without carries where the CPU can (`tlv.carryless`), or
it slices (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008): table k
holds what a byte still contributes after k further bytes, so 16 bytes become 16 independent look-ups.

Multiplied instead of sliced, each CRC waiting for the one before: 14 for 20 ns of 26 bytes, 21 for 70 of 100 bytes, 30
for 238 of 358 bytes, 12.9 for 1.56 GB/s of 64 KiB (AMD EPYC, best of 15).  Inlined: a call cost 7 ns of 8 bytes' 12.

Slicing, tried and slower: by 8 alone, 27.1 us against 25.3 us for 64 KiB; by 16 without a step of 8 for the rest, 18.6
against 12.1 ns for 26 bytes.  Sixteen tables are 16 KiB, half of a level 1 cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Bytes, byte_at
from tlv.jit import compile_with, inline_kernel, kernel

POLYNOMIAL = 0xEDB88320
"""CRC-32 of IEEE 802.3, bits reversed."""
BLOCK = 16
"""Bytes of a step, of slicing as of folding."""


def _tables() -> np.ndarray[Any, np.dtype[np.uint32]]:
    tables = np.zeros((16, 256), dtype=np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for k in range(1, 16):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0][tables[k - 1] & 0xFF]
    tables.flags.writeable = False
    return tables


TABLES = _tables()


@kernel
def widen(entry: np.uint32) -> int:
    """A table entry as int64, the type of every CRC here."""
    return int(np.int64(entry))


@kernel
def fold(buf: Bytes, pos: int, crc: int, top: int) -> int:
    """Fold the 8 bytes at `pos` into `crc`, the first of them standing `top` bytes before the end of the step."""
    word = crc ^ (
        byte_at(buf, pos + 3) << 24 | byte_at(buf, pos + 2) << 16 | byte_at(buf, pos + 1) << 8 | byte_at(buf, pos)
    )
    return widen(
        TABLES[top, word & 0xFF]
        ^ TABLES[top - 1, (word >> 8) & 0xFF]
        ^ TABLES[top - 2, (word >> 16) & 0xFF]
        ^ TABLES[top - 3, (word >> 24) & 0xFF]
        ^ TABLES[top - 4, buf[pos + 4]]
        ^ TABLES[top - 5, buf[pos + 5]]
        ^ TABLES[top - 6, buf[pos + 6]]
        ^ TABLES[top - 7, buf[pos + 7]]
    )


@kernel
def fold_ahead(buf: Bytes, pos: int) -> int:
    """What the last 8 bytes of a step of 16 contribute: it does not depend on the CRC of the bytes before."""
    return widen(
        TABLES[7, buf[pos]]
        ^ TABLES[6, buf[pos + 1]]
        ^ TABLES[5, buf[pos + 2]]
        ^ TABLES[4, buf[pos + 3]]
        ^ TABLES[3, buf[pos + 4]]
        ^ TABLES[2, buf[pos + 5]]
        ^ TABLES[1, buf[pos + 6]]
        ^ TABLES[0, buf[pos + 7]]
    )


@kernel
def slice_blocks(buf: Bytes, start: int, end: int, crc: int) -> int:
    """Add `buf[start:end]` to a CRC that is not inverted."""
    pos = start
    while end - pos >= BLOCK:
        crc = fold(buf, pos, crc, 15) ^ fold_ahead(buf, pos + 8)
        pos += BLOCK
    if end - pos >= 8:
        crc = fold(buf, pos, crc, 7)
        pos += 8
    while pos < end:
        crc = (crc >> 8) ^ widen(TABLES[0, (crc ^ byte_at(buf, pos)) & 0xFF])
        pos += 1
    return crc


def fold_blocks(buf: Bytes, start: int, end: int, crc: int) -> int:
    """`slice_blocks` of at least 16 bytes, which `tlv.carryless` compiles to carry-less multiplication."""
    return slice_blocks(buf, start, end, crc)


@inline_kernel
def crc32(buf: Bytes, start: int, end: int, crc: int = 0) -> int:
    """CRC-32 of `buf[start:end]`, continuing from `crc`; the caller guarantees 0 <= start <= end <= len(buf)."""
    if end - start >= BLOCK:
        return fold_blocks(buf, start, end, crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return slice_blocks(buf, start, end, crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


compile_with("tlv.carryless")
