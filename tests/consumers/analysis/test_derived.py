"""Block times and prices beside the fields of a record, in every form."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from consumers.store import Store
from tests.consumers import three_coins
from tests.consumers.journal_frames import append, open_writer
from tlv.codes import UNKNOWN_DECIMALS, Domain, Source
from tlv.layout import Block, EventOrigin, PoolState, PoolSwap, PoolSync
from tlv.message import build
from tlv.record import Record

SECONDS = 1_618_948_800
WHEN = datetime(2021, 4, 20, 20, 0, tzinfo=UTC)
NAMES = (b"p" * 20, b"0" * 20, b"1" * 20, 400)


def market(*records: Record) -> bytes:
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records)


def origin(index: int, seconds: int = SECONDS) -> EventOrigin:
    return EventOrigin(7, seconds, 0, 0, index, b"b" * 32, b"t" * 32)


def swap(*amounts: int) -> PoolSwap:
    return PoolSwap(*NAMES, 18, 6, 2, *amounts, 0, 0, 0, bytes(20), bytes(20))


def store_of(directory: Path) -> Store:
    payloads = [
        market(Block(7, SECONDS, 0, 0, 0, 0, b"b" * 32, bytes(32))),
        market(swap(2 * 10**18, 0, 0, 5 * 10**6), origin(1)),
        market(swap(0, 9 * 10**6, 3 * 10**18, 0), origin(2)),
        market(swap(0, 9 * 10**6, 0, 0), origin(3, (1 << 64) - 1)),
        market(PoolSync(*NAMES, 18, 6, 2, 4 * 10**18, 10**6), origin(4)),
        market(PoolSync(*NAMES, 18, UNKNOWN_DECIMALS, 2, 4 * 10**18, (1 << 256) - 1), origin(5)),
    ]
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
    return Store.open(directory)


def test_block_time_and_price_are_typed_columns_in_every_form(tmp_path: Path) -> None:
    store = store_of(tmp_path / "journal")
    tables = store.to_arrow()
    assert tables["Block"]["block_time"].to_pylist() == [WHEN]
    assert tables["PoolSwap"]["block_time"].to_pylist() == [WHEN, WHEN, None]
    assert tables["PoolSwap"]["price"].to_pylist() == [2.5, 3.0, None]
    assert tables["PoolSync"]["price"].to_pylist() == [0.25, None]
    assert store.to_polars()["PoolSwap"]["block_time"].to_list() == [WHEN, WHEN, None]
    frame = store.to_df()["PoolSwap"]
    assert str(frame["block_time"].dtype).endswith("UTC]") and frame["block_time"][0] == WHEN
    assert frame["price"].isna().tolist() == [False, False, True]
    store.to_parquet(tmp_path / "out")
    found = duckdb.sql(f"select epoch(block_time), price from '{tmp_path}/out/PoolSwap.parquet'").fetchall()
    assert found == [(SECONDS, 2.5), (SECONDS, 3.0), (None, None)]
    for form in ("csv", "jsonl"):
        store.export(tmp_path / "out", form=form)
    with (tmp_path / "out" / "PoolSync.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["price"], row["reserve1"]) for row in rows] == [("0.25", "1000000"), ("", str((1 << 256) - 1))]
    with (tmp_path / "out" / "PoolSync.jsonl").open() as lines:
        assert [json.loads(line)["block_time"][:19] for line in lines] == ["2021-04-20T20:00:00"] * 2


def state(tokens: tuple[bytes, bytes], symbols: tuple[str, str]) -> PoolState:
    return PoolState(b"q" * 20, *tokens, 400, 18, 6, 2, 1, 1, 0, 0, 7, 3000, 0, 0, bytes(20), *symbols)


def test_symbols_stand_beside_every_pool_event_wherever_the_journal_says_them(tmp_path: Path) -> None:
    # All but 0 and 2 end alike: the short way to tell tokens apart does not see that they differ.
    tokens = [bytes([number]) * 20 for number in range(5)]
    tokens[3], tokens[4] = b"3" + tokens[1][1:], b"4" + tokens[1][1:]
    names = ["WETH", "USDC", "", "DAI", "\u00a3"]
    pairs = [(0, 1), (2, 3), (4, 0)]
    payloads = [market(PoolSync(b"p" * 20, tokens[a], tokens[b], 400, 18, 6, 2, 1, 1), origin(a)) for a, b in pairs]
    payloads += [market(state((tokens[a], tokens[b]), (names[a], names[b]))) for a, b in pairs]
    with open_writer(tmp_path / "journal") as writer:
        append(writer, payloads, 1)
    store = Store.open(tmp_path / "journal")
    said = [name or None for name in names]
    for chosen in (
        store,
        store.select(types=[PoolSync]),
        store.select(sequences=(1, 3)),
        store.select(canonical=False),
    ):
        table = chosen.to_arrow()["PoolSync"]
        found = list(zip(table["symbol0"].to_pylist(), table["symbol1"].to_pylist(), strict=True))
        assert found == [(said[a], said[b]) for a, b in pairs]
    assert store.to_df()["PoolSync"]["symbol1"].tolist() == ["USDC", "DAI", "WETH"]
    assert store.to_df()["PoolSync"]["symbol0"].isna().tolist() == [False, True, False]
    store.export(tmp_path / "out", form="csv")
    with (tmp_path / "out" / "PoolSync.csv").open(encoding="utf-8") as lines:
        assert [row["symbol0"] for row in csv.DictReader(lines)] == ["WETH", "", "\u00a3"]
    assert store.to_arrow()["PoolState"]["symbol0"].to_pylist() == ["WETH", "", "\u00a3"]


def test_swaps_of_a_pool_of_three_coins_have_each_the_symbols_and_the_price_of_their_pair(tmp_path: Path) -> None:
    with open_writer(tmp_path / "journal") as writer:
        append(writer, three_coins.published().payloads, 1)
    tables = Store.open(tmp_path / "journal").to_arrow()
    columns = (tables["PoolSwap"][name].to_pylist() for name in ("symbol0", "symbol1", "decimals0", "decimals1"))
    assert list(zip(*columns, strict=True)) == [
        ("DAI", "USDC", 18, 6),
        ("DAI", "WBTC", 18, 8),
        ("USDC", "WBTC", 6, 8),
    ]
    assert tables["PoolSwap"]["price"].to_pylist() == pytest.approx([2e12, 2e10, 2e-2])  # 2 base units for each
    # Each of three PoolStates names all coins.
    assert tables["PoolCoin"]["symbol"].to_pylist() == ["DAI", "USDC", "WBTC"] * 3


def test_unknown_decimals_have_no_whole_amount_and_stay_exact(tmp_path: Path) -> None:
    syncs = store_of(tmp_path).to_arrow(amounts="float")["PoolSync"]
    assert syncs["reserve1_float"].null_count == 1
    assert int.from_bytes(syncs["reserve1"].to_pylist()[1], "big") == (1 << 256) - 1
