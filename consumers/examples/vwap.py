"""Says a pool's volume-weighted average price at the end of each window of blocks.

Lesson: do sums over events, speak at the ends of blocks.  `on_block_end` comes when a block is known to be complete, so
what is said there will not be corrected by a log that was late.  A sum is undone event by event: `on_removed` brings
each event of a block that left the chain once more.  The average is a quotient of two sums of whole tokens' base
units, and stays one: amount1 / amount0 are both on the wire, and nothing is rounded.

    alphapulse strategy consumers.examples.vwap:Vwap --ring market.polygon --set blocks=5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec

from consumers.strategy import Strategy
from tlv.codes import Flag
from tlv.fields import I64, U256, Address, PoolId
from tlv.layout import BlockEnd, EventOrigin, PoolRecord, PoolSwap, StateInvalidation
from tlv.record import Record, record


@record(type=201)
class AveragePrice(Record, frozen=True):
    """In blocks `first_block` to `last_block` so much of both tokens changed hands; their quotient is the average
    price.  A pool of more than two coins has one for each pair."""

    amount0: U256
    amount1: U256
    first_block: I64
    last_block: I64
    swaps: I64
    pool: PoolId
    token0: Address
    token1: Address


class VwapParams(msgspec.Struct, frozen=True):
    """What `--set` and `[strategy.params]` may say."""

    blocks: int = 10
    """Blocks of a window."""
    least_swaps: int = 1
    """Swaps of a pool in a window below which nothing is said."""


Pair = tuple[bytes, bytes, bytes]
"""A pool, and the two tokens."""


@dataclass
class Traded:
    """What a pool traded of a pair in the window."""

    amount0: int = 0
    amount1: int = 0
    swaps: int = 0


class Vwap(Strategy):
    """Signals an AveragePrice for each pool that traded, each `blocks` blocks."""

    name: ClassVar[str] = "vwap"
    params = VwapParams
    records = (AveragePrice,)
    wants: ClassVar[frozenset[type[Record]]] = frozenset({PoolSwap, BlockEnd})

    def __init__(self, settings: VwapParams) -> None:
        super().__init__()
        self.blocks = max(settings.blocks, 1)
        self.least_swaps = settings.least_swaps
        self.first_block = 0
        self.traded: dict[Pair, Traded] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Add a swap."""
        if isinstance(record, PoolSwap) and not self.trigger.flags & Flag.BACKFILL:
            self._add(record, 1)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Take a swap back."""
        if isinstance(record, PoolSwap) and pair_of(record) in self.traded:
            self._add(record, -1)

    def _add(self, swap: PoolSwap, sign: int) -> None:
        traded = self.traded.setdefault(pair_of(swap), Traded())
        traded.amount0 += sign * (swap.amount0_in + swap.amount0_out)
        traded.amount1 += sign * (swap.amount1_in + swap.amount1_out)
        traded.swaps += sign

    def on_block_end(self, end: BlockEnd) -> None:
        """Speak if this was the window's last block."""
        self.first_block = self.first_block or end.number
        if end.number - self.first_block + 1 < self.blocks:
            return
        for pair, traded in sorted(self.traded.items()):
            if traded.swaps >= max(self.least_swaps, 1):
                amounts = (traded.amount0, traded.amount1)
                self.emit(AveragePrice(*amounts, self.first_block, end.number, traded.swaps, *pair))
        self._begin()

    def _begin(self) -> None:
        self.traded.clear()
        self.first_block = 0

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """What is known may be wrong: begin a new window."""
        self._begin()

    def on_lost(self, first: int, last: int) -> None:
        """Swaps are missing: begin a new window."""
        self._begin()


def pair_of(swap: PoolSwap) -> Pair:
    """What a swap is summed under."""
    return swap.pool, swap.token0, swap.token1
