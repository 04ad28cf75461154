"""Logs whose block nobody announced yet: heads and logs of one block arrive in either order.

Owns the waiting and its bounds.  It must never know what a log means.  After `PATIENCE_NS` the header is asked for: a
head may have been lost.  What nobody knows even then is dropped.

What does not fit is not kept, and of a block of which that is so nothing is believed: it is fetched whole, should it be
announced.  A node that makes up block hashes costs `MAX_SIZE`, however long it does so.
"""

from __future__ import annotations

from functools import partial

from producers.blocks.arrivals import Arrivals, HeadMissing
from producers.node.hex import read_optional_quantity
from producers.node.rpc_types import Log
from producers.node.timers import Clock, Timers
from tlv.units import NS

PATIENCE_NS = NS
LIFETIME_NS = 30 * NS
MAX_SIZE = 16 << 20
"""Characters of data of all logs that wait, and `OVERHEAD` for each: some fifteen thousand logs of Polygon."""
OVERHEAD = 1 << 9
"""Bytes that a log takes beside its data."""


class EarlyLogs:
    """Logs by the hash of a block that is not known."""

    def __init__(self, clock: Clock, timers: Timers, arrivals: Arrivals) -> None:
        self._clock, self._timers, self._arrivals = clock, timers, arrivals
        self._waiting: dict[str, list[Log]] = {}
        self._size = 0
        self._turned_away_ns = -LIFETIME_NS
        """When a log of a block without an entry was last turned away."""
        self._doubted_ns = -PATIENCE_NS
        """When the newest frame came that could not be read: maybe one of these logs."""
        self._doubted: set[str] = set()
        """Blocks of which logs wait, where such a frame came meanwhile, or less than `PATIENCE_NS` before the first."""

    def keep(self, block_hash: str, log: Log) -> None:
        """Hold `log` until its block is announced."""
        waiting = self._waiting.get(block_hash)
        if self._size + _size_of(log) > MAX_SIZE:
            if waiting is None:
                self._turned_away_ns = self._clock.now_ns
            else:
                self._size -= sum(map(_size_of, waiting))
                waiting.clear()  # an empty list is the mark
            return
        if waiting is None:
            waiting = self._waiting[block_hash] = []
            number = read_optional_quantity(log.block_number)
            self._timers.after(PATIENCE_NS, partial(self._report, block_hash, number))
            self._timers.after(LIFETIME_NS, partial(self._drop, block_hash))
            if self._is_doubtful:
                self._doubted.add(block_hash)
        elif not waiting:
            return  # what came before was not kept
        waiting.append(log)
        self._size += _size_of(log)

    def overflowed(self, block_hash: str) -> bool:
        """Whether logs of this block came, or may have come, and were not kept."""
        return self._waiting.get(block_hash) == [] or self._clock.now_ns - self._turned_away_ns < LIFETIME_NS

    def doubt(self) -> None:
        """A frame came that could not be read."""
        self._doubted_ns = self._clock.now_ns
        self._doubted.update(self._waiting)

    def doubts(self, block_hash: str) -> bool:
        """Whether a log of this block, which is announced now, may have been in a frame that could not be read."""
        return self._is_doubtful or block_hash in self._doubted

    @property
    def _is_doubtful(self) -> bool:
        return self._clock.now_ns - self._doubted_ns < PATIENCE_NS

    def adopt(self, block_hash: str) -> list[Log]:
        """The logs that waited for this block; they are forgotten here."""
        logs = self._waiting.pop(block_hash, [])
        self._doubted.discard(block_hash)
        self._size -= sum(map(_size_of, logs))
        return logs

    def _drop(self, block_hash: str) -> None:
        self.adopt(block_hash)

    def _report(self, block_hash: str, number: int) -> None:
        if block_hash in self._waiting:
            self._arrivals.append(HeadMissing(block_hash, number))


def _size_of(log: Log) -> int:
    return OVERHEAD + len(log.data or "")
