"""Says when two pools of one pair, on any venues, stand further apart than their fees.

Lesson: a strategy that needs pools' states is a `BookStrategy`, whose book knows what each record means for them: Sync,
Swap, Mint, Burn, reorgs, snapshots, losses.  What it does not know is not compared.  Prices of V2 pairs and of V3 pools
are compared as fractions of integers (virtual reserves), exact but for what a V3 price itself rounds.

    alphapulse strategy consumers.examples.cross_venue_spread:CrossVenueSpread --ring market.polygon --set
    least_pips=500
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.legs import refusal, reserves_of
from consumers.arbitrage.pool_state import Pool
from tlv.codes import Flag
from tlv.fields import I64, PoolId
from tlv.layout import EventOrigin
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


class CrossVenueSpread(BookStrategy):
    """Signals a VenueSpread for the widest spread that an event opened, if it is above `least_pips`."""

    name: ClassVar[str] = "cross_venue_spread"
    params = SpreadParams
    records = (VenueSpread,)

    def __init__(self, settings: SpreadParams) -> None:
        super().__init__()
        self.least_pips = settings.least_pips

    def pool_moved(self, pool: Pool, origin: EventOrigin) -> None:
        """Compare it with the others of its pair."""
        if self.trigger.flags & Flag.BACKFILL or refusal(pool) is not None:
            return
        found = [spread for other in self.book.of_pair(pool.token0, pool.token1) if (spread := between(pool, other))]
        widest = max(found, default=None, key=lambda spread: (spread[0], spread[1].address, spread[2].address))
        if widest is not None and widest[0] > self.least_pips:
            pips, cheap, dear = widest
            said = VenueSpread(pips, origin.block_number, cheap.address, dear.address)
            self.emit(said, receive_time_ns=origin.receive_time_ns)


def between(pool: Pool, other: Pool) -> tuple[int, Pool, Pool] | None:
    """(pips, cheap, dear): what token0 buys more in one than in the other, fees taken off; None if nothing."""
    if other is pool or refusal(other) is not None:
        return None
    for cheap, dear in ((pool, other), (other, pool)):
        cheap0, cheap1 = reserves_of(cheap)
        dear0, dear1 = reserves_of(dear)
        kept = (PIPS - (cheap.fee_pips_back or 0)) * (PIPS - (dear.fee_pips or 0))
        if not cheap1 or not dear0:
            continue
        pips = dear1 * cheap0 * kept // (dear0 * cheap1 * PIPS) - PIPS
        if pips > 0:
            return pips, cheap, dear
    return None
