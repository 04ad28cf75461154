"""The paper executor: decides at the end of each block which orders stood in it, and what they gave.

Owns when an order is decided and which messages that makes.  It never signs or sends anything.

    an order decided on block N is due in block N + delay_blocks; at that block's end:
      taken back before it, or decided on a block that left the chain    OrderStatus WITHDRAWN
      published, as recorded, after the block came                       it is due in the next one
      its last block is over, or its trigger never came                  OrderStatus EXPIRED
      late, malformed, unknown pool, unknown state, a limit              RiskDecision, OrderStatus REJECTED
      else                                                               RiskDecision, Fills + ExecutionReport

Everything is decided at a block's end, from block numbers and recorded times alone, in an order that the orders
themselves fix.  So it does not matter how market and orders were interleaved, as long as an order comes before the end
of its block does; later it is LATE.

A block that leaves the chain takes its attempts with it (OrderStatus UNDONE): book, positions and profit are as if they
had never been.  They are not tried again: a transaction that was replaced may be included again or not, and nobody can
say which.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import msgspec

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.gas_rate import Rate, Rates
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from consumers.arbitrage.legs import refusal
from consumers.arbitrage.pool_state import SOLIDLY_TYPE, Pool
from consumers.execution.chain import ChainView, InBlock
from consumers.execution.config import ExecutionConfig
from consumers.execution.fills import Shortage, Swapped, fill_order, quotable, swap_through
from consumers.execution.ledger import PPM, Ended, Ledger, Pnl
from consumers.execution.orders import Order, Withdrawal, read_order
from consumers.execution.risk import MOST_STATED, RiskVerdict, weigh
from consumers.strategy import Draft
from tlv.codes import Domain, Flag, OrderReason, OrderState, Protocol, Source
from tlv.errors import FrameError
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    ExecutionReport,
    Fill,
    OrderStatus,
    PoolRecord,
    PoolSwap,
    Reorg,
    RiskDecision,
)
from tlv.message import parse
from tlv.record import Record
from tlv.units import MS, NS

MOST_PENDING = 100_000
"""Orders that wait for their block; a strategy that asks for more is refused, and memory stays bounded."""
KEPT_FORKS = 1_000
KINDS = SOLIDLY_TYPE | {
    Protocol.UNISWAP_V2,
    Protocol.UNISWAP_V3,
    Protocol.PANCAKESWAP_V3,
    Protocol.ALGEBRA,
    Protocol.UNISWAP_V4,
}
"""The pool kinds whose arithmetic is known."""


class SeenFork(NamedTuple):
    """Blocks above `number` left the chain, as frame `sequence` of the market's ring said."""

    ring: bytes
    sequence: int
    number: int

    def orphans(self, order: Order) -> bool:
        """Whether the order was decided on one of these blocks."""
        seen_before = order.trigger_ring == self.ring and order.trigger_sequence < self.sequence
        return seen_before and order.block_number > self.number


class MetPool(NamedTuple):
    """A leg's pool where the order meets it."""

    pool: Pool
    where: InBlock
    falls: bool


class PaperExecutor(BookStrategy):
    """Fills orders on paper.  A `Driver` gives it the market's frames, `take_order` the strategies'.

    `counts`: `orders`, `withdrawals`, `ignored` messages of another kind, `unreadable` ones, `again` for orders that
    came before, `clock_unknown` for orders whose recorded latency is none, `moved_on` to a later block by latency;
    `own_missing` messages of its own that a restart did not find.
    """

    name: ClassVar[str] = "paper"
    source: ClassVar[Source] = Source.PAPER_EXECUTOR
    params: ClassVar[type[Any] | None] = ExecutionConfig

    def __init__(self, config: ExecutionConfig | None = None) -> None:
        super().__init__()
        self.config = config or ExecutionConfig()
        self.chain = ChainView(self.book)
        self.ledger = Ledger(self.config)
        self._native = self.config.native_address
        self._untouchable = self.config.untouchable_tokens
        self._due: defaultdict[int, list[Order]] = defaultdict(list)
        self._pending: dict[int, int] = {}
        """How many orders of an id wait."""
        self._waiting = 0
        self._withdrawn: dict[int, list[Withdrawal]] = {}
        """How orders that wait were taken back."""
        self._of_opportunity: dict[tuple[bytes, int], list[Order]] = {}
        self._last_sequence: dict[bytes, int] = {}
        self.read_up_to: dict[bytes, tuple[bytes, int]] = {}
        """Of each order ring: market ring and sequence of the frame behind its newest order."""
        self._last_end = -1
        self._forks: deque[SeenFork] = deque(maxlen=KEPT_FORKS)
        self._restored: dict[tuple[int, bytes], list[Ended]] = {}

    # ---- orders

    def take_order(self, payload: bytes | memoryview, ring: bytes, sequence: int, published_ns: int) -> None:
        """Take in one message of a strategy's ring; what it causes at once is in `drafts`.

        Args:
            ring: uuid of the ring that it was first published in; with `sequence` the order's identity.
            published_ns: wall time of its publishing, its header's `timestamp_ns`; 0 if nobody knows.
        """
        self.drafts = []
        if sequence <= self._last_sequence.get(ring, -1):
            self.counts["again"] += 1
            return
        self._last_sequence[ring] = sequence
        try:
            found = read_order(payload, ring, sequence, published_ns, self.config.min_gross_percent)
        except FrameError:
            self.counts["unreadable"] += 1
            return
        match found:
            case Order():
                self._enter(found)
            case Withdrawal():
                self.counts["withdrawals"] += 1
                self._withdraw(found)
            case None:
                self.counts["ignored"] += 1

    def _enter(self, order: Order) -> None:
        self.read_up_to[order.key.ring] = (order.trigger_ring, order.trigger_sequence)
        ledger, due = self.ledger, min(order.block_number + self.config.delay_blocks, order.expires_block)
        ended = ledger.ended.get(order.key)
        if ended is not None or due <= ledger.floor:
            self.counts["again"] += 1
            if ended is not None:
                ledger.name(order.key, order.strategy)
            if ended is None or ended.reason is not OrderReason.DUPLICATE:
                self._supersede(order)
            return
        self.counts["orders"] += 1
        known = order.order_id in self._pending or order.order_id in ledger.order_ids
        if known and order.key not in ledger.decided:
            order = _faulty(order, OrderReason.DUPLICATE)
        if self._waiting >= MOST_PENDING:
            verdict = RiskVerdict(OrderReason.RATE, MOST_PENDING + 1, MOST_PENDING)
            self._refuse(order, max(self._last_end, 0), self.chain.hashes.get(self._last_end, bytes(32)), verdict)
            return
        self._supersede(order)
        if order.opportunity and not order.fault:
            self._of_opportunity.setdefault((order.key.ring, order.opportunity), []).append(order)
        self._wait(order, due)

    def _wait(self, order: Order, due: int) -> None:
        self._due[due].append(order)
        self._pending[order.order_id] = self._pending.get(order.order_id, 0) + 1
        self._waiting += 1

    def _supersede(self, order: Order) -> None:
        """A newer signal of an opportunity takes the place of those that wait."""
        if not order.opportunity or order.fault:
            return
        for other in self._of_opportunity.get((order.key.ring, order.opportunity), ()):
            trigger = (order.trigger_ring, order.trigger_sequence)
            self._withdraw(Withdrawal(other.order_id, order.block_number, *trigger))

    def _withdraw(self, withdrawal: Withdrawal) -> None:
        if withdrawal.signal_id in self._pending:
            self._withdrawn.setdefault(withdrawal.signal_id, []).append(withdrawal)

    def _read_ahead(self, one: Order | Withdrawal) -> bool:
        """Whether it was caused by a frame of the market that has not been delivered yet."""
        return one.trigger_ring == self.trigger.ring and one.trigger_sequence > self.trigger.sequence

    # ---- the market

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Keep the pool's state, and where swaps stand."""
        super().on_event(record, origin)
        if isinstance(record, PoolSwap):
            self.chain.note_swap(record.pool, origin)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Restore what the event had changed."""
        super().on_removed(record, origin)
        if isinstance(record, PoolSwap):
            self.chain.forget_swap(record.pool, origin)

    def on_block(self, block: Block) -> None:
        """Remember its base fee and when it came."""
        super().on_block(block)
        self.chain.begin(block)

    def on_lost(self, first: int, last: int) -> None:
        """Any pool may have moved in the frames that were missed, and swaps of this block may be among them."""
        super().on_lost(first, last)
        self.chain.forget()

    def on_reorg(self, reorg: Reorg) -> None:
        """Take back what happened in the blocks that left the chain."""
        self._forks.append(SeenFork(self.trigger.ring, self.trigger.sequence, reorg.fork_number))
        super().on_reorg(reorg)
        gone = self.chain.roll_back(reorg.fork_number)
        self._last_end = min(self._last_end, reorg.fork_number)
        self._undo(lambda ended: gone.get(ended.block_number) == ended.block_hash)

    def on_block_end(self, end: BlockEnd) -> None:
        """Decide the orders that are due in this block."""
        self.chain.hashes[end.number] = end.hash
        for ended in self._restored.pop((end.number, end.hash), ()):
            self._move_again(ended)
        self._turn_breaker(end.number)
        for due in sorted(number for number in self._due if number <= end.number):
            for order in sorted(self._due.pop(due), key=_rank):
                self._leave(order)
                if self._read_ahead(order):  # at this end it was not there yet
                    if end.number > due + KEPT_BLOCKS:  # no branch that is replaced is longer
                        self._end(order, end, OrderState.EXPIRED)
                    else:
                        self._wait(order, due)
                    continue
                self._settle(order, due, end)
                self._turn_breaker(end.number)
        self._last_end = max(self._last_end, end.number)
        self.chain.settled(end.number)
        self.ledger.prune(end.number)

    # ---- a restart

    def resume(self, messages: Iterable[bytes | memoryview]) -> int:
        """Go on behind what an executor of this ring has published; how many messages that were.

        Before any frame is delivered.  The market and the orders are then read again from as early as they can be had;
        what was decided already is not decided again.  Behind a hole in the messages, as of a ring's overwritten
        beginning, orders up to the block of the next one count as ended.
        """
        count = sequence = 0
        for payload in messages:
            try:
                message = parse(payload)
            except FrameError:
                self.counts["unreadable"] += 1
                continue
            self.ledger.take(message.records)
            behind, sequence = sequence, message.header.sequence
            if sequence not in (1, behind + 1):  # a ring that was made anew begins with 1
                self.counts["own_missing"] += max(sequence - behind - 1, 1)
                self.ledger.floor = self.ledger.last_block
            count += 1
        for ended in self.ledger.ended.values():
            if ended.state is OrderState.FILLED:
                self._restored.setdefault((ended.block_number, ended.block_hash), []).append(ended)
        return count

    def caught_up(self) -> None:
        """Everything that was in the market's ring or journal was delivered: what was attempted in blocks that are not
        those of the chain has left it unseen, between two runs.  What that causes is in `drafts`."""
        self.drafts = []
        hashes = self.chain.hashes
        self._undo(lambda ended: hashes.get(ended.block_number, ended.block_hash) != ended.block_hash)
        self._restored.clear()

    # ---- deciding

    def _leave(self, order: Order) -> None:
        self._waiting -= 1
        left = self._pending[order.order_id] - 1
        if left:
            self._pending[order.order_id] = left
        else:
            del self._pending[order.order_id]

    def _settle(self, order: Order, due: int, end: BlockEnd) -> None:
        """What becomes of an order that is due; `due` is an earlier block if that one's end never came."""
        decided = self.ledger.decided.get(order.key)
        if decided is not None and not decided.approved and decided.block_number == end.number:
            self._refuse(order, end.number, end.hash, RiskVerdict(OrderReason(decided.reason)))
            return
        if order.fault:
            self._refuse(order, end.number, end.hash, RiskVerdict(order.fault))
            return
        taken_back = self._withdrawn.get(order.order_id, ())
        if any(one.block_number < due and not self._read_ahead(one) for one in taken_back):
            self._end(order, end, OrderState.WITHDRAWN)
            return
        if any(fork.orphans(order) for fork in self._forks):
            self._end(order, end, OrderState.WITHDRAWN, OrderReason.REORG)
            return
        if due < order.block_number + self.config.delay_blocks:
            self._end(order, end, OrderState.EXPIRED)
            return
        if due < end.number:
            unseen = 0 <= self._last_end < due
            reason = OrderReason.STATE_UNKNOWN if unseen else OrderReason.LATE
            self._refuse(order, end.number, end.hash, RiskVerdict(reason, end.number, due))
            return
        block = self.chain.blocks.get(end.number)
        if block is None or block.hash != end.hash:
            self._refuse(order, end.number, end.hash, RiskVerdict(OrderReason.STATE_UNKNOWN))
            return
        out_at = self._out_at(order, block)
        if out_at is None and self.config.clock == "refuse" and self._has_times(order, block):
            found, limit = order.published_ns - order.received_ns, int(self.config.clock_limit_s * NS)
            self._refuse(order, end.number, end.hash, RiskVerdict(OrderReason.CLOCK, found, limit))
            return
        if out_at is not None and out_at > block.receive_time_ns:
            self.counts["moved_on"] += 1
            if due >= order.expires_block:
                self._end(order, end, OrderState.EXPIRED)
            else:
                self._wait(order, due + 1)
            return
        self.counts["clock_unknown"] += out_at is None
        self._attempt(order, block)

    def _has_times(self, order: Order, block: Block) -> bool:
        """Whether all that is needed was recorded; of a replay's blocks the times are those of then."""
        recorded = min(order.received_ns, order.published_ns, block.receive_time_ns) > 0
        return recorded and not self.trigger.flags & Flag.REPLAY

    def _latency_ns(self, order: Order) -> int | None:
        """From the event behind an order to the order; None if what was recorded cannot be."""
        found = order.published_ns - order.received_ns
        return found if order.received_ns > 0 and 0 <= found <= int(self.config.clock_limit_s * NS) else None

    def _out_at(self, order: Order, block: Block) -> int | None:
        """When the order was out, on the collector's clock; None if nobody can say."""
        limit = int(self.config.clock_limit_s * NS)
        # The event may well have come behind this block's header; by more than the limit a clock was set back.
        if min(order.received_ns, block.receive_time_ns) <= 0 or order.received_ns - block.receive_time_ns > limit:
            return None
        if self.config.latency_ms is not None:
            return order.received_ns + int(self.config.latency_ms * MS)
        latency_ns = self._latency_ns(order)
        return None if latency_ns is None else order.received_ns + latency_ns

    def _attempt(self, order: Order, block: Block) -> None:
        number, config = block.number, self.config
        met = self._meet(order, number)
        if isinstance(met, RiskVerdict):
            self._refuse(order, number, block.hash, met)
            return
        outcome = fill_order([(one.where.place, one.falls) for one in met], order.amount_in)
        if isinstance(outcome, Shortage) and not outcome.certain:
            self._refuse(order, number, block.hash, RiskVerdict(outcome.reason))
            return
        rate_in, rate_out = self._rate(order.token_in, number), self._rate(order.token_out, number)
        crossed = 0 if isinstance(outcome, Shortage) else sum(one.crossed for one in outcome)
        units = config.gas.overhead_units + config.gas.v3_tick_units * crossed
        units += sum(config.gas.units(one.pool.protocol, one.pool.venue) for one in met)
        price = block.base_fee + config.gas.tip_wei if block.base_fee else config.gas.legacy_price_wei
        if not (rate_in.wei and rate_out.wei):
            self._refuse(order, number, block.hash, RiskVerdict(OrderReason.UNPRICED))
            return
        cost = max(price, rate_out.cost(units * price))
        if cost > MOST_STATED or units >> 64:
            self._refuse(order, number, block.hash, RiskVerdict(OrderReason.UNPRICED, cost, MOST_STATED))
            return
        # A killed predecessor may have approved it: that is in the sums already, and is not weighed a second time.
        decided = self.ledger.decided.get(order.key)
        held_wei = max(rate_out.worth(self.ledger.positions.get(order.token_out, 0)), 0)
        verdict = weigh(order, number, rate_in.worth(order.amount_in), held_wei, self.ledger, config)
        if not verdict.approved and (decided is None or not decided.approved):
            self._refuse(order, number, block.hash, verdict)
            return
        self._decision(order, number, verdict)
        if not isinstance(outcome, Shortage) and outcome[-1].amount_out < order.min_amount_out:
            outcome = Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)
        fills: list[Fill] = []
        if not isinstance(outcome, Shortage):
            fills = [_fill(order, block, at, met[at], swapped) for at, swapped in enumerate(outcome)]
            for one, swapped in zip(met, outcome, strict=True):
                self.chain.move(one.pool.address, number, block.hash, one.where.at, swapped.after)
        report = self._report(order, block, outcome, rate_out, (units, price))
        self._publish(order, *fills, report)

    def _meet(self, order: Order, number: int) -> list[MetPool] | RiskVerdict:
        """The pools of an order's legs, in their states; or why they cannot be traded."""
        age = number - order.block_number
        if age > self.config.max_order_age_blocks:
            return RiskVerdict(OrderReason.STALE, age, self.config.max_order_age_blocks)
        met = []
        for leg in order.legs:
            pool = self.book.get(leg.pool)
            if pool is None or not pool.protocol:
                return RiskVerdict(OrderReason.UNKNOWN_POOL)
            if pool.protocol not in KINDS:  # such a pool may have other pairs
                return RiskVerdict(OrderReason.NOT_QUOTABLE)
            if {leg.token_in, leg.token_out} != {pool.token0, pool.token1}:
                return RiskVerdict(OrderReason.MALFORMED)
            falls = leg.token_in == pool.token0
            untouchable = pool.is_hooked or self._untouchable & {pool.token0, pool.token1}
            if pool.fee(falls=falls) is None or untouchable:
                return RiskVerdict(OrderReason.NOT_QUOTABLE)
            where = self.chain.meet(pool, number, self.config.share_percent, falls=falls)
            if where is None:
                return RiskVerdict(OrderReason.STATE_UNKNOWN)
            if (age := number - where.state_block) > self.config.max_state_age_blocks:
                return RiskVerdict(OrderReason.STALE, age, self.config.max_state_age_blocks)
            if not quotable(where.place):
                return RiskVerdict(OrderReason.NOT_QUOTABLE)
            met.append(MetPool(pool, where, falls))
        return met

    def _rate(self, token: bytes, number: int) -> Rate:
        """What the chain's coin is worth in a token, by states that are not too old."""

        rates = Rates(self._native)
        for pool in self.book.of_pair(token, self._native):
            current = pool.current
            fresh = current is not None and number - current.block_number <= self.config.max_state_age_blocks
            rates.renew(pool, usable=fresh and refusal(pool) is None)
        return rates.of(token)

    def _report(
        self, order: Order, block: Block, outcome: list[Swapped] | Shortage, rate: Rate, gas: tuple[int, int]
    ) -> ExecutionReport:
        units, price = gas
        gas_cost = rate.cost(units * price)
        failed = isinstance(outcome, Shortage)
        amount_in, amount_out = (0, 0) if isinstance(outcome, Shortage) else (order.amount_in, outcome[-1].amount_out)
        gross = amount_out - amount_in if order.is_round_trip else amount_out
        latency_ns = self._latency_ns(order)
        pool = self.book.get(order.legs[-1].pool)
        assert pool is not None
        return ExecutionReport(
            **_about(order),
            block_number=block.number,
            latency_ns=-1 if latency_ns is None else latency_ns,
            block_hash=block.hash,
            amount_in=amount_in,
            amount_out=amount_out,
            expected_out=order.expected_out,
            gross=gross,
            gas_cost=gas_cost,
            net=gross - gas_cost,
            expected_net=(gross - gas_cost) * self.config.inclusion_ppm // PPM,
            gas_price=price,
            rate_native=rate.wei,
            rate_profit=rate.tokens,
            gas_units=units,
            rate_pool=rate.pool,
            token=order.token_out,
            inclusion_ppm=self.config.inclusion_ppm,
            state=OrderState.FAILED if failed else OrderState.FILLED,
            reason=outcome.reason if isinstance(outcome, Shortage) else OrderReason.NONE,
            decimals=pool.decimals0 if order.token_out == pool.token0 else pool.decimals1,
            legs=len(order.legs),
        )

    # ---- publishing

    def _publish(self, order: Order, *records: Record) -> None:
        self.ledger.take(records, order.strategy)
        self.drafts.append(Draft(self.source, records, order.received_ns, Domain.EXECUTION))
        if order.key in self.ledger.ended:
            self._forget(order)

    def _forget(self, order: Order) -> None:
        """It ended: nothing waits for it any more."""
        if order.order_id not in self._pending:
            self._withdrawn.pop(order.order_id, None)
        others = self._of_opportunity.get((order.key.ring, order.opportunity))
        if others is not None:
            others[:] = [other for other in others if other.key != order.key]
            if not others:
                del self._of_opportunity[order.key.ring, order.opportunity]

    def _decision(self, order: Order, number: int, verdict: RiskVerdict) -> None:
        """Publish it, unless a killed predecessor did."""
        if order.key in self.ledger.decided:
            return
        found, limit = (max(min(number, MOST_STATED), -MOST_STATED) for number in (verdict.found, verdict.limit))
        decision = RiskDecision(
            **_about(order),
            block_number=number,
            found=found,
            limit=limit,
            approved=verdict.approved,
            reason=verdict.reason,
        )
        self._publish(order, decision)

    def _refuse(self, order: Order, number: int, block_hash: bytes, verdict: RiskVerdict) -> None:
        self._decision(order, number, verdict)
        self._publish(
            order,
            OrderStatus(
                **_about(order),
                block_number=number,
                block_hash=block_hash,
                state=OrderState.REJECTED,
                reason=verdict.reason,
            ),
        )

    def _end(self, order: Order, end: BlockEnd, state: OrderState, reason: OrderReason = OrderReason.NONE) -> None:
        self._publish(
            order,
            OrderStatus(**_about(order), block_number=end.number, block_hash=end.hash, state=state, reason=reason),
        )

    def _turn_breaker(self, number: int) -> None:
        record = self.ledger.breaker.due(max(number, self.ledger.last_block))
        if record is not None:
            self.ledger.take([record])
            self.drafts.append(Draft(self.source, (record,), 0, Domain.EXECUTION))

    def _undo(self, left_the_chain: Any) -> None:
        """Take back the attempts in blocks that left the chain, newest first."""
        for key, ended in reversed(list(self.ledger.ended.items())):
            if ended.attempted and left_the_chain(ended):
                status = OrderStatus(
                    order_sequence=key.sequence,
                    order_id=ended.order_id,
                    order_ring=key.ring,
                    block_number=ended.block_number,
                    block_hash=ended.block_hash,
                    state=OrderState.UNDONE,
                    reason=OrderReason.REORG,
                )
                self.ledger.take([status])
                self.drafts.append(Draft(self.source, (status,), 0, Domain.EXECUTION))

    def _move_again(self, ended: Ended) -> None:
        """Move the pools as a fill of a run before this one did."""
        for fill in ended.fills:
            pool = self.book.get(fill.pool)
            falls = pool is not None and fill.token_in == pool.token0
            if pool is None or pool.fee(falls=falls) is None:
                continue
            where = self.chain.meet(pool, ended.block_number, self.config.share_percent, falls=falls)
            if where is None or not quotable(where.place):
                continue
            swapped = swap_through(where.place, fill.amount_in, falls=falls)
            if isinstance(swapped, Swapped) and swapped.amount_out == fill.amount_out:
                self.chain.move(pool.address, ended.block_number, ended.block_hash, where.at, swapped.after)

    # ---- what it came to

    def summary(self) -> dict[str, Any]:
        """Counts and sums so far; amounts in wei as text."""
        ledger = self.ledger
        return {
            "orders": self.counts["orders"],
            "pending": self._waiting,
            "withdrawals": self.counts["withdrawals"],
            "again": self.counts["again"],
            "ignored": self.counts["ignored"],
            "unreadable": self.counts["unreadable"],
            "own_missing": self.counts["own_missing"],
            "clock_unknown": self.counts["clock_unknown"],
            "moved_on": self.counts["moved_on"],
            "states": {name: count for name, count in sorted(ledger.states.items()) if count},
            "reasons": {name: count for name, count in sorted(ledger.reasons.items()) if count},
            "breaker": ledger.breaker.state.name.lower(),
            "pnl": _as_text(ledger.total),
            "pnl_by_strategy": {name: _as_text(pnl) for name, pnl in sorted(ledger.by_strategy.items())},
            "pnl_by_route": {name: _as_text(pnl) for name, pnl in sorted(ledger.by_route.items())},
            "positions": {f"0x{token.hex()}": str(held) for token, held in sorted(ledger.positions.items()) if held},
        }


def _faulty(order: Order, fault: OrderReason) -> Order:
    return order if order.fault else msgspec.structs.replace(order, fault=fault)


def _rank(order: Order) -> tuple[int, str, int, bytes]:
    """In which order the orders of one block are attempted: as their events came, whoever read them first."""
    return order.trigger_sequence, order.strategy, order.key.sequence, order.key.ring


def _about(order: Order) -> dict[str, Any]:
    return {"order_sequence": order.key.sequence, "order_id": order.order_id, "order_ring": order.key.ring}


def _fill(order: Order, block: Block, at: int, met: MetPool, swapped: Swapped) -> Fill:
    pool, leg = met.pool, order.legs[at]
    return Fill(
        **_about(order),
        block_number=block.number,
        block_hash=block.hash,
        amount_in=swapped.amount_in,
        amount_out=swapped.amount_out,
        expected_out=leg.expected_out,
        pool=pool.address,
        token_in=leg.token_in,
        token_out=leg.token_out,
        fee_pips=met.where.place.fee_pips,
        swaps_before=met.where.swaps_before,
        venue=pool.venue,
        protocol=pool.protocol,
        decimals_in=pool.decimals0 if met.falls else pool.decimals1,
        decimals_out=pool.decimals1 if met.falls else pool.decimals0,
        leg=at + 1,
    )


def _as_text(pnl: Pnl) -> dict[str, Any]:
    return {
        "orders": pnl.orders,
        "filled": pnl.filled,
        **{name: str(getattr(pnl, name)) for name in ("gross", "gas", "net", "expected")},
    }
