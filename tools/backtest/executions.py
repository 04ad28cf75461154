"""The executor's messages of a run as a journal, as a recorder of its ring would have made it: for `reconcile`.

Owns the file's shape.  Sequences are dense from 1, and times those of the events, which never go back.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from consumers.journal import Fsync, JournalWriter
from consumers.journal.layout import SCAN_ROWS
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Longs

RING = "execution.paper"
RING_UUID = blake2b(b"alphapulse backtest executor", digest_size=16).digest()
"""The same in every backtest."""


class ExecutionJournal:
    """A new journal in a folder that is empty.  A context manager; an exception leaves the journal without its end."""

    def __init__(self, directory: Path) -> None:
        self._writer = JournalWriter(directory, ring_name=RING, ring_uuid=RING_UUID, fsync=Fsync.NEVER)
        self._told = self._last_ns = 0

    def tell(self, time_ns: int, message: bytes) -> None:
        """Append a message with its time.

        Raises:
            DiskRefused, JournalRemoved: see `JournalWriter.append`.
        """
        self._told += 1
        self._last_ns = max(self._last_ns, time_ns)
        table: Longs = np.zeros((SCAN_ROWS, 1), np.int64)
        table[OFFSET_ROW], table[LENGTH_ROW] = 0, len(message)
        table[SEQUENCE_ROW], table[TIME_ROW] = self._told, self._last_ns
        self._writer.append(np.frombuffer(message.ljust(len(message) + 7 & -8, b"\0"), np.uint8), table, 1)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close(ring_ended=kind is None)
