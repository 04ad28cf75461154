"""A journal of any size, made without a ring: batches of the same messages behind one that begins a block.

Owns where each block and each sequence stands, so that a seek can be judged.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from consumers.journal import Fsync, JournalWriter
from consumers.journal.layout import HEAD_BYTES
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.codes import Domain, Source
from tlv.layout import EventOrigin, PoolSwap
from tlv.message import build

BATCH = 2000
RING = "prove.journal"
UUID = bytes(range(16))


def swap(number: int, block: int, amount: int) -> bytes:
    """A swap of block `block`; `number` tells one from another."""
    record = PoolSwap(
        pool=bytes([number % 37]) * 20,
        token0=b"\x22" * 20,
        token1=b"\x33" * 20,
        venue=405,
        decimals0=18,
        decimals1=6,
        amount0_in=amount,
        amount1_in=0,
        amount0_out=0,
        amount1_out=number,
        sqrt_price_x96=1 << 96,
        liquidity=10**18,
        tick=-5,
        protocol=3,
        sender=b"\x44" * 20,
        recipient=b"\x55" * 20,
    )
    origin = EventOrigin(block, 1, 1, 0, number % 1000, b"\x66" * 32, number.to_bytes(32, "big"))
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record, origin], sequence=number + 1)


class MadeJournal:
    """Writes a journal in `directory` batch by batch; each is of a block of its own, from 1 on."""

    def __init__(self, directory: Path, *, segment_bytes: int, pack: bool = True, retain_bytes: int = 0) -> None:
        self.directory = directory
        self.blocks = 0
        self._writer = JournalWriter(
            directory,
            ring_name=RING,
            ring_uuid=UUID,
            fsync=Fsync.NEVER,
            segment_bytes=segment_bytes,
            pack=pack,
            retain_bytes=retain_bytes,
        )
        messages = [swap(number, 0, number << 40) for number in range(BATCH)]
        stride = len(messages[0]) + 7 & -8
        self._buffer = np.frombuffer(bytearray(b"".join(one.ljust(stride, b"\0") for one in messages)), np.uint8)
        self._table = np.zeros((INDEX_ROWS, BATCH), np.int64)
        self._table[OFFSET_ROW] = np.arange(BATCH) * stride
        self._table[LENGTH_ROW] = len(messages[0])
        self.batch_bytes = BATCH * (stride + HEAD_BYTES)

    @property
    def next_sequence(self) -> int:
        """The sequence that comes next."""
        return self.blocks * BATCH + 1

    def append(self) -> None:
        """Append one batch."""
        begin = swap(self.blocks, self.blocks + 1, self.blocks)
        self._buffer[: len(begin)] = np.frombuffer(begin, np.uint8)
        self._table[SEQUENCE_ROW] = np.arange(self.next_sequence, self.next_sequence + BATCH)
        self._table[TIME_ROW] = time.monotonic_ns()
        self._writer.append(self._buffer, self._table, BATCH)
        self.blocks += 1

    def close(self) -> None:
        """End the journal in order."""
        self._writer.close()
