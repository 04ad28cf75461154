"""pandas, Polars, Arrow and DuckDB against Python's integers, and the queries of docs/analysis.md as they stand."""

from __future__ import annotations

import random
import re
from pathlib import Path

import duckdb
import pytest

from consumers.store import Store
from tests.consumers.journal_frames import append, open_writer
from tlv.codes import Domain, Source
from tlv.layout import Economics, EventOrigin, PoolSync, SignalIdentity
from tlv.message import build

MOST = (1 << 256) - 1
PAGE = Path(__file__).resolve().parents[3] / "docs" / "analysis.md"
QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ROWS = 2000


def amounts() -> list[int]:
    """Every magnitude, the largest, and zero."""
    source = random.Random(10)
    return [MOST, MOST, 0, *(source.getrandbits(source.randrange(1, 257)) for _ in range(ROWS - 3))]


def signed() -> list[int]:
    """Every magnitude with either sign, the smallest and the largest."""
    source = random.Random(11)
    drawn = [source.getrandbits(source.randrange(1, 256)) * source.choice([1, -1]) for _ in range(ROWS - 3)]
    return [-(1 << 255), (1 << 255) - 1, 0, *drawn]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    directory = tmp_path_factory.mktemp("journal")
    payloads = []
    for index, (amount, net) in enumerate(zip(amounts(), signed(), strict=True)):
        sync = PoolSync(b"p" * 20, b"0" * 20, b"1" * 20, 400, 18, 255, 2, amount, MOST - amount)
        origin = EventOrigin(7, 8, 9, 0, index, b"b" * 32, b"t" * 32)
        payloads.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin]))
        signal = [
            SignalIdentity(1, 1, 1, bytes(16), "flash", 1),
            Economics(1, 1, net, 5, 7, 9, 1, b"t" * 20, b"p" * 20, 18),
        ]
        payloads.append(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, signal))
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
    return Store.open(directory)


def test_engines_agree_with_integers_row_by_row(store: Store, tmp_path: Path) -> None:
    tables, polars, frames = store.to_arrow(), store.to_polars(), store.to_df()
    for table, column, wanted, sign in (
        ("PoolSync", "reserve0", amounts(), False),
        ("PoolSync", "reserve1", [MOST - amount for amount in amounts()], False),
        ("Economics", "net", signed(), True),
    ):
        for values in (tables[table][column].to_pylist(), polars[table][column].to_list()):
            assert [int.from_bytes(raw, "big", signed=sign) for raw in values] == wanted
        assert frames[table][column].tolist() == wanted
        assert frames[table][column].sum() == sum(wanted)
        store.export(tmp_path, form="csv")
        query = f"select {column}::bignum::varchar from read_csv('{tmp_path}/{table}.csv', all_varchar = true)"
        assert [int(digits) for (digits,) in duckdb.sql(query).fetchall()] == wanted
        [(total,)] = duckdb.sql(query.replace(f"{column}::bignum", f"sum({column}::bignum)")).fetchall()
        assert int(total) == sum(wanted)


def test_documented_queries_sum_exactly_and_show_what_duckdb_rounds(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.export(tmp_path / "tables", form="csv")
    monkeypatch.chdir(tmp_path)
    total, kind = (duckdb.sql(query).fetchall()[0][0] for query in QUERIES)
    assert int(total) == sum(amounts())
    assert kind == "DOUBLE"
    [(product,)] = duckdb.sql(f"select '{MOST}'::bignum * '3'::bignum").fetchall()
    assert int(product) != 3 * MOST
