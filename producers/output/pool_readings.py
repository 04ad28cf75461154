"""What is read of watched pools from the node: of which it is due, and what readers have.

Owns the watch and both lists.  It must never ask anything (`tick_maps` and `fee_states` do), nor decide when readers
need to know: like states, readings become due when a pool is introduced, when readers were told to forget, and when
somebody wants them.

    due --(the newest complete block)--> reading --> told
      ^                                     |          |
      +-- disconnected, block dropped ------+          |
      +-- refused: PAUSE_BLOCKS later ------+          |
      +-- its block left the chain, or it is enough no longer
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import msgspec

from producers.blocks.block import Block
from producers.context import Context
from producers.decode.pool_table import VerifiedEmitter
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox

TIMEOUT_S = 20.0
"""Of each question."""
PAUSE_BLOCKS = 16
"""After how many blocks a pool of which nothing could be had is asked about again."""


class PoolWatch(msgspec.Struct, frozen=True):
    """Of which pools there are readings."""

    pools: frozenset[bytes] = frozenset()
    everything: bool = False

    def names(self, pool: VerifiedEmitter) -> bool:
        """Whether this pool is watched."""
        return self.everything or pool.pool in self.pools


NOTHING_WATCHED = PoolWatch()


class ToldReading(NamedTuple):
    """What readers have of a pool."""

    block_number: int
    until: int = 0
    """In seconds, up to which block time it is enough; 0: for ever."""


class PoolReadings:
    """The readings of one sort.  A subclass says which pools have one (`has_reading`), and reads (`_begin`)."""

    most_at_once: ClassVar[int]
    """Pools that are read at a time."""

    def __init__(
        self,
        context: Context,
        introductions: Introductions,
        outbox: Outbox,
        is_canonical: Callable[[Block], bool],
        watch: PoolWatch,
    ) -> None:
        self._calls, self._stats = context.calls, context.stats
        self._introductions, self._outbox = introductions, outbox
        self._is_canonical, self._watch = is_canonical, watch
        self.is_followed: Callable[[VerifiedEmitter], bool] = lambda _: True
        """Whether readers get every event that moves what is read: without them it would rot unnoticed."""
        self.due: dict[int, int] = {}
        """Row, and the lowest block number as of which a reading is of use."""
        self._reading: set[int] = set()
        self._told: dict[int, ToldReading] = {}

    @staticmethod
    def has_reading(pool: VerifiedEmitter) -> bool:
        """Whether pools of its kind have one."""
        raise NotImplementedError

    def _begin(self, row: int, block: Block) -> None:
        """Read a pool's, as of a block; whatever comes of it calls `_end`."""
        raise NotImplementedError

    def want(self, row: int, since_block: int = 0) -> None:
        """Read one pool's, if it has one and is watched, as of `since_block` or later."""
        pool = self._introductions.pool(row)
        if self.has_reading(pool) and self._watch.names(pool) and self.is_followed(pool):
            self.due[row] = max(self.due.get(row, 0), since_block)

    def want_all(self, since_block: int) -> None:
        """The same of every pool that readers have heard of."""
        for row in self._introductions.known:
            self.want(row, since_block)

    def reorganise(self, lowest: int) -> None:
        """Blocks from `lowest` on left the chain, and with them what was read as of these: ask again."""
        self._want_again([row for row, told in self._told.items() if told.block_number >= lowest])

    def pump(self, block: Block) -> None:
        """Begin to read what is due, as of `block`, which is complete."""
        self._want_again([row for row, told in self._told.items() if 0 < told.until <= block.timestamp])
        for row, since_block in list(self.due.items()):
            if len(self._reading) >= self.most_at_once:
                return
            if since_block <= block.number and row not in self._reading:
                del self.due[row]
                self._reading.add(row)
                self._begin(row, block)

    def _want_again(self, rows: list[int]) -> None:
        for row in rows:
            del self._told[row]
            self.want(row)

    def _end(self, row: int, ask_again_at: int | None = None) -> None:
        """A reading is over; it is wanted again, from a block number on, if that is given."""
        self._reading.discard(row)
        if ask_again_at is not None:
            self.want(row, ask_again_at)
