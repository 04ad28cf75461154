"""What the executor's own messages add up to: orders that ended, positions, profit, exposure, the breaker's state.

Owns the sums.  They follow from published messages alone, and the running executor takes the same way as a restarted
one that reads its ring: `take`.  So a restart knows exactly what was known.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from consumers.execution.breaker import AttemptOutcome, Breaker
from consumers.execution.config import ExecutionConfig
from consumers.execution.orders import OrderKey
from tlv.codes import OrderReason, OrderState, Venue
from tlv.layout import CircuitBreaker, ExecutionReport, Fill, OrderRecord, OrderStatus, RiskDecision
from tlv.record import Record

KEPT_BLOCKS_OF_ORDERS = 4096
"""For how many blocks orders that ended are remembered one by one: whoever sends one again is told DUPLICATE."""
PPM = 1_000_000
NO_ROUTE = "failed attempts"
"""Stands among the routes for what was not filled and cost its gas: a report names no pools."""


class Pnl(msgspec.Struct):
    """Profit in wei of the chain's coin, each order at the rate that its report states; of orders that are no round
    trips, what came out minus what went in, both at the rates of that moment."""

    orders: int = 0
    """Attempts."""
    filled: int = 0
    gross: int = 0
    gas: int = 0
    net: int = 0
    """As if every attempt had been included: p = 1."""
    expected: int = 0
    """At the probability of inclusion that the reports state."""

    def add(self, ended: Ended, sign: int = 1) -> None:
        """Count an attempt, or take it out again."""
        self.orders += sign
        self.filled += sign * (ended.state is OrderState.FILLED)
        self.gross += sign * ended.gross_wei
        self.gas += sign * ended.gas_wei
        self.net += sign * (ended.gross_wei - ended.gas_wei)
        self.expected += sign * ended.expected_wei


@dataclass(slots=True)
class Ended:
    """An order that ended, and what it did."""

    order_id: int
    block_number: int
    block_hash: bytes
    state: OrderState
    reason: OrderReason
    fills: tuple[Fill, ...] = ()
    decision: RiskDecision | None = None
    """Of an attempt; None if the beginning of the ring that held it is overwritten."""
    gross_wei: int = 0
    gas_wei: int = 0
    expected_wei: int = 0
    strategy: str = ""
    """Empty as long as nobody named it: its own messages do not."""

    @property
    def attempted(self) -> bool:
        """Whether it was in a block."""
        return self.state in (OrderState.FILLED, OrderState.FAILED)

    @property
    def route(self) -> str:
        """The venues that it went through, in order; `NO_ROUTE` if it was not filled."""
        return " > ".join(venue_name(fill.venue) for fill in self.fills) or NO_ROUTE


def venue_name(venue: int) -> str:
    """`quickswap_v2`; the number of a venue that has no name here."""
    try:
        return Venue(venue).name.lower()
    except ValueError:
        return str(venue)


@dataclass
class Ledger:
    """The sums so far."""

    config: ExecutionConfig
    ended: dict[OrderKey, Ended] = field(default_factory=dict)
    decided: dict[OrderKey, RiskDecision] = field(default_factory=dict)
    """Decisions about orders that have not ended: a restart finds at most one."""
    order_ids: set[int] = field(default_factory=set)
    total: Pnl = field(default_factory=Pnl)
    by_strategy: defaultdict[str, Pnl] = field(default_factory=lambda: defaultdict(Pnl))
    by_route: defaultdict[str, Pnl] = field(default_factory=lambda: defaultdict(Pnl))
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    positions: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    """What is held of each token, in base units; what was put in counts as negative."""
    last_block: int = 0
    """The newest block that any message is about."""
    floor: int = -(1 << 63)
    """Orders that were due up to this block are not remembered one by one; they are taken for ended."""
    undone: int = 0

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.config)
        self._exposure: defaultdict[int, int] = defaultdict(int)
        self._attempts: Counter[int] = Counter()

    def take(self, records: Iterable[Record], strategy: str = "") -> None:
        """Add one message of the executor's."""
        fills = []
        for record in records:
            match record:
                case RiskDecision():
                    self._decide(record)
                case Fill():
                    fills.append(record)
                case ExecutionReport():
                    self._report(record, tuple(fills), strategy)
                case OrderStatus():
                    self._status(record, strategy)
                case CircuitBreaker():
                    self.breaker.went(record)
                    self.last_block = max(self.last_block, record.block_number)

    def name(self, key: OrderKey, strategy: str) -> None:
        """An order that ended before a restart was read again, and says whose it is."""
        ended = self.ended[key]
        if ended.strategy or not strategy:
            return
        if ended.attempted:
            self.by_strategy[""].add(ended, -1)
            self.by_strategy[strategy].add(ended)
            if not self.by_strategy[""].orders:
                del self.by_strategy[""]
        ended.strategy = strategy

    def exposure_in(self, block_number: int) -> int:
        """What the orders that may be attempted in a block put in, in wei."""
        return self._exposure.get(block_number, 0)

    def attempts_in(self, block_number: int) -> int:
        """How many orders may be attempted in a block."""
        return self._attempts[block_number]

    def prune(self, block_number: int) -> None:
        """Forget, one by one, orders that ended long before this block."""
        oldest = block_number - KEPT_BLOCKS_OF_ORDERS
        while self.ended and next(iter(self.ended.values())).block_number < oldest:
            ended = self.ended.pop(next(iter(self.ended)))
            self.order_ids.discard(ended.order_id)
        for sums in (self._exposure, self._attempts):
            for block in [known for known in sums if known < oldest]:
                del sums[block]

    def _decide(self, record: RiskDecision) -> None:
        self.decided[key_of(record)] = record
        self._remember(record.order_id, record.reason)
        self.last_block = max(self.last_block, record.block_number)
        if record.approved:
            self._exposure[record.block_number] += record.found
            self._attempts[record.block_number] += 1

    def _status(self, record: OrderStatus, strategy: str) -> None:
        key, state = key_of(record), OrderState(record.state)
        self.last_block = max(self.last_block, record.block_number)
        if state is OrderState.UNDONE:
            self._undo(key)
            return
        self.decided.pop(key, None)
        self._remember(record.order_id, record.reason)
        reason = OrderReason(record.reason)
        self._end(key, Ended(record.order_id, record.block_number, record.block_hash, state, reason, strategy=strategy))

    def _remember(self, order_id: int, reason: int) -> None:
        """An id that came once; the second order of the id was refused for that, and is no first."""
        if reason != OrderReason.DUPLICATE:
            self.order_ids.add(order_id)

    def _end(self, key: OrderKey, ended: Ended) -> None:
        self.ended[key] = ended
        self.states[ended.state.name.lower()] += 1
        if ended.reason:
            self.reasons[ended.reason.name.lower()] += 1

    def _report(self, record: ExecutionReport, fills: tuple[Fill, ...], strategy: str) -> None:
        key = key_of(record)
        decision = self.decided.pop(key, None)
        self.last_block = max(self.last_block, record.block_number)
        gas_wei = record.gas_units * record.gas_price
        gross_wei = expected_gross_wei = 0
        native, profit = record.rate_native, record.rate_profit
        if fills and profit:
            if fills[0].token_in == record.token:
                gross_wei = record.gross * native // profit
                expected_gross_wei = (record.expected_out - record.amount_in) * native // profit
            else:
                gross_wei = record.amount_out * native // profit - (decision.found if decision else 0)
        ended = Ended(
            order_id=record.order_id,
            block_number=record.block_number,
            block_hash=record.block_hash,
            state=OrderState(record.state),
            reason=OrderReason(record.reason),
            fills=fills,
            decision=decision,
            gross_wei=gross_wei,
            gas_wei=gas_wei,
            expected_wei=(gross_wei - gas_wei) * record.inclusion_ppm // PPM,
            strategy=strategy,
        )
        self._end(key, ended)
        self._count(ended)
        filled, net_wei = ended.state is OrderState.FILLED, gross_wei - gas_wei
        self.breaker.took(AttemptOutcome(record.block_number, filled, net_wei, max(expected_gross_wei, 0), gross_wei))

    def _count(self, ended: Ended, sign: int = 1) -> None:
        self.total.add(ended, sign)
        self.by_strategy[ended.strategy].add(ended, sign)
        self.by_route[ended.route].add(ended, sign)
        if ended.fills:
            first, last = ended.fills[0], ended.fills[-1]
            self.positions[first.token_in] -= sign * first.amount_in
            self.positions[last.token_out] += sign * last.amount_out

    def _undo(self, key: OrderKey) -> None:
        ended = self.ended.get(key)
        if ended is None or not ended.attempted:
            return
        self._count(ended, -1)
        if ended.decision is not None:
            self._exposure[ended.block_number] -= ended.decision.found
            self._attempts[ended.block_number] -= 1
        self.states[ended.state.name.lower()] -= 1
        if ended.reason:
            self.reasons[ended.reason.name.lower()] -= 1
        self.undone += 1
        self.states["undone"] += 1
        ended.state, ended.reason = OrderState.UNDONE, OrderReason.REORG


def key_of(record: OrderRecord) -> OrderKey:
    """The order that a record is about."""
    return OrderKey(record.order_ring, record.order_sequence)
