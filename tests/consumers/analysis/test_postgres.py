"""PostgreSQL against Python's integers: the code of docs/analysis.md, and what the page says is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas
import psycopg
import pytest

from consumers.store import Store
from tests.consumers.analysis.page import blocks, claims
from tests.consumers.analysis.postgres import Place, running_server
from tests.consumers.analysis.recorded_reorgs import write_recording
from tests.consumers.analysis.wide_amounts import MOST, amounts, signed, write_amounts
from tests.consumers.recorded_market import canonical_events
from tlv.layout import PoolSwap

HEADING = "PostgreSQL"
INSTEAD = {
    f"select div({MOST}, 7)": str(MOST // 7),
    "select avg(x) from (values (1::numeric(78, 0)), (1), (2)) as three (x)": "1.3333333333333333",
    "select pg_typeof(1e18)": "numeric",
    "select pg_typeof(10::numeric(78, 0) / 10 ^ 18)": "double precision",
    f"select {(1 << 64) - 1}::numeric(20, 0)": str((1 << 64) - 1),
}
"""What the page tells to do instead, and what else it names as rounded."""


@pytest.fixture(scope="module")
def server() -> Iterator[Place]:
    with running_server() as place:
        yield place


@pytest.fixture(autouse=True)
def where(server: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """libpq finds the server; the page's relative paths mean the test's directory."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_postgres_sums_amounts_as_the_page_says(tmp_path: Path) -> None:
    write_recording(tmp_path / "recording")
    Store.open("recording").select(types=[PoolSwap]).export("tables", form="csv")
    write_amounts(tmp_path / "amounts")
    Store.open("amounts").export("wide", form="csv")
    names: dict[str, object] = {}
    [recipe] = blocks(HEADING, "python")
    exec(recipe, names)
    load, sums, amount = names["load"], names["sums"], names["AMOUNT"]
    assert callable(load)

    events = [event for event in canonical_events() if isinstance(event[0], PoolSwap)]
    by_pool: Counter[str] = Counter()
    for swap, _ in events:
        by_pool[f"0x{swap.pool.hex()}"] += swap.amount0_in
    assert sums == dict(by_pool)
    with psycopg.connect() as db:
        [last] = db.execute("select max(block_time) from swaps").fetchall()
        assert last == (datetime.fromtimestamp(max(origin.block_timestamp for _, origin in events), UTC),)
        load(db, Path("wide/PoolSync.csv"), "syncs", {"sequence": "bigint", "reserve0": amount, "reserve1": amount})
        load(db, Path("wide/Economics.csv"), "worth", {"sequence": "bigint", "net": amount})
        for table, column, wanted in (
            ("syncs", "reserve0", amounts()),
            ("syncs", "reserve1", [MOST - value for value in amounts()]),
            ("worth", "net", signed()),
        ):
            found = db.execute(f"select {column} from {table} order by sequence").fetchall()
            assert [int(value) for (value,) in found] == wanted
            [(total, product)] = db.execute(f"select sum({column}), max({column}) * min({column}) from {table}")
            assert (int(total), int(product)) == (sum(wanted), max(wanted) * min(wanted))


def test_postgres_says_nothing_where_the_page_warns() -> None:
    said = claims(HEADING)
    with psycopg.connect() as db:
        db.execute("create temporary table checked (a numeric(78, 0) check (a < 2::numeric ^ 256))")
        db.execute(f"insert into checked values ({MOST})")
        with pytest.raises(psycopg.errors.CheckViolation), db.transaction():
            db.execute(f"insert into checked values ({MOST + 1})")
        assert {query: str(db.execute(query).fetchall()[0][0]) for query in INSTEAD} == INSTEAD
        assert len(said) >= 6
        assert {query: str(db.execute(query).fetchall()[0][0]) for query in said} == said
        with pytest.raises(psycopg.errors.NumericValueOutOfRange):
            db.execute(f"select {1 << 63}::bigint")
    with psycopg.connect() as db:
        [(most,)] = db.execute(f"select {MOST}::numeric(78, 0)")
        assert (type(most), int(most), int(most + 0) == MOST) == (Decimal, MOST, False)
        with pytest.warns(UserWarning, match="SQLAlchemy"):
            frames = [pandas.read_sql(f"select {MOST} as a", db, coerce_float=coerce) for coerce in (True, False)]
        assert [frame["a"][0] for frame in frames] == [float(MOST), Decimal(MOST)]
        assert frames[0]["a"].dtype == "float64"
