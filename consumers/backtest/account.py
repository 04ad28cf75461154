"""What orders earned and cost over time, from the messages of an executor alone.

Owns the equity and its drawdown, the sums of each token, and what is kept for tables and pictures.  The sums in wei are
those of `consumers.execution.ledger`, which an executor keeps too, and which can be made of any journal of
`execution.*`.  Amounts are exact integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from consumers.execution.config import ExecutionConfig
from consumers.execution.ledger import Ledger
from tlv.codes import OrderState
from tlv.layout import ExecutionReport, Fill, OrderRecord, OrderStatus
from tlv.record import Record

MILLION = 1_000_000
PRUNE_EVERY = 1_000
"""Blocks after which the ledger forgets orders that ended long ago."""


@dataclass
class TokenSum:
    """What came of one token, in its base units."""

    decimals: int
    gross: int = 0
    gas: int = 0
    """As the reports convert it; nothing of reports without a rate."""
    net: int = 0
    expected_net: int = 0
    reports: int = 0

    def add(self, report: ExecutionReport, sign: int) -> None:
        """Take in a report, or with -1 take it back."""
        self.gross += sign * report.gross
        self.gas += sign * report.gas_cost
        self.net += sign * report.net
        self.expected_net += sign * report.expected_net
        self.reports += sign


class EquityPoint(NamedTuple):
    """The sum behind one message."""

    time_ns: int
    block_number: int
    change: int
    """Wei, as if every attempt had been included."""
    equity: int
    expected_equity: int
    """With the stated probabilities of inclusion."""


class Booked(NamedTuple):
    """A record of an executor, and the event time at which it was published."""

    time_ns: int
    record: OrderRecord
    strategy: str


class PaperAccount:
    """The account of one executor."""

    def __init__(self, config: ExecutionConfig, names: Mapping[bytes, str]) -> None:
        self.ledger = Ledger(config)
        self.by_token: dict[bytes, TokenSum] = {}
        self.unpriced = 0
        """Reports whose gross has no price in the chain's coin."""
        self.equity: list[EquityPoint] = []
        self.drawdown = 0
        """The deepest fall of the equity below its highest point before, in wei."""
        self.booked: list[Booked] = []
        """Everything that was taken in."""
        self._names = names
        self._peak = 0
        self._reports: dict[tuple[bytes, int], ExecutionReport] = {}
        self._prune_at = 0

    def take(self, time_ns: int, records: Iterable[Record]) -> None:
        """Take in a message of the executor."""
        found = list(records)
        orders = [record for record in found if isinstance(record, OrderRecord)]
        strategy = self._names.get(orders[0].order_ring, orders[0].order_ring.hex()) if orders else ""
        before = self.ledger.total.net
        self.ledger.take(found, strategy)
        for record in orders:
            self.booked.append(Booked(time_ns, record, strategy))
            if isinstance(record, ExecutionReport):
                self._reports[record.order_ring, record.order_sequence] = record
                self._add(record, 1)
                self._note(time_ns, record.block_number, before)
            elif isinstance(record, OrderStatus) and record.state == OrderState.UNDONE:
                undone = self._reports.pop((record.order_ring, record.order_sequence), None)
                if undone is not None:
                    self._add(undone, -1)
                    self._note(time_ns, record.block_number, before)

    def _add(self, report: ExecutionReport, sign: int) -> None:
        self.by_token.setdefault(report.token, TokenSum(report.decimals)).add(report, sign)
        self.unpriced += sign * bool(report.gross and not report.rate_profit)

    def _note(self, time_ns: int, block_number: int, before: int) -> None:
        total = self.ledger.total
        self.equity.append(EquityPoint(time_ns, block_number, total.net - before, total.net, total.expected))
        self._peak = max(self._peak, total.net)
        self.drawdown = max(self.drawdown, self._peak - total.net)
        if block_number >= self._prune_at:
            self.ledger.prune(block_number)
            self._prune_at = block_number + PRUNE_EVERY

    def keep_sums(self) -> None:
        """Forget what the sums are made of, for who wants no table and no picture of it."""
        for details in (self.equity, self.booked, self._reports, self.ledger.ended, self.ledger.order_ids):
            details.clear()

    def reports(self) -> list[ExecutionReport]:
        """Of every attempt, those in blocks that left the chain among them."""
        return [one.record for one in self.booked if isinstance(one.record, ExecutionReport)]

    def fills(self) -> list[Fill]:
        """Every swap."""
        return [one.record for one in self.booked if isinstance(one.record, Fill)]

    def slippage_ppm(self) -> list[float]:
        """Of each filled order that stated what it expects: how much more came out, in millionths of that."""
        filled = [one for one in self.reports() if one.state == OrderState.FILLED and one.expected_out]
        return [(one.amount_out - one.expected_out) * MILLION / one.expected_out for one in filled]

    def latencies_ns(self) -> list[int]:
        """Of each report that knows it: from the receiving of the event to the order."""
        return [one.latency_ns for one in self.reports() if one.latency_ns >= 0]

    def state_count(self, state: OrderState) -> int:
        """How many orders ended so; for UNDONE, how many were undone."""
        return self.ledger.states[state.name.lower()]

    def net_at(self, ppm: int) -> int:
        """Net wei if every attempt were included with `ppm` in a million, rounded down."""
        return self.ledger.total.net * ppm // MILLION
