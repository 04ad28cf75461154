"""A strategy that keeps a book and nothing else: what other keepers of pool states are held against."""

from __future__ import annotations

from consumers.arbitrage.pool_book import PoolBook
from consumers.strategy import Strategy
from tlv.codes import GapScope
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


class BookKeeper(Strategy):
    """Does with a book what a strategy does."""

    def __init__(self) -> None:
        super().__init__()
        self.book = PoolBook()

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        if not isinstance(record, PoolFee):
            self.book.apply(record, origin)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.book.take_back(record, origin)

    def on_snapshot(self, record: PoolState) -> None:
        self.book.take_snapshot(record)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        self.book.take_ticks(part, ticks)

    def on_block(self, block: Block) -> None:
        self.book.see_block(block.number)

    def on_reorg(self, reorg: Reorg) -> None:
        self.book.reorganise(reorg)

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        self.book.apply_invalidation(invalidation)

    def on_gap(self, gap: Gap) -> None:
        self.book.lose() if gap.scope == GapScope.RING_SEQUENCES else self.book.invalidate()

    def on_session(self, session: Session) -> None:
        self.book.invalidate()

    def on_lost(self, first: int, last: int) -> None:
        self.book.lose()
