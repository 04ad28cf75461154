"""What executors said of orders: decisions, fills, what they earned, how their circuit breakers stand.

Owns the rows of orders and the sums of their reports.  An attempt whose block left the chain counts in no sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from tlv.codes import OrderState
from tlv.layout import (
    CircuitBreaker,
    ExecutionReport,
    Fill,
    OrderRecord,
    OrderStatus,
    RiskDecision,
)
from tlv.message import Message
from tlv.record import Record
from tlv.units import MS
from tools.code_names import code_key
from tools.dashboard.rows import Symbols, Venues, breaker_row, fill_row, reason_key, token_of
from tools.dashboard.shapes import Amount, BreakerRow, FillRow, OrderRow, PoolToken, ProfitRow

ORDERS = 200
"""Kept."""
REPORTS = 10_000
"""Remembered, so that an attempt that is undone can be taken out of its sum; no reorg goes back so far."""
EXECUTION_RECORDS: tuple[type[Record], ...] = (CircuitBreaker, ExecutionReport, Fill, OrderStatus, RiskDecision)
"""What a message of an executor may begin with."""
NAMES_SHOWN = 8
"""Digits of the uuid of a ring that is not looked at."""


class ShownOrder(NamedTuple):
    """Which order: the executor's ring, and the frame that asked for it."""

    ring: str
    order_ring: bytes
    order_sequence: int


class Attempt(NamedTuple):
    """A report, as far as it is summed up."""

    token: bytes
    filled: bool
    gross: int
    gas_cost: int
    net: int
    expected_net: int


@dataclass
class Sum:
    """Of the attempts of one executor in one token."""

    token: PoolToken
    filled: int = 0
    failed: int = 0
    gross: int = 0
    gas_cost: int = 0
    net: int = 0
    expected_net: int = 0

    def add(self, attempt: Attempt, sign: int) -> None:
        """One more, or one less."""
        self.filled += sign * attempt.filled
        self.failed += sign * (not attempt.filled)
        self.gross += sign * attempt.gross
        self.gas_cost += sign * attempt.gas_cost
        self.net += sign * attempt.net
        self.expected_net += sign * attempt.expected_net


class Executions:
    """The newest orders of all executors, and what all of them earned."""

    def __init__(self) -> None:
        self._orders: dict[ShownOrder, OrderRow] = {}
        self._changed: dict[ShownOrder, None] = {}
        self._attempts: dict[ShownOrder, Attempt] = {}
        self._sums: dict[tuple[str, bytes], Sum] = {}
        self._sums_changed = False
        self._breakers: dict[str, BreakerRow] = {}
        self._breakers_changed = False

    # ---- what comes in

    def take(
        self,
        ring: str,
        sequence: int,
        message: Message,
        symbols: Symbols,
        venues: Venues,
        name_of: Callable[[bytes], str | None],
    ) -> bool:
        """A message of an executor; `name_of` names a ring.  Whether it is the first about its order."""
        record = message.records[0]
        if isinstance(record, CircuitBreaker):
            self._breakers[ring] = breaker_row(ring, record)
            self._breakers_changed = True
            return False
        if not isinstance(record, OrderRecord):
            return False
        key = ShownOrder(ring, record.order_ring, record.order_sequence)
        before = self._orders.pop(key, None)
        row = before or new_row(key, record, name_of)
        row = msgspec.structs.replace(row, sequence=sequence, time_ms=message.header.timestamp_ns // MS)
        fills = [fill_row(fill, symbols, venues) for fill in message.records if isinstance(fill, Fill)]
        report = message.first(ExecutionReport)
        if report is not None:
            token = token_of(report.token, report.decimals, symbols)
            self._orders[key] = reported(row, report, token, fills)
            self._count(key, report, token)
        elif isinstance(record, RiskDecision):
            self._orders[key] = decided(row, record)
        elif isinstance(record, OrderStatus):
            self._orders[key] = told(row, record)
            if record.state == OrderState.UNDONE:
                self._take_out(key)
        else:
            self._orders[key] = msgspec.structs.replace(row, legs=fills or row.legs)
        self._changed[key] = None
        while len(self._orders) > ORDERS:
            del self._orders[next(iter(self._orders))]
        return before is None

    def forget(self, ring: str) -> None:
        """A ring is shown no more."""
        self._orders = {key: row for key, row in self._orders.items() if key.ring != ring}
        self._attempts = {key: attempt for key, attempt in self._attempts.items() if key.ring != ring}
        self._sums = {key: one for key, one in self._sums.items() if key[0] != ring}
        self._breakers.pop(ring, None)
        self._sums_changed = self._breakers_changed = True

    # ---- what goes out

    def changed(self) -> list[OrderRow]:
        """The orders about which something was said since the last call."""
        found = [self._orders[key] for key in self._changed if key in self._orders]
        self._changed.clear()
        return found

    def changed_profits(self) -> list[ProfitRow] | None:
        """All sums; None if none changed since the last call."""
        found = self.profits() if self._sums_changed else None
        self._sums_changed = False
        return found

    def changed_breakers(self) -> list[BreakerRow] | None:
        """All circuit breakers; None if none changed since the last call."""
        found = self.breakers() if self._breakers_changed else None
        self._breakers_changed = False
        return found

    def rows(self) -> Iterable[OrderRow]:
        """All orders, those about which something was said last at the end."""
        return self._orders.values()

    def profits(self) -> list[ProfitRow]:
        """All sums."""
        return [
            ProfitRow(
                ring=ring,
                token=one.token,
                filled=one.filled,
                failed=one.failed,
                gross=Amount(str(one.gross), one.token),
                gas_cost=Amount(str(one.gas_cost), one.token),
                net=Amount(str(one.net), one.token),
                expected_net=Amount(str(one.expected_net), one.token),
            )
            for (ring, _), one in self._sums.items()
        ]

    def breakers(self) -> list[BreakerRow]:
        """All circuit breakers that said something."""
        return [*self._breakers.values()]

    def _count(self, key: ShownOrder, report: ExecutionReport, token: PoolToken) -> None:
        self._take_out(key)
        if report.state not in (OrderState.FILLED, OrderState.FAILED):
            return
        filled = report.state == OrderState.FILLED
        attempt = Attempt(report.token, filled, report.gross, report.gas_cost, report.net, report.expected_net)
        self._attempts[key] = attempt
        self._sums.setdefault((key.ring, report.token), Sum(token)).add(attempt, 1)
        self._sums_changed = True
        while len(self._attempts) > REPORTS:
            del self._attempts[next(iter(self._attempts))]

    def _take_out(self, key: ShownOrder) -> None:
        attempt = self._attempts.pop(key, None)
        if attempt is not None:
            self._sums[key.ring, attempt.token].add(attempt, -1)
            self._sums_changed = True


def new_row(key: ShownOrder, record: OrderRecord, name_of: Callable[[bytes], str | None]) -> OrderRow:
    """The row of an order of which nothing is known yet."""
    return OrderRow(
        ring=key.ring,
        order_ring=name_of(key.order_ring) or key.order_ring.hex()[:NAMES_SHOWN],
        order_sequence=key.order_sequence,
        order_id=str(record.order_id),
        sequence=0,
        time_ms=0,
        block=-1,
        state="",
        reason="",
        found="",
        limit="",
        legs=[],
        gross=None,
        gas_cost=None,
        net=None,
        expected_net=None,
        inclusion_ppm=0,
        gas_priced=True,
        latency_ns=None,
    )


def decided(row: OrderRow, decision: RiskDecision) -> OrderRow:
    """The row after what the limits said."""
    refused = not decision.approved
    return msgspec.structs.replace(
        row,
        block=decision.block_number,
        state="refused" if refused else "approved",
        reason=reason_key(decision.reason),
        found=str(decision.found) if refused else "",
        limit=str(decision.limit) if refused else "",
    )


def told(row: OrderRow, status: OrderStatus) -> OrderRow:
    """The row after what became of its order."""
    state = code_key(OrderState, status.state)
    return msgspec.structs.replace(
        row, block=status.block_number, state=state, reason=reason_key(status.reason) or row.reason
    )


def reported(row: OrderRow, report: ExecutionReport, token: PoolToken, fills: Sequence[FillRow]) -> OrderRow:
    """The row after an attempt."""
    return msgspec.structs.replace(
        row,
        block=report.block_number,
        state=code_key(OrderState, report.state),
        reason=reason_key(report.reason),
        legs=[*fills] or row.legs,
        gross=Amount(str(report.gross), token),
        gas_cost=Amount(str(report.gas_cost), token),
        net=Amount(str(report.net), token),
        expected_net=Amount(str(report.expected_net), token),
        inclusion_ppm=report.inclusion_ppm,
        gas_priced=bool(report.rate_native or report.rate_profit),
        latency_ns=report.latency_ns if report.latency_ns >= 0 else None,
    )
