"""Says when a V2 pool's price moves by more than a threshold in one Sync.

Lesson: a strategy is a class with the methods that it cares about.  Prices are compared without a float: two quotients
of integers are equal or not, and so is the number of pips between them, on every machine.  What it knows it forgets
when it is told that it may be wrong: frames were lost, a block left the chain.

    alphapulse strategy consumers.examples.price_mover:PriceMover --ring market.polygon --set threshold_pips=2000
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from consumers.examples.native_mover import PriceMove
from consumers.strategy import Strategy
from tlv.codes import Flag
from tlv.layout import EventOrigin, PoolRecord, PoolSync, StateInvalidation
from tlv.record import Record

PIPS = 1_000_000


class PriceMoverParams(msgspec.Struct, frozen=True):
    """What `--set` and `[strategy.params]` may say."""

    threshold_pips: int = 10_000
    """Least move that is worth a signal, in hundredths of a basis point."""


class PriceMover(Strategy):
    """Signals a PriceMove for each Sync that moves its pool's price by `threshold_pips` or more."""

    name: ClassVar[str] = "price_mover"
    params = PriceMoverParams
    records = (PriceMove,)
    wants: ClassVar[frozenset[type[Record]]] = frozenset({PoolSync})

    def __init__(self, settings: PriceMoverParams) -> None:
        super().__init__()
        self.threshold_pips = settings.threshold_pips
        self.last: dict[bytes, PoolSync] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Compare with the Sync before; a back-fill brings old ones, which say nothing about now."""
        if not isinstance(record, PoolSync) or self.trigger.flags & Flag.BACKFILL or not record.reserve0:
            return
        before = self.last.get(record.pool)
        self.last[record.pool] = record
        if before is None or not before.reserve1:
            return
        # price / price before - 1, in pips: both prices are reserve1 / reserve0.
        quotient = record.reserve1 * before.reserve0 * PIPS // (record.reserve0 * before.reserve1)
        move = quotient - PIPS
        if abs(move) >= self.threshold_pips:
            self.emit(PriceMove(move_pips=move, pool=record.pool), receive_time_ns=origin.receive_time_ns)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Its block left the chain: that price never was."""
        self.last.pop(record.pool, None)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """What is known may be wrong."""
        self.last.clear()

    def on_lost(self, first: int, last: int) -> None:
        """Whatever was in these frames, it was not seen."""
        self.last.clear()
