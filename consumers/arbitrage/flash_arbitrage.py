"""The flash-arbitrage strategy: two pools of one pair disagree by more than their fees, so buy in one and sell in the
other, in one transaction.

Owns when pools are compared and when a signal is emitted.  `PoolBook` keeps the pools' state, `ScreenTable` chooses the
pairs, `cycle` solves a cycle.

A pool moves -> its row of the screening table is renewed -> the kernel compares it with the other pools of its pair ->
each candidate is solved exactly -> gas is subtracted -> a signal, if something is left.

This happens twice.  At the event itself: a later event of its block may undo the difference (most often one of the same
transaction), so the verdict is SPECULATIVE.  And when the block is known to be complete, for pools that have not moved
since: EXACT, or WITHIN_SEGMENT if one is a V3 pool whose tick map is not known, so that only its current range could be
used.  Events of a back-fill are old: they are compared only at the end of their block, and only if that block is the
chain's newest or the one before.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, NamedTuple

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.cycle import Leg, MapLeg, ReserveLeg, best_cycle
from consumers.arbitrage.gas_rate import Rate, rate_of
from consumers.arbitrage.legs import leg_of, price_of, tradable
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool
from consumers.arbitrage.screen import ScreenTable
from consumers.arbitrage.signal import Standing, StateBlock, crossed_ticks, describe, value, way_of
from consumers.strategy import Strategy
from tlv.codes import Flag, GapScope, QuoteVerdict, Source
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    PoolBurn,
    PoolCreated,
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
)
from tlv.record import Record


class Occasion(NamedTuple):
    """Why pools are compared now."""

    place: StateBlock
    receive_time_ns: int
    block_closed: bool


class Move(NamedTuple):
    """The last event of a pool whose block is not closed yet; `fetched` if a back-fill brought it."""

    origin: EventOrigin
    fetched: bool


class FlashArbitrage(Strategy):
    """Finds cycles through two pools of the same pair.

    `counts` has the outcome of every comparison: `screened` comparisons with at least one other pool, `candidates`
    that the screen let through, `gross_positive` that earn before gas, `net_positive` that earn after it, `unpriced`
    whose gas no pool can price, `stale` and `untouchable` that were not solved, `signals` published.
    """

    name: ClassVar[str] = "flash_arbitrage"
    version: ClassVar[int] = 2
    source: ClassVar[Source] = Source.ARBITRAGE_STRATEGY
    params: ClassVar[type[Any] | None] = ArbitrageConfig
    wants: ClassVar[frozenset[type[Record]]] = frozenset(
        {Block, BlockEnd, PoolBurn, PoolCreated, PoolMint, PoolState, PoolSwap, PoolSync, PoolTicks}
    )

    def __init__(self, config: ArbitrageConfig | None = None) -> None:
        super().__init__()
        self.config = config or ArbitrageConfig()
        self.book = PoolBook()
        self.counts: Counter[str] = Counter()
        self._native = self.config.native_address
        self._untouchable = self.config.untouchable_tokens
        self._table = ScreenTable()
        self._rows = 0
        self._head = 0
        self._base_fee = 0
        self._unsettled: dict[int, Move] = {}

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Update the pool and, unless a back-fill brought the event, look for a cycle at once."""
        self._head = max(self._head, origin.block_number)
        pool = self.book.apply(record, origin)
        self._renew_new_rows()
        if pool is None:
            return
        self._renew(pool)
        fetched = bool(self.trigger.flags & Flag.BACKFILL)
        self._unsettled[pool.index] = Move(origin, fetched)
        if self.config.early and not fetched:
            place = StateBlock(origin.block_number, origin.block_hash)
            self._look(pool, Occasion(place, origin.receive_time_ns, block_closed=False), set())

    def on_block_end(self, end: BlockEnd) -> None:
        """Compare again the pools that moved up to this block, whose states only a reorg can change now."""
        place = StateBlock(end.number, end.hash)
        seen: set[tuple[int, int]] = set()
        for index, (origin, fetched) in list(self._unsettled.items()):
            if origin.block_number > end.number:
                continue
            del self._unsettled[index]
            if not fetched or end.number >= self._head - 1:
                self._look(self.book.pools[index], Occasion(place, origin.receive_time_ns, block_closed=True), seen)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Restore what the event had changed."""
        pool = self.book.take_back(record, origin)
        if pool is not None:
            self._unsettle([pool])

    def on_snapshot(self, record: PoolState) -> None:
        """Take over fee and tokens, and the state unless an event has set a newer one."""
        pool = self.book.take_snapshot(record)
        self._renew_new_rows()
        if pool is not None:
            self._renew(pool)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """Take over the liquidity beyond the current range."""
        self.counts["tick_maps"] += self.book.take_ticks(part, ticks) is not None
        self._renew_new_rows()

    def on_block(self, block: Block) -> None:
        """The next block's base fee is bounded by this one's."""
        self._head = max(self._head, block.number)
        self._base_fee = block.base_fee
        self.book.see_block(block.number)

    def on_reorg(self, reorg: Reorg) -> None:
        """Go back to the fork."""
        self._head = reorg.new_head_number
        self._unsettle(self.book.reorganise(reorg))

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """Mark the states that it names as unknown."""
        self._unsettle(self.book.apply_invalidation(invalidation))

    def on_gap(self, gap: Gap) -> None:
        """Any pool may have moved in the missing blocks or frames."""
        missed_frames = gap.scope == GapScope.RING_SEQUENCES
        self._unsettle(self.book.lose() if missed_frames else self.book.invalidate())

    def on_session(self, session: Session) -> None:
        """The collector was not running: any pool may have moved meanwhile."""
        self._unsettle(self.book.invalidate())

    def on_lost(self, first: int, last: int) -> None:
        """Any pool may have moved in the frames that were missed."""
        self._unsettle(self.book.lose())

    def _unsettle(self, pools: list[Pool]) -> None:
        for pool in pools:
            self._unsettled.pop(pool.index, None)
            self._renew(pool)

    def _renew_new_rows(self) -> None:
        for pool in self.book.pools[self._rows :]:
            self._table.add(pool.index, self.book.of_pair(pool.token0, pool.token1)[0].index)
            self._rows += 1

    def _renew(self, pool: Pool) -> None:
        if tradable(pool) and pool.fee_pips is not None:
            self._table.set(pool.index, price_of(pool), 1.0 - pool.fee_pips / FEE_UNIT)
        else:
            self._table.clear(pool.index)

    def _look(self, pool: Pool, occasion: Occasion, seen: set[tuple[int, int]]) -> None:
        self.counts["screened"] += 1
        for buy, sell in self._table.candidates(pool.index).tolist():
            if (buy, sell) in seen:
                continue
            seen.add((buy, sell))
            self.counts["candidates"] += 1
            self._decide(self.book.pools[buy], self.book.pools[sell], occasion)

    def _fresh(self, pool: Pool) -> bool:
        current = pool.current
        return current is not None and self._head - current.block_number <= self.config.max_state_age_blocks

    def _decide(self, buy: Pool, sell: Pool, occasion: Occasion) -> None:
        """Solve the cycle that buys token0 in one pool and sells it in the other; emit a signal if it earns."""
        if not (self._fresh(buy) and self._fresh(sell)):
            self.counts["stale"] += 1
            return
        if occasion.block_closed and not (_settled(buy, occasion) and _settled(sell, occasion)):
            return
        if self._untouchable & {buy.token0, buy.token1}:
            self.counts["untouchable"] += 1
            return
        token_in, rate = self._denominate(buy)
        first, second = (buy, sell) if token_in == buy.token1 else (sell, buy)
        token_mid = buy.token0 if token_in == buy.token1 else buy.token1
        legs = leg_of(first, token_in), leg_of(second, token_mid)
        cycle = best_cycle(legs)
        if cycle is None:
            return
        self.counts["gross_positive"] += 1
        gas = self.config.gas
        way = way_of(1, legs[0], cycle.amount_in) + way_of(2, legs[1], cycle.amounts[1])
        units = gas.overhead_units + gas.units(first.protocol, first.venue) + gas.units(second.protocol, second.venue)
        units += gas.v3_tick_units * crossed_ticks(way)
        decimals = buy.decimals1 if token_in == buy.token1 else buy.decimals0
        economics = value(cycle, token_in, decimals, units, gas.price(self._base_fee), rate)
        if not rate.wei:
            self.counts["unpriced"] += 1
            worthwhile = False
        else:
            worthwhile = economics.net > 0 and rate.worth(economics.net) >= self.config.min_net_wei
            self.counts["net_positive"] += economics.net > 0
        if worthwhile or self.config.gross:
            verdict = _verdict(legs, speculative=not occasion.block_closed or first.fee_moves or second.fee_moves)
            self.counts["signals"] += 1
            self.counts[f"signals_{verdict.name.lower()}"] += 1
            standing = Standing(0, occasion.place, occasion.place.block_number + 2, verdict)
            signal, stated = describe(standing, (first, second), token_in, cycle)
            self.emit(signal, economics, *stated, *way, receive_time_ns=occasion.receive_time_ns)

    def _denominate(self, pool: Pool) -> tuple[bytes, Rate]:
        """The token to count profit in: the one with the deeper pool against the chain's coin, which prices it."""

        def trusted(other: Pool) -> bool:
            return tradable(other) and self._fresh(other)

        if pool.token1 == self._native:
            return pool.token1, rate_of(self.book, pool.token1, self._native, trusted)
        rate0 = rate_of(self.book, pool.token0, self._native, trusted)
        rate1 = rate_of(self.book, pool.token1, self._native, trusted)
        if pool.token0 == self._native or rate0.wei > rate1.wei:
            return pool.token0, rate0
        return pool.token1, rate1


def _settled(pool: Pool, occasion: Occasion) -> bool:
    """Whether the pool's state is of a closed block; if not, it is compared again at the end of its own block."""
    return pool.current is not None and pool.current.block_number <= occasion.place.block_number


def _verdict(legs: tuple[Leg, Leg], *, speculative: bool) -> QuoteVerdict:
    if speculative:
        return QuoteVerdict.SPECULATIVE
    # Any other leg covers only the current range of its pool.
    whole = all(isinstance(leg, ReserveLeg | MapLeg) for leg in legs)
    return QuoteVerdict.EXACT if whole else QuoteVerdict.WITHIN_SEGMENT
