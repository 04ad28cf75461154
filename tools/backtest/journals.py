"""What the executor and the strategies of a run said as journals, as recorders of their rings would have made them: for
`reconcile`.

Owns the file's shape.  Sequences are dense from 1, and times those of the events, which never go back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from consumers.backtest.run import Told, ring_of
from consumers.journal import Fsync, JournalWriter
from consumers.journal.layout import SCAN_ROWS
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Longs

EXECUTION_RING = "execution.paper"
EXECUTION_UUID = blake2b(b"alphapulse backtest executor", digest_size=16).digest()
"""The same in every backtest."""


class MessageJournal:
    """A new journal of a ring in an empty folder.  A context manager; an exception leaves it without its end."""

    def __init__(self, directory: Path, ring_name: str, ring_uuid: bytes) -> None:
        self._writer = JournalWriter(directory, ring_name=ring_name, ring_uuid=ring_uuid, fsync=Fsync.NEVER)
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


class AskedJournals(NamedTuple):
    """The folders for what is said in a run; None: it is not kept."""

    executions: Path | None = None
    orders: Path | None = None
    """One journal in it for each strategy, by name."""

    def open(self, stack: ExitStack, names: Sequence[str]) -> tuple[Told | None, dict[str, Told]]:
        """What takes the executor's messages, and what takes each strategy's, until the stack is left."""
        executor: Told | None = None
        strategies: dict[str, Told] = {}
        if self.executions is not None:
            executor = stack.enter_context(MessageJournal(self.executions, EXECUTION_RING, EXECUTION_UUID)).tell
        if self.orders is not None:
            for name in names:
                journal = MessageJournal(self.orders / name, f"signal.{name}", ring_of(name))
                strategies[name] = stack.enter_context(journal).tell
        return executor, strategies


NO_JOURNALS = AskedJournals()
