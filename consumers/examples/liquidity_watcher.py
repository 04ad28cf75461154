"""Says when one Mint or Burn changes a V2 pool's reserves by a large share.

Lesson: an event tells what changed, not what there was.  Reserves before it are those of the last Sync; V2 sends a
Sync in front of each Mint and Burn, so what stood before is what the last Sync says, less or plus the event's own
amounts.  The share is of integers, in pips, rounded down.

    alphapulse strategy consumers.examples.liquidity_watcher:LiquidityWatcher --ring market.polygon --set
    least_pips=50000
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from consumers.strategy import Strategy
from tlv.codes import Flag, Protocol
from tlv.fields import I64, U256, PoolId
from tlv.layout import EventOrigin, PoolBurn, PoolMint, PoolRecord, PoolSync, StateInvalidation
from tlv.record import Record, record

PIPS = 1_000_000


@record(type=203)
class LiquidityChange(Record, frozen=True):
    """A Mint (`change_pips` > 0) or Burn (< 0) of so many hundredths of a basis point of the reserve of token0."""

    amount0: U256
    amount1: U256
    change_pips: I64
    block_number: I64
    pool: PoolId


class LiquidityParams(msgspec.Struct, frozen=True):
    """What `--set` and `[strategy.params]` may say."""

    least_pips: int = 10_000
    """Least change that is worth a signal, in hundredths of a basis point of the reserve before."""


class LiquidityWatcher(Strategy):
    """Signals a LiquidityChange for each Mint or Burn of `least_pips` or more of a V2 pool's reserve."""

    name: ClassVar[str] = "liquidity_watcher"
    params = LiquidityParams
    records = (LiquidityChange,)
    wants: ClassVar[frozenset[type[Record]]] = frozenset({PoolSync, PoolMint, PoolBurn})

    def __init__(self, settings: LiquidityParams) -> None:
        super().__init__()
        self.least_pips = settings.least_pips
        self.reserve0: dict[bytes, int] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Keep a Sync's reserve, and hold a Mint or Burn against it."""
        if isinstance(record, PoolSync):
            self.reserve0[record.pool] = record.reserve0
        elif isinstance(record, PoolMint | PoolBurn) and record.protocol == Protocol.UNISWAP_V2:
            self._look(record, origin)

    def _look(self, record: PoolMint | PoolBurn, origin: EventOrigin) -> None:
        after = self.reserve0.get(record.pool)
        if after is None or self.trigger.flags & Flag.BACKFILL:
            return
        change = record.amount0 if isinstance(record, PoolMint) else -record.amount0
        before = after - change
        if before <= 0:
            return  # the pool's first liquidity, or a Sync that was not seen
        pips = record.amount0 * PIPS // before
        if pips >= self.least_pips:
            signed = pips if change > 0 else -pips
            told = LiquidityChange(record.amount0, record.amount1, signed, origin.block_number, record.pool)
            self.emit(told, receive_time_ns=origin.receive_time_ns)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Its block left the chain: the reserve is not known until the next Sync."""
        self.reserve0.pop(record.pool, None)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """What is known may be wrong."""
        self.reserve0.clear()

    def on_lost(self, first: int, last: int) -> None:
        """A Sync may be missing."""
        self.reserve0.clear()
