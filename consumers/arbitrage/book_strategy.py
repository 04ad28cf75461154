"""A strategy that keeps a `PoolBook`: each record that says something of a pool's state is handed to the book.

Owns the way from a method of `Strategy` to the book, and from what changed to the two methods that a subclass may
override.  `pool_book` owns what a record means.

    class Mine(BookStrategy):
        def pool_moved(self, pool, origin): ...          an event left a pool in another state
        def pools_restored(self, pools, reason): ...     states changed otherwise; pool.current is None if unknown

A subclass that overrides a method of `Strategy` calls `super()`'s, or the book lacks what came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool
from consumers.strategy import Strategy
from tlv.codes import GapScope, WithdrawalReason
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    FeeState,
    Gap,
    PoolBurn,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
    Timepoint,
)
from tlv.record import Record


class BookStrategy(Strategy):
    """Keeps the state of every pool in `book`."""

    wants: ClassVar[frozenset[type[Record]]] = frozenset(
        {
            *(
                Block,
                BlockEnd,
                FeeState,
                PoolBurn,
                PoolCreated,
                PoolFee,
                PoolLiquidity,
                PoolMint,
                PoolState,
                PoolSwap,
                PoolSync,
            ),
            PoolTicks,
        }
    )
    book: PoolBook

    def __new__(cls, *_args: Any, **_settings: Any) -> Self:
        """The book is there whether or not a subclass calls its base's constructor."""
        strategy = super().__new__(cls)
        strategy.book = PoolBook()
        return strategy

    def pool_moved(self, pool: Pool, origin: EventOrigin) -> None:
        """An event left the pool in another state."""

    def pools_restored(self, pools: Sequence[Pool], reason: WithdrawalReason) -> None:
        """The states of pools changed by other ways than an event of theirs; why a signal about them holds no more.

        GONE: a snapshot told one; REORG: they are what they were at the fork; STATE_UNKNOWN: they are not known.
        """

    def fees_moved(self, pools: Sequence[Pool]) -> None:
        """The fees of pools changed, by time or by what is known of them, and not their states; None if unknown."""

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Take it in."""
        pool = self.book.apply(record, origin)
        if pool is not None:
            self.pool_moved(pool, origin)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Restore what the event had changed."""
        pool = self.book.take_back(record, origin)
        if pool is not None:
            self.pools_restored([pool], WithdrawalReason.REORG)

    def on_snapshot(self, record: PoolState) -> None:
        """Take over fee and tokens, and the state unless an event has set a newer one."""
        pool = self.book.take_snapshot(record)
        if pool is not None:
            self.pools_restored([pool], WithdrawalReason.GONE)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """Take over the liquidity beyond the current range."""
        self.book.take_ticks(part, ticks)

    def on_fee_state(self, state: FeeState, points: tuple[Timepoint, ...]) -> None:
        """Take over what the pool's fee follows from."""
        pool = self.book.take_fees(state, points)
        if pool is not None:
            self.fees_moved([pool])

    def on_block(self, block: Block) -> None:
        """Its events are behind it, and fees that move are those of the block after it."""
        moved = self.book.see_block(block)
        if moved:
            self.fees_moved(moved)

    def on_reorg(self, reorg: Reorg) -> None:
        """Go back to the fork."""
        self.pools_restored(self.book.reorganise(reorg), WithdrawalReason.REORG)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """Mark the states that it names as unknown."""
        self.pools_restored(self.book.apply_invalidation(invalidation), WithdrawalReason.STATE_UNKNOWN)

    def on_gap(self, gap: Gap) -> None:
        """Any pool may have moved in the missing blocks or frames."""
        if gap.scope == GapScope.RING_SEQUENCES:
            self.on_lost(gap.first, gap.last)
        else:
            self.pools_restored(self.book.invalidate(), WithdrawalReason.STATE_UNKNOWN)

    def on_session(self, session: Session) -> None:
        """The collector was not running: any pool may have moved meanwhile."""
        self.pools_restored(self.book.invalidate(), WithdrawalReason.STATE_UNKNOWN)

    def on_lost(self, first: int, last: int) -> None:
        """Any pool may have moved in the frames that were missed."""
        self.pools_restored(self.book.lose(), WithdrawalReason.STATE_UNKNOWN)
