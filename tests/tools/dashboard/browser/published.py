"""A ring as a collector writes it, by hand: blocks, swaps, snapshots and reorgs of pools that no chain has."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Self

from ringbuf import Writer
from tlv.codes import Completeness, Domain, FeedReason, FeedState, Flag, Protocol, Source, Venue
from tlv.layout import (
    LAYOUT_DIGEST,
    Block,
    BlockEnd,
    EventOrigin,
    Heartbeat,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    Session,
)
from tlv.message import build
from tlv.record import Record
from tlv.units import NS

COLLECTOR = Source.POLYGON_COLLECTOR
BEAT_S = 0.2
LARGEST = (1 << 256) - 1
"""78 digits."""


def address(number: int) -> bytes:
    """A made-up address."""
    return number.to_bytes(20, "big")


def block_hash(number: int, branch: int = 0) -> bytes:
    """Of a made-up block."""
    return branch.to_bytes(8, "big") + number.to_bytes(24, "big")


class PublishedMarket:
    """A collector's ring, with a heartbeat that says `reason` several times a second.  A context manager."""

    def __init__(self, name: str, capacity: int = 1 << 22) -> None:
        self.name = name
        self.reason = FeedReason.OK
        self.head = 0
        self._writer = Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST)
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._beating = threading.Thread(target=self._beat)
        self.publish(Domain.SYSTEM, [Session(self._writer.uuid, 1, 1, 137, LAYOUT_DIGEST)])

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._beating.join()
        self._writer.close(unlink=True)

    def publish(self, domain: Domain, records: Sequence[Record], flags: int = 0) -> int:
        """One message, built now; its sequence."""
        with self._lock:
            sequence: int = self._writer.next_sequence
            options: dict[str, Any] = {"sequence": sequence, "timestamp_ns": time.time_ns(), "flags": flags}
            self._writer.publish(build(domain, COLLECTOR, records, **options))
            return sequence

    def _beat(self) -> None:
        while not self._ends.wait(BEAT_S):
            self.publish(Domain.SYSTEM, [Heartbeat(self.head, self.head, 0, 0, 0, 0, FeedState.LIVE, 0, self.reason)])

    def snapshot(
        self, pool: int, symbols: tuple[str, str], decimals: tuple[int, int] = (18, 18), state: int = 0
    ) -> int:
        """What a pool is, with `state` of either token in it if not 0; tokens are the pool's number and one more."""
        record = PoolState(
            *prefix(pool, decimals), state, state, 0, 0, self.head, 3000, 0, 0, address(9), symbols[0], symbols[1]
        )
        return self.publish(Domain.MARKET_DATA, [record], Flag.SNAPSHOT)

    def block(self, number: int, branch: int = 0) -> int:
        """A block's header."""
        self.head = number
        parent = block_hash(number - 1, branch)
        now_ns = time.time_ns()
        record = Block(number, now_ns // NS, 1, 2, now_ns, 0, block_hash(number, branch), parent)
        return self.publish(Domain.MARKET_DATA, [record])

    def end(self, number: int, branch: int = 0, events: int = 0) -> int:
        """A block's end."""
        record = BlockEnd(number, events, events, 0, 0, block_hash(number, branch), Completeness.TOMBSTONE)
        return self.publish(Domain.SYSTEM, [record], Flag.LAST_IN_BLOCK)

    def swap(
        self,
        pool: int,
        amounts: tuple[int, int, int, int],
        *,
        log: int = 0,
        branch: int = 0,
        decimals: tuple[int, int] = (18, 18),
        flags: int = 0,
    ) -> int:
        """A V2 swap in the newest block: amounts in of either token, and out."""
        record = PoolSwap(*prefix(pool, decimals), *amounts, 0, 0, 0, address(1), address(2))
        return self.publish(Domain.MARKET_DATA, [record, self._origin(log, branch)], flags)

    def sync(self, pool: int, reserves: tuple[int, int], *, log: int = 0, branch: int = 0, flags: int = 0) -> int:
        """The reserves after it."""
        record = PoolSync(*prefix(pool, (18, 18)), *reserves)
        return self.publish(Domain.MARKET_DATA, [record, self._origin(log, branch)], flags)

    def reorg(self, fork: int, events: int, branch: int = 0) -> int:
        """The blocks above `fork` left the chain; REMOVED copies of their events follow."""
        hashes = block_hash(fork, branch), block_hash(self.head, branch), block_hash(self.head, branch + 1)
        record = Reorg(fork, self.head, self.head, self.head - fork, events, *hashes)
        return self.publish(Domain.SYSTEM, [record])

    def _origin(self, log: int, branch: int) -> EventOrigin:
        now_ns = time.time_ns()
        transaction = address(log).rjust(32, b"t")
        return EventOrigin(self.head, now_ns // NS, now_ns, 0, log, block_hash(self.head, branch), transaction)


def prefix(pool: int, decimals: tuple[int, int]) -> tuple[Any, ...]:
    """What every record of a pool begins with."""
    tokens = address(2 * pool), address(2 * pool + 1)
    return address(pool << 64), *tokens, Venue.QUICKSWAP_V2, *decimals, Protocol.UNISWAP_V2
