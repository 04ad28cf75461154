"""Pieces of a ring's journal in memory, shared by all clients of a relay that are behind the ring.

Owns which pieces are kept: those that were used last, at most `CACHE_BYTES` of them, however many clients there are.  A
client holds no piece, only its sequence; whoever comes to the same sequence finds the same piece.  No file, no thread
and no clock in here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.buffers import Bytes, Longs

WINDOW_BYTES = 1 << 18
"""Of a journal read at once, unless one message is longer: two chunks of a client."""
CACHE_BYTES = 64 << 20
"""Of windows: more than one for each of 256 clients at as many places."""


class JournalWindow(NamedTuple):
    """The frames of a journal from sequence `begin` on, up to `behind`, which is the first it does not cover.  What is
    missing in front of the first frame, or of `behind` if there is none, was lost: the journal has no more of it."""

    begin: int
    behind: int
    table: Longs  # the rows of a poll of a ring, a column a frame
    payloads: Bytes
    damaged: bool = False
    """Whether what is missing is so because the journal is damaged there."""

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return int(self.table.nbytes + self.payloads.nbytes)

    def column(self, sequence: int) -> int:
        """The first column whose frame is `sequence` or a later one; the table's width if there is none."""
        return int(np.searchsorted(self.table[SEQUENCE_ROW], sequence))

    def sequence_at(self, column: int) -> int:
        """The sequence of the frame in `column`; `behind` for the table's width."""
        return int(self.table[SEQUENCE_ROW, column]) if column < self.table.shape[1] else self.behind


def loss_window(begin: int, behind: int, *, damaged: bool) -> JournalWindow:
    """A window without frames: the journal ends, for now, behind a loss."""
    return JournalWindow(begin, behind, np.zeros((INDEX_ROWS, 0), np.int64), np.zeros(0, np.uint8), damaged)


def cut_window(begin: int, buffer: Bytes, table: Longs, *, damaged: bool = False) -> JournalWindow:
    """Copy the frames that `table` finds in `buffer`: at least one, in the order of their offsets."""
    start = int(table[OFFSET_ROW, 0])
    end = int(table[OFFSET_ROW, -1] + table[LENGTH_ROW, -1])
    own = table.copy()
    own[OFFSET_ROW] -= start
    return JournalWindow(begin, int(table[SEQUENCE_ROW, -1]) + 1, own, buffer[start:end].copy(), damaged)


class WindowCache:
    """The windows that were used last."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._windows: OrderedDict[int, JournalWindow] = OrderedDict()

    def find(self, sequence: int) -> JournalWindow | None:
        """A window that covers `sequence`."""
        for begin, window in self._windows.items():
            if begin <= sequence < window.behind:
                self._windows.move_to_end(begin)
                return window
        return None

    def add(self, window: JournalWindow) -> None:
        """Keep a window; the ones that were not used for the longest time go."""
        old = self._windows.pop(window.begin, None)
        self.bytes += window.size - (old.size if old else 0)
        self._windows[window.begin] = window
        while self.bytes > self.most_bytes and len(self._windows) > 1:
            _, dropped = self._windows.popitem(last=False)
            self.bytes -= dropped.size
