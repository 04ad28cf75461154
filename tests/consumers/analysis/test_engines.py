"""pandas, Polars, Arrow and DuckDB against Python's integers, and the DuckDB queries of docs/analysis.md."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from consumers.store import Store
from tests.consumers.analysis.page import blocks
from tests.consumers.analysis.wide_amounts import MOST, amounts, signed, write_amounts


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    directory = tmp_path_factory.mktemp("journal")
    write_amounts(directory)
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
    queries = [query for query in blocks("DuckDB", "sql") if "tables/PoolSync" in query]
    total, kind = (duckdb.sql(query).fetchall()[0][0] for query in queries)
    assert int(total) == sum(amounts())
    assert kind == "DOUBLE"
    [(product,)] = duckdb.sql(f"select '{MOST}'::bignum * '3'::bignum").fetchall()
    assert int(product) != 3 * MOST
