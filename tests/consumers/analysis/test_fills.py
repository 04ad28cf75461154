"""Signals with their legs, orders, fills and reports as tables, and the queries of docs/analysis.md about them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from consumers.store import Store
from tests.consumers.analysis.page import blocks
from tests.consumers.journal_frames import append, open_writer
from tests.tools.test_dump_text import LEGS, SIGNAL
from tlv.codes import Domain, OrderReason, OrderState, Source, WithdrawalReason
from tlv.layout import (
    ArbitrageSignal,
    CycleLeg,
    Economics,
    ExecutionReport,
    Fill,
    OrderStatus,
    RiskDecision,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import build
from tlv.record import Record

TOKENS = (b"\x0a" * 20, b"\x0b" * 20)
POOLS = (b"\x01" * 20, b"\x02" * 20)
RING = b"s" * 16
LARGE = (1 << 255) - 1


def order(number: int) -> tuple[int, int, bytes]:
    return number, number, RING


def fill(number: int, out: int, expected: int) -> Fill:
    pool = POOLS[number % 2]
    return Fill(*order(number), 9, b"h" * 32, 10**18, out, expected, pool, *TOKENS, 3000, 1, 400, 2, 18, 6, 1)


def report(number: int, net: int, state: OrderState = OrderState.FILLED) -> ExecutionReport:
    token = TOKENS[number % 2]
    return ExecutionReport(
        *order(number), 9, -1, b"h" * 32, 10**18, 5, 6, 0, 1, net, net // 2, 1, 1, 1, 1, bytes(20), token, 500_000,
        state, OrderReason.NONE, 6, 1,
    )  # fmt: skip


NETS = [LARGE, LARGE, -1, 10**30, -LARGE, 7]
UNDONE = 3
WORTH = Economics(1, 1, 0, 1, 1, 1, 1, TOKENS[0], bytes(20), 18)
MESSAGES: list[list[Record]] = [
    [
        SignalIdentity(5, 1, 1, bytes(16), "own", 1),
        SIGNAL,
        Economics(1, 1, 0, 1, 1, 1, 1, TOKENS[0], bytes(20), 18),
        *LEGS,
    ],
    [SignalIdentity(6, 2, 1, bytes(16), "own", 1), SignalWithdrawn(5, 0xAB, 7, b"h" * 32, WithdrawalReason.GONE)],
    *[[RiskDecision(*order(number), 8, 0, 0, 1, 0)] for number in range(len(NETS))],
    *[[fill(number, LARGE - number, LARGE), report(number, net)] for number, net in enumerate(NETS)],
    [report(10, -4, OrderState.FAILED)],
    [fill(11, 3, 0), report(11, 0)],
    [OrderStatus(*order(UNDONE), 9, b"h" * 32, OrderState.UNDONE, OrderReason.REORG)],
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    directory = tmp_path_factory.mktemp("journal")
    domains = [Domain.SIGNAL if isinstance(records[0], SignalIdentity) else Domain.EXECUTION for records in MESSAGES]
    payloads = [
        build(domain, Source.PAPER_EXECUTOR, records) for domain, records in zip(domains, MESSAGES, strict=True)
    ]
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
    return Store.open(directory)


def test_every_record_of_signals_and_orders_is_a_row(store: Store) -> None:
    wanted = Counter(type(record).__name__ for records in MESSAGES for record in records)
    assert {name: table.num_rows for name, table in store.to_arrow().items()} == wanted


@pytest.mark.parametrize(
    ("cls", "column", "decimals"),
    [
        (ArbitrageSignal, "amount_out", 18),
        (CycleLeg, "amount_out", 6),
        (CycleLeg, "amount_in", 18),
        (Fill, "expected_out", 6),
        (Fill, "amount_in", 18),
        (ExecutionReport, "net", 6),
        (ExecutionReport, "expected_net", 6),
        (ExecutionReport, "amount_out", 6),
        (ExecutionReport, "amount_in", 0),
    ],
)
def test_amounts_are_in_whole_tokens_of_their_own_token(
    store: Store, cls: type[Record], column: str, decimals: int
) -> None:
    """What goes into an order that is no round trip is of a token whose decimals its report does not state."""
    first = next(record for records in MESSAGES for record in records if isinstance(record, cls))
    shown = store.to_df(amounts="decimal")[cls.__name__][column][0]
    assert shown == Decimal(f"{getattr(first, column)}E-{decimals}")


def test_documented_queries_give_the_profit_and_the_slippage_to_the_wei(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.export(tmp_path / "tables", form="csv")
    monkeypatch.chdir(tmp_path)
    profit, short = (query for query in blocks("DuckDB", "sql") if "tables/PoolSync" not in query)
    nets = {number: net for number, net in enumerate(NETS) if number != UNDONE} | {10: -4, 11: 0}
    rows = duckdb.sql(profit).fetchall()
    for at, (token, filled, failed, net, stated) in enumerate(rows):
        mine = {number: value for number, value in nets.items() if number % 2 == at}
        assert token == f"0x{TOKENS[at].hex()}"
        assert (filled, failed) == (len(mine) - (10 in mine), 10 in mine)
        assert (int(net), int(stated)) == (sum(mine.values()), sum(value // 2 for value in mine.values()))
    assert len(rows) == 2
    shown = [(fills, int(missing)) for _, fills, missing in duckdb.sql(short).fetchall()]
    assert shown == [(3, 0 + 2 + 4), (3, 1 + 3 + 5)]
