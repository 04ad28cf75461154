"""Runs of messages as a relay sends them, packed once for all clients that get the same.

Owns two output buffers: one for runs, one for the Batch without messages that covers filtered sequences.
"""

from __future__ import annotations

import time

import numpy as np

from consumers.relay.kernels import BATCH_BYTES, pack_batch, put_batch
from ringbuf.layout import SEQUENCE_ROW
from tlv.buffers import Bytes, Longs
from tlv.filter import EVERYTHING, MessageFilter


def stamp() -> int:
    """The timestamp of a Batch's header."""
    return time.time_ns()


class Packing:
    """Packs messages of the ring that is number `index`, at most `room` bytes of them a run."""

    def __init__(self, index: int, room: int) -> None:
        self.malformed = 0
        self._run = np.zeros(room + BATCH_BYTES, np.uint8)
        self._view = self._run.data
        self._index = index
        self._cover = np.zeros(BATCH_BYTES, np.uint8)
        self._packed: tuple[int, int, MessageFilter] = (0, 0, EVERYTHING)
        self._behind = 0
        self._chunk = memoryview(b"")

    def pack(
        self,
        source: Bytes,
        table: Longs,
        columns: tuple[int, int],
        key: tuple[int, int, MessageFilter],  # (first sequence, first one to cover, filter)
    ) -> tuple[int, memoryview]:
        """Pack `columns` (first, behind the last) of a poll: the sequence behind the last one that fitted, and the
        bytes, none if the filter left none.  Not done again for the `key` of the call before."""
        if key != self._packed:
            first, count = columns
            _, since, wanted = key
            column, messages, malformed, size = pack_batch(
                self._run, source, table, first, count, since, self._index, stamp(), wanted.tables
            )
            self.malformed += malformed
            self._behind = int(table[SEQUENCE_ROW, column - 1]) + 1
            self._chunk = self._view[: size if messages else 0]
            self._packed = key
        return self._behind, self._chunk

    def keep(self, key: tuple[int, int, MessageFilter], behind: int, chunk: memoryview, malformed: int) -> None:
        """`chunk` was packed elsewhere for `key`, and covers what comes before `behind`."""
        self.malformed += malformed
        self._packed, self._behind, self._chunk = key, behind, chunk

    def forget(self) -> None:
        """The ring was polled: the same key may mean other messages."""
        self._packed = (0, 0, EVERYTHING)

    def cover(self, first: int, last: int) -> bytes:
        """A Batch without messages."""
        put_batch(self._cover, first, last, self._index, 0, stamp())
        return self._cover.tobytes()
