"""Logs whose block nobody announced yet: heads and logs of one block arrive in either order.

Owns the waiting and its bounds.  It must never know what a log means.  After `PATIENCE_NS` the header is asked for: a
head may have been lost.  What nobody knows even then is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from producers.hexcodec import read_optional_quantity
from producers.rpc_types import Log
from producers.timers import Timers

NS = 1_000_000_000
PATIENCE_NS = NS
LIFETIME_NS = 30 * NS
MAX_STRAYS = 1 << 15

Seek = Callable[[str, int], None]


class Strays:
    """Logs by the hash of a block that is not known."""

    def __init__(self, timers: Timers, seek: Seek) -> None:
        self._timers, self._seek = timers, seek
        self._waiting: dict[str, list[Log]] = {}
        self._count = 0

    def keep(self, block_hash: str, log: Log, now_ns: int) -> None:
        """Hold `log` until its block is announced."""
        waiting = self._waiting.get(block_hash)
        if waiting is None:
            waiting = self._waiting[block_hash] = []
            number = read_optional_quantity(log.block_number)
            self._timers.at(now_ns + PATIENCE_NS, partial(self._ask, block_hash, number))
            self._timers.at(now_ns + LIFETIME_NS, partial(self._drop, block_hash))
        if self._count >= MAX_STRAYS:
            # The block is fetched whole if it is ever announced: an empty list is the mark.
            self._count -= len(waiting)
            waiting.clear()
        else:
            waiting.append(log)
            self._count += 1

    def overflowed(self, block_hash: str) -> bool:
        """Whether logs of this block came and were not kept."""
        return self._waiting.get(block_hash) == []

    def adopt(self, block_hash: str) -> list[Log]:
        """The logs that waited for this block; they are forgotten here."""
        logs = self._waiting.pop(block_hash, [])
        self._count -= len(logs)
        return logs

    def _drop(self, block_hash: str) -> None:
        self.adopt(block_hash)

    def _ask(self, block_hash: str, number: int) -> None:
        if block_hash in self._waiting:
            self._seek(block_hash, number)
