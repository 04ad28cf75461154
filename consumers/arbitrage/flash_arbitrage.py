"""The flash-arbitrage strategy: two or three pools disagree by more than their fees, so trade through them in a circle,
in one transaction.

Owns when cycles are looked at, and which signals are published.  `PoolBook` keeps the pools' state, `CycleTable`
chooses the cycles, `cycle` solves one, `LiveSignals` remembers what was said.

A pool moves -> its sides in the table are renewed -> the kernel screens the cycles through it -> each candidate is
solved exactly, those first that may earn most -> gas is subtracted -> signals, in the order of what is left.

This happens twice.  At the event itself: a later event of its block may undo the difference (most often one of the same
transaction), so the verdict is SPECULATIVE.  One pool that moves makes all cycles through it earn, of which one can be
taken, so only the best is signalled then: candidates are solved in the order of their bounds, until no bound is above
the best net found.  And when the block is known to be complete, for pools that have not moved
since: EXACT, or WITHIN_SEGMENT if one is a V3 pool whose tick map is not known, so that only its current range could be
used.  Pools whose state came by other ways than an event are looked at then too.  Events of a back-fill are old: of
these only the newest block's, or the one's before, may begin an opportunity, at its end.

A signal holds until a newer one of its opportunity; what was signalled once is not signalled again unless its numbers
are others.  It is withdrawn when the cycle earns nothing any more, when its last block has ended, when its block left
the chain, and when the state of one of its pools is not known any more.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf, nan
from typing import Any, ClassVar, NamedTuple

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.cycle import Leg, MapLeg, ReserveLeg, StableLeg, VolatileLeg, best_cycle
from consumers.arbitrage.cycle_table import BELOW, UNPRICED, CycleCandidate, CycleTable
from consumers.arbitrage.gas_rate import Rates
from consumers.arbitrage.legs import leg_of, refusal, slopes_of
from consumers.arbitrage.live_signals import KnownOpportunity, LiveSignals, Statement, opportunity_number
from consumers.arbitrage.pool_state import SAYS_NO_PRICE, Pool
from consumers.arbitrage.signal import StateBlock, crossed_ticks, describe, describe_legs, value, way_of
from tlv.codes import Flag, QuoteVerdict, Source, WithdrawalReason
from tlv.layout import (
    ArbitrageSignal,
    Block,
    BlockEnd,
    CycleLeg,
    Economics,
    EventOrigin,
    PoolRecord,
    PoolState,
    PoolTicks,
    Reorg,
    SignalIdentity,
    SignalWithdrawn,
    TickLiquidity,
    WayTick,
)

log = logging.getLogger("alphapulse.strategy")

BACKFILL = int(Flag.BACKFILL)
MAX_LIVE = 450
"""Signals that may hold at a time: a loss withdraws all of them on one frame, which may cause 1,000 messages."""
BYTES_OF_SIGNALS = 384 << 10
"""Of the signals of one frame, withdrawals apart: less than what a strategy may publish on it."""
OF_A_SIGNAL = sum(cls.layout.size for cls in (SignalIdentity, ArbitrageSignal, Economics))
LONGEST_SIGNAL = 60 << 10
"""A signal that crosses more than some 2,000 ticks is no message any more."""
NEVER = -1
"""The block of a move that no event caused."""


class Occasion(NamedTuple):
    """Why cycles are looked at now."""

    place: StateBlock
    receive_time_ns: int
    block_closed: bool


class Move(NamedTuple):
    """The last event of a pool whose block is not closed yet; `fetched` if a back-fill brought it."""

    block_number: int
    receive_time_ns: int
    fetched: bool


class Chance(NamedTuple):
    """A cycle that is worth a signal: what it says, and its profit in wei of the chain's coin."""

    candidate: CycleCandidate
    rows: tuple[int, ...]
    """Its pools."""
    statement: Statement
    net_wei: int


class FlashArbitrage(BookStrategy):
    """Finds cycles through two and three pools.

    `counts` says what became of everything:

    - `screened` looks at the cycles of a pool, `candidates` cycles whose prices earn before gas;
    - of these: `left_for_block_end` that earn less than the best one of an event, `below_gas` whose bound does not pay
      for it, `unpriced` whose gas no pool can price, `unsolved` beyond what a look may solve, `unsettled` with a pool
      that moved in a later block;
    - of those solved: `gross_positive` that earn before gas, `net_positive` that earn after it;
    - `signals` published, `signals_exact`, `signals_within_segment` and `signals_speculative` by verdict,
      `signals_unchanged` not repeated, `signals_crowded` not published because too many hold or stand on one frame, or
      because they are longer than a message;
    - `withdrawn_gone`, `withdrawn_expired`, `withdrawn_reorg` and `withdrawn_state_unknown`;
    - `cycles` in the table, `cycles_left_out` for which it had no room, `tick_maps` taken, `stale` states that became
      too old, and `refused_...` states that cannot be quoted, by `legs.refusal`, or `refused_untouchable`.
    """

    name: ClassVar[str] = "flash_arbitrage"
    version: ClassVar[int] = 2
    source: ClassVar[Source] = Source.ARBITRAGE_STRATEGY
    params: ClassVar[type[Any] | None] = ArbitrageConfig

    def __init__(self, config: ArbitrageConfig | None = None) -> None:
        super().__init__()
        self.config = config or ArbitrageConfig()
        self.live = LiveSignals()
        self._untouchable = self.config.untouchable_tokens
        self._rates = Rates(self.config.native_address)
        self._table = CycleTable(self.config.max_cycles)
        self._table.price(self.config.native_address, 1.0, float("inf"))
        self._least_wei = nan if self.config.gross else float(max(self.config.min_net_wei, 0))
        self._rows = 0
        self._units: dict[int, int] = {}
        """Gas of a swap of each pool in the table."""
        self._head = 0
        self._place = StateBlock(0, bytes(32))
        """The newest block of which anything was heard."""
        self._base_fee = 0
        self._unsettled: dict[int, Move] = {}
        self._ages: OrderedDict[int, int] = OrderedDict()
        """The block of each state in the table, the oldest first."""

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Update the pool."""
        self._see(StateBlock(origin.block_number, origin.block_hash))
        super().on_event(record, origin)

    def pool_moved(self, pool: Pool, origin: EventOrigin) -> None:
        """Unless a back-fill brought the event, look for cycles at once."""
        self._renew(pool)
        fetched = bool(self.trigger.flags & BACKFILL)
        self._unsettled[pool.index] = Move(origin.block_number, origin.receive_time_ns, fetched)
        if self.config.early and not fetched:
            place = StateBlock(origin.block_number, origin.block_hash)
            self._look([pool], Occasion(place, origin.receive_time_ns, block_closed=False))

    def on_block_end(self, end: BlockEnd) -> None:
        """Look again at the pools that moved up to this block, whose states only a reorg can change now."""
        place = StateBlock(end.number, end.hash)
        self._see(place)
        moved = [index for index, move in self._unsettled.items() if move.block_number <= end.number]
        looked, old, receive_time_ns = [], [], 0
        for index in moved:
            move = self._unsettled.pop(index)
            if move.fetched and end.number < self._head - 1:
                old.append(index)
            else:
                looked.append(self.book.pools[index])
                receive_time_ns = max(receive_time_ns, move.receive_time_ns)
        self._withdraw(self.live.through(old), WithdrawalReason.GONE, place)
        self._look(looked, Occasion(place, receive_time_ns, block_closed=True))
        expired = [signal for signal in self.live if signal.expires_block <= end.number]
        self._withdraw(expired, WithdrawalReason.EXPIRED, place)

    def on_snapshot(self, record: PoolState) -> None:
        """Take over fee and tokens, and the state unless an event has set a newer one."""
        known = self.book.find(record)
        before = _quoted(known) if known is not None else None
        pool = self.book.take_snapshot(record)
        if pool is None:
            return
        if _quoted(pool) == before:
            self._renew(pool)  # it is younger, and nothing else
        else:
            self.pools_restored([pool], WithdrawalReason.GONE)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """Take over the liquidity beyond the current range; what follows from it is looked at when the block ends."""
        pool = self.book.take_ticks(part, ticks)
        if pool is not None:
            self.counts["tick_maps"] += 1
            if self._renew(pool):
                self._unsettled.setdefault(pool.index, Move(NEVER, 0, fetched=False))

    def fees_moved(self, pools: Sequence[Pool]) -> None:
        """What follows from it is looked at when the block ends."""
        for pool in pools:
            if self._renew(pool):
                self._unsettled.setdefault(pool.index, Move(NEVER, 0, fetched=False))

    def on_block(self, block: Block) -> None:
        """The next block's base fee is bounded by this one's."""
        self._see(StateBlock(block.number, block.hash))
        self._base_fee = block.base_fee
        super().on_block(block)

    def on_reorg(self, reorg: Reorg) -> None:
        """Go back to the fork."""
        self._head, self._place = reorg.new_head_number, StateBlock(reorg.fork_number, reorg.fork_hash)
        gone = [signal for signal in self.live if signal.block_number > reorg.fork_number]
        self._withdraw(gone, WithdrawalReason.REORG, self._place)
        super().on_reorg(reorg)

    def _see(self, place: StateBlock) -> None:
        """A block was heard of: states that are too old now are left alone until they move."""
        if place.block_number >= self._place.block_number:
            self._place = place
        if place.block_number <= self._head:
            return
        self._head = place.block_number
        oldest = self._head - self.config.max_state_age_blocks
        while self._ages and (index := next(iter(self._ages))) is not None and self._ages[index] < oldest:
            self.counts["stale"] += 1
            self._leave_out(self.book.pools[index])

    def pools_restored(self, pools: Sequence[Pool], reason: WithdrawalReason) -> None:
        """Withdraw the signals about them; they are looked at when the block ends."""
        self._withdraw(self.live.through([pool.index for pool in pools]), reason, self._place)
        for pool in pools:
            self._unsettled.pop(pool.index, None)
            if self._renew(pool):
                self._unsettled[pool.index] = Move(NEVER, 0, fetched=False)

    def _renew_new_rows(self) -> None:
        if self._rows == len(self.book.pools):
            return
        for pool in self.book.pools[self._rows :]:
            self._table.add(pool.token0, pool.token1, alone=pool.protocol in SAYS_NO_PRICE)
        self._rows = len(self.book.pools)
        self.counts["cycles"] = self._table.size
        if self.book.taxed.seen:
            self.counts["taxed_tokens"] = len(self.book.taxed.seen)
        if self._table.left_out > self.counts["cycles_left_out"]:
            if not self.counts["cycles_left_out"]:
                text = "%(count)d cycles are in the table, as many as max_cycles allows; what appears now is left out"
                log.warning(text, {"count": self._table.size})
            self.counts["cycles_left_out"] = self._table.left_out

    def _renew(self, pool: Pool) -> bool:
        """Bring the table up to date with a pool's state; whether it can be quoted."""
        self._renew_new_rows()
        reason = refusal(pool)
        if reason is None and self._untouchable and self._untouchable & {pool.token0, pool.token1}:
            reason = "untouchable"
        current = pool.current
        if (
            reason is not None
            or current is None
            or current.block_number < self._head - self.config.max_state_age_blocks
        ):
            self.counts[f"refused_{reason}" if reason else "stale"] += 1
            self._leave_out(pool)
            return False
        units = self._units[pool.index] = self.config.gas.units(pool.protocol, pool.venue)
        self._table.set(pool.index, *slopes_of(pool), units)
        self._ages[pool.index] = current.block_number
        self._ages.move_to_end(pool.index)
        self._price(pool, usable=True)
        return True

    def _leave_out(self, pool: Pool) -> None:
        self._table.clear(pool.index)
        self._ages.pop(pool.index, None)
        self._price(pool, usable=False)

    def _price(self, pool: Pool, *, usable: bool) -> None:
        token = self._rates.renew(pool, usable=usable)
        if token is not None:
            rate = self._rates.of(token)
            self._table.price(token, rate.wei / rate.tokens if rate.tokens else 0.0, float(rate.wei))

    def _look(self, pools: list[Pool], occasion: Occasion) -> None:
        """Look at all cycles through pools that moved; publish what is new about them, the best first."""
        gas, counts = self.config.gas, self.counts
        gas_price = gas.price(self._base_fee)
        known = self.live.through(pool.index for pool in pools)
        only_best, most = not (occasion.block_closed or self.config.gross), self.config.max_solved
        self._table.begin_look()
        chances: list[Chance] = []
        judged: set[int] = set()
        for pool in pools:
            counts["screened"] += 1
            found, candidates = self._table.candidates(pool.index, gas_price, gas.overhead_units, self._least_wei)
            counts["unsolved"] += max(found - most, 0)
            best = 0
            for number, candidate in enumerate(islice(candidates, most)):
                if only_best and best >= candidate.bound:
                    counts["left_for_block_end"] += min(found, most) - number
                    break
                judged.add(candidate.key)
                chance = self._judge(candidate, occasion, gas_price)
                if chance is not None:
                    chances.append(chance)
                    best = max(best, chance.net_wei)
        self._count_screen()
        for opportunity in known:
            if opportunity.key not in judged:
                chance = self._judge(CycleCandidate(inf, opportunity.key, opportunity.start), occasion, gas_price)
                if chance is not None:
                    chances.append(chance)
        if len(chances) > 1:
            chances.sort(key=lambda chance: chance.net_wei, reverse=True)
        if known:
            earning = {chance.candidate.key for chance in chances}
            gone = [one for one in known if one.key not in earning and self._is_settled(one.pools, occasion)]
            self._withdraw(gone, WithdrawalReason.GONE, occasion.place)
        room = BYTES_OF_SIGNALS
        for number, chance in enumerate(chances):
            if number == 0 or not only_best or self.live.get(chance.candidate.key) is not None:
                room -= self._signal(chance, occasion, room)
            else:
                counts["left_for_block_end"] += 1

    def _count_screen(self) -> None:
        found, counts = self._table.counts.tolist(), self.counts
        counts["candidates"], counts["below_gas"], counts["unpriced"] = sum(found), found[BELOW], found[UNPRICED]

    def _is_settled(self, pools: Iterable[int], occasion: Occasion) -> bool:
        """Whether no pool has moved in a later block; if one has, it is looked at again at the end of that."""
        if not occasion.block_closed:
            return True
        newest = (self.book.pools[index].current for index in pools)
        return all(entry is None or entry.block_number <= occasion.place.block_number for entry in newest)

    def _judge(self, candidate: CycleCandidate, occasion: Occasion, gas_price: int) -> Chance | None:
        """Solve a cycle; None if it is not worth a signal."""
        known = self.live.get(candidate.key)
        if known is not None and known.start != candidate.start and self._rates.of(known.statement.token_in).wei:
            candidate = candidate._replace(start=known.start)
        all_pools, ages, gas, closed = self.book.pools, self._ages, self.config.gas, occasion.block_closed
        pools, legs, units, speculative = [], [], gas.overhead_units, not closed
        path = self._table.legs(candidate.key, candidate.start)
        for index, falls in path:
            pool = all_pools[index]
            if index not in ages:
                return None
            pools.append(pool)
            legs.append(leg_of(pool, pool.token0 if falls else pool.token1))
            units += self._units[index]
            speculative |= pool.fee_moves or pool.is_hooked or self.book.taxed.touches(pool)
        if closed and not self._is_settled((pool.index for pool in pools), occasion):
            self.counts["unsettled"] += 1
            return None
        cycle = best_cycle(legs)
        if cycle is None:
            return None
        self.counts["gross_positive"] += 1
        way: tuple[WayTick, ...] = ()
        for number, (leg, amount) in enumerate(zip(legs, cycle.amounts, strict=False), 1):
            if isinstance(leg, MapLeg):
                way += tuple(way_of(number, leg, amount))
        if way:
            units += gas.v3_tick_units * crossed_ticks(way)
        first = pools[0]
        token_in, decimals = (first.token0, first.decimals0) if path[0][1] else (first.token1, first.decimals1)
        rate = self._rates.of(token_in)
        economics = value(cycle, token_in, decimals, units, gas_price, rate)
        net_wei = rate.worth(economics.net) if rate.wei else 0
        earns = rate.wei > 0 and economics.net > 0
        self.counts["net_positive"] += earns
        if not ((earns and net_wei >= self.config.min_net_wei) or self.config.gross):
            return None
        statement = Statement(_verdict(legs, speculative), economics, describe_legs(pools, token_in, cycle), way)
        return Chance(candidate, tuple([index for index, _ in path]), statement, net_wei)

    def _signal(self, chance: Chance, occasion: Occasion, room: int) -> int:
        """Publish a chance if it has at most `room` bytes, unless the same was said already and holds; its bytes."""
        (_, key, start), (verdict, economics, stated, way) = chance.candidate, chance.statement
        known = self.live.get(key)
        holds = known is not None and known.signal_id != 0
        if known is not None and holds and known.statement == chance.statement:
            self.counts["signals_unchanged"] += 1
            return 0
        size = OF_A_SIGNAL + len(stated) * CycleLeg.layout.size + len(way) * WayTick.layout.size
        if size > min(room, LONGEST_SIGNAL) or (not holds and len(self.live) >= MAX_LIVE):
            self.counts["signals_crowded"] += 1
            self._withdraw([known] if known is not None else [], WithdrawalReason.GONE, occasion.place)
            return 0
        pools = [leg.pool for leg in stated]
        number = known.number if known else opportunity_number(pools, chance.statement.token_in, self.trigger)
        expires_block = occasion.place.block_number + self.config.signal_blocks
        signal = describe(number, occasion.place, expires_block, verdict, stated)
        made = self.emit(signal, economics, *stated, *way, receive_time_ns=occasion.receive_time_ns)
        rows, block_number = chance.rows, occasion.place.block_number
        self.live.put(KnownOpportunity(key, start, number, rows, made, block_number, expires_block, chance.statement))
        self.counts["signals"] += 1
        self.counts[f"signals_{verdict.name.lower()}"] += 1
        return size

    def _withdraw(self, opportunities: Iterable[KnownOpportunity], reason: WithdrawalReason, place: StateBlock) -> None:
        """Say of each signal that holds that it does not any more; unless it only expired, its opportunity ends."""
        for one in opportunities:
            if one.signal_id:
                self.emit(SignalWithdrawn(one.signal_id, one.number, place.block_number, place.block_hash, reason))
                self.counts[f"withdrawn_{reason.name.lower()}"] += 1
            if reason == WithdrawalReason.EXPIRED:
                self.live.silence(one)
            else:
                self.live.end(one)


def _quoted(pool: Pool) -> tuple[object, ...]:
    """What quotes of a pool follow from."""
    value = pool.current.value if pool.current is not None else None
    known = pool.protocol, (pool.fee_pips, pool.fee_pips_back), pool.tick_spacing, pool.curve, pool.hooks
    return value, *known, pool.token0, pool.token1, pool.decimals0, pool.decimals1


def _verdict(legs: Iterable[Leg], speculative: bool) -> QuoteVerdict:
    if speculative:
        return QuoteVerdict.SPECULATIVE
    # Any other leg covers only the current range of its pool.
    whole = all(isinstance(leg, ReserveLeg | MapLeg | VolatileLeg | StableLeg) for leg in legs)
    return QuoteVerdict.EXACT if whole else QuoteVerdict.WITHIN_SEGMENT
