"""Says when two pools of one pair, on any venues, stand further apart than their fees.

Lesson: a strategy that needs pools' states keeps a `PoolBook`, which knows what each record means for them: Sync, Swap,
Mint, Burn, reorgs, snapshots, losses.  Every method hands it what came; whatever it forgets is not compared.  Prices
of V2 pairs and of V3 pools are compared as fractions of integers (virtual reserves), exact but for what a V3 price
itself rounds.

    alphapulse strategy consumers.examples.cross_venue_spread:CrossVenueSpread --ring market.polygon --set
    least_pips=500
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from consumers.arbitrage.legs import refusal, reserves_of
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool
from consumers.strategy import Strategy
from tlv.codes import Flag, GapScope
from tlv.fields import I64, PoolId
from tlv.layout import (
    Block,
    EventOrigin,
    Gap,
    PoolFee,
    PoolRecord,
    PoolState,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
)
from tlv.record import Record, record

PIPS = 1_000_000


@record(type=202)
class VenueSpread(Record, frozen=True):
    """token0 buys `spread_pips` more of token1 in pool `dear` than in pool `cheap`, fees of both already taken off."""

    spread_pips: I64
    block_number: I64
    cheap: PoolId
    dear: PoolId


class SpreadParams(msgspec.Struct, frozen=True):
    """What `--set` and `[strategy.params]` may say."""

    least_pips: int = 0
    """Least spread after fees that is worth a signal, in hundredths of a basis point."""


class CrossVenueSpread(Strategy):
    """Signals a VenueSpread for the widest spread that an event opened, if it is above `least_pips`."""

    name: ClassVar[str] = "cross_venue_spread"
    params = SpreadParams
    records = (VenueSpread,)

    def __init__(self, settings: SpreadParams) -> None:
        super().__init__()
        self.least_pips = settings.least_pips
        self.book = PoolBook()

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Take it in, and compare the pool with the others of its pair."""
        if isinstance(record, PoolFee):
            return
        pool = self.book.apply(record, origin)
        if pool is None or self.trigger.flags & Flag.BACKFILL or refusal(pool) is not None:
            return
        found = [spread for other in self.book.of_pair(pool.token0, pool.token1) if (spread := between(pool, other))]
        widest = max(found, default=None, key=lambda spread: (spread[0], spread[1].address, spread[2].address))
        if widest is not None and widest[0] > self.least_pips:
            pips, cheap, dear = widest
            said = VenueSpread(pips, origin.block_number, cheap.address, dear.address)
            self.emit(said, receive_time_ns=origin.receive_time_ns)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Undo it."""
        self.book.take_back(record, origin)

    def on_snapshot(self, record: PoolState) -> None:
        """Fee and state of a pool."""
        self.book.take_snapshot(record)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """Liquidity beyond the price."""
        self.book.take_ticks(part, ticks)

    def on_block(self, block: Block) -> None:
        """From here on nothing is missing."""
        self.book.see_block(block.number)

    def on_reorg(self, reorg: Reorg) -> None:
        """Back to the fork."""
        self.book.reorganise(reorg)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """What it takes back is not known any more."""
        self.book.apply_invalidation(invalidation)

    def on_gap(self, gap: Gap) -> None:
        """Blocks, or frames, are missing."""
        self.book.lose() if gap.scope == GapScope.RING_SEQUENCES else self.book.invalidate()

    def on_session(self, session: Session) -> None:
        """The collector began anew."""
        self.book.invalidate()

    def on_lost(self, first: int, last: int) -> None:
        """Frames are missing."""
        self.book.lose()


def between(pool: Pool, other: Pool) -> tuple[int, Pool, Pool] | None:
    """(pips, cheap, dear): what token0 buys more in one than in the other, fees taken off; None if nothing."""
    if other is pool or refusal(other) is not None:
        return None
    for cheap, dear in ((pool, other), (other, pool)):
        cheap0, cheap1 = reserves_of(cheap)
        dear0, dear1 = reserves_of(dear)
        kept = (PIPS - (cheap.fee_pips or 0)) * (PIPS - (dear.fee_pips or 0))
        if not cheap1 or not dear0:
            continue
        pips = dear1 * cheap0 * kept // (dear0 * cheap1 * PIPS) - PIPS
        if pips > 0:
            return pips, cheap, dear
    return None
