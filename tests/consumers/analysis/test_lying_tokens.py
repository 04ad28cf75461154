"""Tokens whose symbols and decimals are chosen to break what reads them: every table has them to the letter."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from consumers.analysis.amounts import AMOUNTS
from consumers.store import Store
from tests.consumers.journal_frames import append, open_writer
from tlv.codes import UNKNOWN_DECIMALS, Domain, Source
from tlv.layout import EventOrigin, PoolState, PoolSync
from tlv.message import build
from tlv.record import Record

LARGEST = (1 << 256) - 1
SYMBOLS = (
    '=HYPERLINK("x")',
    'a","b',
    "';DROP TABLE t;--",
    "a\nb\r\nc",
    "\x1b[2J\x07\u202eX",
    "Z\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
    "\u3164\ufe0f",
    "null",
    "\ufeffUSDC",
)
DECIMALS = (0, 77, 254, UNKNOWN_DECIMALS)


def market(*records: Record) -> bytes:
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A journal of one pool a symbol, and of one Sync for each pair of decimals."""
    folder = tmp_path_factory.mktemp("lying") / "journal"
    payloads = []
    for index, symbol in enumerate(SYMBOLS):
        tokens = (bytes([index]) * 20, b"u" * 20)
        payloads.append(
            market(
                PoolState(
                    bytes([index]) * 20, *tokens, 400, 18, 6, 2, 1, 1, 0, 0, 7, 3000, 0, 0, bytes(20), symbol, "U"
                )
            )
        )
    pairs = [(left, right) for left in DECIMALS for right in DECIMALS]
    for index, pair in enumerate(pairs):
        origin = EventOrigin(7, 1_618_948_800, 0, 0, index, b"b" * 32, b"t" * 32)
        payloads.append(market(PoolSync(b"\x03" * 20, b"\x03" * 20, b"u" * 20, 400, *pair, 2, LARGEST, 1), origin))
    with open_writer(folder) as writer:
        append(writer, payloads, 1)
    return Store.open(folder)


def test_symbols_come_back_to_the_letter_from_every_form(store: Store, tmp_path: Path) -> None:
    said = list(SYMBOLS)
    for form in ("csv", "jsonl", "parquet"):
        store.export(tmp_path, form=form)
    with (tmp_path / "PoolState.csv").open(newline="", encoding="utf-8") as lines:
        assert [row["symbol0"] for row in csv.DictReader(lines)] == said
    with (tmp_path / "PoolState.jsonl").open(encoding="utf-8") as lines:
        assert [json.loads(line)["symbol0"] for line in lines] == said
    rows = duckdb.sql(f"select symbol0 from '{tmp_path}/PoolState.parquet'").fetchall()
    assert [symbol for (symbol,) in rows] == said
    assert set(store.to_arrow()["PoolSync"]["symbol0"].to_pylist()) == {SYMBOLS[3]}


@pytest.mark.parametrize("amounts", AMOUNTS)
def test_decimals_that_no_token_has_give_exact_amounts_and_no_price_that_is_none(
    store: Store, tmp_path: Path, amounts: str
) -> None:
    store.export(tmp_path, form="jsonl", amounts=amounts)
    with (tmp_path / "PoolSync.jsonl").open() as lines:
        rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    pairs = [(row["decimals0"], row["decimals1"]) for row in rows]
    assert pairs == [(left, right) for left in DECIMALS for right in DECIMALS]
    for row, (left, right) in zip(rows, pairs, strict=True):
        known = UNKNOWN_DECIMALS not in (left, right)
        assert (row["price"] is None) == (not known)
        if amounts == "int":
            assert int(row["reserve0"]) == LARGEST
        elif left == UNKNOWN_DECIMALS:
            assert row["reserve0"] is None
        elif amounts == "decimal":
            assert Decimal(row["reserve0"]) == Decimal(f"{LARGEST}E-{left}")
        else:
            assert row["reserve0"] == pytest.approx(float(Decimal(f"{LARGEST}E-{left}")), rel=1e-14)
