"""What the page shows of orders: every decision and fill, sums to the wei, nothing that left the chain."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.tools.dashboard.polls import poll_of
from tlv.codes import BreakerState, Domain, Flag, OrderReason, OrderState, Source
from tlv.layout import CircuitBreaker, ExecutionReport, Fill, OrderStatus, PoolState, RiskDecision, VenueName
from tlv.message import build
from tlv.record import Record
from tlv.units import MS, NS
from tools.dashboard.executions import ORDERS, REPORTS
from tools.dashboard.shapes import OrderRow, Update
from tools.dashboard.view import DashboardView

RING, SIGNALS, MARKET = "execution.paper", "signal.own", "market.test"
NOW_NS = 1_700_000_000 * NS
ASKED_BY = b"s" * 16
TOKEN, OTHER = b"\x10" * 20, b"\x20" * 20
HASH = b"h" * 32
LARGEST = (1 << 255) - 1


def order(number: int) -> tuple[Any, ...]:
    return number, 700 + number, ASKED_BY


def fill(number: int, leg: int = 1, expected: int = 0) -> Fill:
    return Fill(*order(number), 9, HASH, 5, 3, expected, b"p" * 20, TOKEN, OTHER, 3000, 2, 1234, 2, 18, 6, leg)


def report(
    number: int, net: int, *, state: int = OrderState.FILLED, reason: int = 0, token: bytes = TOKEN
) -> ExecutionReport:
    gas = 4 if abs(net) < LARGEST else 0
    return ExecutionReport(
        *order(number), 9, 1_500, HASH, 5, 3, 0, net + gas, gas, net, net // 2, 1, 1, 1, 1, bytes(20), token, 500_000,
        state, reason, 18, 2,
    )  # fmt: skip


class Executed:
    """A view that is fed from an executor's ring."""

    def __init__(self) -> None:
        self.view = DashboardView()
        self.next = 1

    def put(self, *records: Record, uuid: bytes = b"x" * 16) -> None:
        payload = build(Domain.EXECUTION, Source.PAPER_EXECUTOR, records, timestamp_ns=NOW_NS)
        self.view.take_poll(RING, uuid, poll_of([payload], self.next), NOW_NS)
        self.next += 1

    def update(self) -> Update:
        return self.view.update(NOW_NS)

    def orders(self) -> dict[int, OrderRow]:
        return {row.order_sequence: row for row in self.update().orders or ()}


@pytest.fixture
def executed() -> Executed:
    return Executed()


def test_order_is_one_row_from_its_decision_to_its_fill(executed: Executed) -> None:
    executed.put(RiskDecision(*order(1), 8, 0, 0, 1, OrderReason.NONE))
    (row,) = executed.orders().values()
    assert (row.state, row.reason, row.net, row.legs, row.order_ring) == ("approved", "", None, [], ASKED_BY.hex()[:8])
    executed.put(fill(1, 1, expected=4), fill(1, 2), report(1, LARGEST))
    (row,) = executed.orders().values()
    assert row.net is not None and row.expected_net is not None
    assert (row.net.units, row.expected_net.units, row.inclusion_ppm) == (str(LARGEST), str(LARGEST // 2), 500_000)
    expected = [leg.expected_out and leg.expected_out.units for leg in row.legs]
    assert (expected, row.legs[0].swaps_before, row.latency_ns) == (["4", None], 2, 1_500)
    executed.put(OrderStatus(*order(1), 9, HASH, OrderState.FILLED, OrderReason.NONE))
    update = executed.update()
    (row,) = update.orders or ()
    assert (row.state, row.block, row.sequence, row.time_ms, len(row.legs)) == ("filled", 9, 3, NOW_NS // MS, 2)
    assert update.summary is not None and update.summary.orders == 1
    assert update.profits is None, "only what changed is sent"
    assert msgspec.json.decode(msgspec.json.encode(executed.view.whole(NOW_NS)), type=Update).orders == [row]


def test_order_that_is_refused_says_what_passed_which_limit(executed: Executed) -> None:
    executed.put(RiskDecision(*order(1), 8, -(1 << 255), 7, 0, OrderReason.LOSS))
    executed.put(OrderStatus(*order(1), 8, HASH, OrderState.REJECTED, OrderReason.NONE))
    (row,) = executed.orders().values()
    assert (row.state, row.reason, row.found, row.limit) == ("rejected", "loss", str(-(1 << 255)), "7")


def test_names_are_those_that_any_ring_said(executed: Executed) -> None:
    state = PoolState(b"p" * 20, TOKEN, OTHER, 1234, 18, 6, 2, 0, 0, 0, 0, 7, 0, 0, 0, bytes(20), "AAA", "BBB")
    for ring, uuid, records in (
        (MARKET, b"m" * 16, [VenueName(1234, "own.venue")]),
        (SIGNALS, ASKED_BY, [VenueName(5, "x")]),
    ):
        told = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, records)
        executed.view.take_poll(ring, uuid, poll_of([told]), NOW_NS)
    snapshot = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [state], flags=Flag.SNAPSHOT)
    executed.view.take_poll(MARKET, b"m" * 16, poll_of([snapshot], 2), NOW_NS)
    executed.put(fill(1), report(1, 5))
    (row,) = executed.orders().values()
    assert (row.order_ring, row.legs[0].venue) == (SIGNALS, "own.venue")
    assert (row.legs[0].amount_in.token.symbol, row.legs[0].amount_out.token.symbol) == ("AAA", "BBB")


def sums(update: Update) -> list[tuple[int, int, str, str, str, str]]:
    return [
        (one.filled, one.failed, one.gross.units, one.gas_cost.units, one.net.units, one.expected_net.units)
        for one in update.profits or ()
    ]


def test_profit_is_the_sum_of_what_stands(executed: Executed) -> None:
    executed.put(fill(1), report(1, 10))
    executed.put(report(2, -4, state=OrderState.FAILED, reason=OrderReason.TOO_LITTLE_OUT))
    executed.put(report(3, 6, token=OTHER))
    assert sums(executed.update()) == [(1, 1, "14", "8", "6", "3"), (1, 0, "10", "4", "6", "3")]
    executed.put(OrderStatus(*order(1), 9, HASH, OrderState.UNDONE, OrderReason.REORG))
    update = executed.update()
    assert sums(update)[0] == (0, 1, "0", "4", "-4", "-2")
    assert [(row.state, row.reason) for row in update.orders or ()] == [("undone", "reorg")]
    executed.put(OrderStatus(*order(1), 9, HASH, OrderState.UNDONE, OrderReason.REORG))
    executed.put(report(2, -4, state=OrderState.UNDONE))
    assert sums(executed.update())[0] == (0, 0, "0", "0", "0", "0"), "once each"


def test_breaker_is_as_it_said_last(executed: Executed) -> None:
    executed.put(CircuitBreaker(9, 12, -5, 3, BreakerState.OPEN, OrderReason.FAILURES))
    (breaker,) = executed.update().breakers or ()
    assert (breaker.state, breaker.reason, breaker.until_block, breaker.loss) == ("open", "failures", 12, "-5")
    executed.put(CircuitBreaker(13, 0, 0, 0, BreakerState.CLOSED, OrderReason.COOLED_DOWN))
    assert [one.state for one in executed.update().breakers or ()] == ["closed"]
    assert executed.update().breakers is None


def test_orders_are_bounded_and_their_sum_is_of_all(executed: Executed) -> None:
    count = ORDERS + 20
    for number in range(count):
        executed.put(fill(number), report(number, 1))
    update = executed.update()
    assert [row.order_sequence for row in update.orders or ()] == [*range(20, count)]
    assert sums(update)[0][0] == count < REPORTS
    assert update.summary is not None and update.summary.orders == count


def test_ring_made_anew_leaves_no_order_sum_or_breaker(executed: Executed) -> None:
    executed.put(CircuitBreaker(9, 12, -5, 3, BreakerState.OPEN, OrderReason.FAILURES))
    executed.put(fill(1), report(1, 10))
    executed.update()
    executed.next = 1
    executed.put(RiskDecision(*order(2), 8, 0, 0, 1, OrderReason.NONE), uuid=b"y" * 16)
    update = executed.update()
    assert update.whole and (sums(update), update.breakers) == ([], [])
    assert [row.order_sequence for row in update.orders or ()] == [2]
