"""ClickHouse (chdb) against Python's integers: the code of docs/analysis.md, and what the page says is silent.

chdb has threads and signal handlers of its own, so it runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from consumers.store import Store
from tests.consumers.analysis.page import blocks, claims
from tests.consumers.analysis.recorded_reorgs import write_recording
from tests.consumers.analysis.wide_amounts import MOST, amounts, signed, write_amounts
from tests.consumers.recorded_market import canonical_events
from tlv.layout import PoolSwap

HEADING = "ClickHouse"
MOST_SQL = "bitNot(toUInt256(0))"
INSTEAD = {
    f"select intDiv({MOST_SQL}, 7)": str(MOST // 7),
    f"select {MOST_SQL} * 2": str(2 * MOST % (MOST + 1)),
    "select toUInt256('18446744073709551617') = toUInt256('18446744073709551617')": "1",
    f"select toString({MOST_SQL})": str(MOST),
}
"""What the page tells to do instead, and the other operator that it names."""
OTHER_WIDTH = (
    "select min(reinterpretAsInt256(reverse(liquidity_net))) from file('tables/TickLiquidity.parquet')",
    "select min(reinterpretAsInt128(reverse(net))) from file('tables/Economics.parquet')",
)
ANSWER = """
import sys

def rows(query):
    return [json.loads(line) for line in str(chdb.query(query, "JSONCompactStringsEachRow")).splitlines()]

asked = json.load(sys.stdin)
json.dump({
    "rows": {query: rows(query) for query in asked.get("queries", [])},
    "sums": [exact_sums(*arguments) for arguments in asked.get("sums", [])],
    "column": str(chdb.query(asked["frame"], "DataFrame").dtypes.iloc[0]) if "frame" in asked else None,
    "little": chdb.query(asked["frame"], "ArrowTable")[0][0].as_py().hex() if "frame" in asked else None,
}, sys.stdout)
"""


def ask(directory: Path, **asked: Any) -> dict[str, Any]:
    """What a process in `directory` answers that has run the page's Python code."""
    [recipe] = blocks(HEADING, "python")
    done = subprocess.run(
        [sys.executable, "-c", recipe + ANSWER], cwd=directory, input=json.dumps(asked), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the page's `tables` in it."""
    directory = tmp_path_factory.mktemp("clickhouse")
    (directory / "journal").mkdir()
    write_amounts(directory / "journal")
    Store.open(directory / "journal").to_parquet(directory / "tables")
    return directory


def test_clickhouse_reads_and_sums_amounts_as_the_page_says(tables: Path, tmp_path: Path) -> None:
    write_recording(tmp_path)
    Store.open(tmp_path).select(types=[PoolSwap]).to_parquet(tables / "recorded")
    columns = {
        ("PoolSync", "reserve0", "pool", "UInt256"): amounts(),
        ("PoolSync", "reserve1", "pool", "UInt256"): [MOST - amount for amount in amounts()],
        ("Economics", "net", "profit_token", "Int256"): signed(),
        ("TickLiquidity", "liquidity_gross", "ring", "UInt128"): [amount >> 128 for amount in amounts()],
        ("TickLiquidity", "liquidity_net", "ring", "Int128"): [amount >> 128 for amount in signed()],
    }
    swapped = ("amount0_in", "amount1_in", "amount0_out", "amount1_out")
    query = blocks(HEADING, "sql")[0]
    answer = ask(
        tables,
        queries=[query],
        sums=[
            *((f"tables/{table}.parquet", *more) for table, *more in columns),
            *(("recorded/PoolSwap.parquet", name, "pool") for name in swapped),
        ],
    )
    assert [int(digits) for (digits,) in answer["rows"][query]] == amounts()
    sums = iter(answer["sums"])
    for wanted in columns.values():
        assert list(next(sums).values()) == [sum(wanted)]
    swaps = [event for event, _ in canonical_events() if isinstance(event, PoolSwap)]
    for name, found in zip(swapped, sums, strict=True):
        by_pool: Counter[str] = Counter()
        for swap in swaps:
            by_pool[swap.pool.ljust(32, b"\0").hex()] += getattr(swap, name)
        assert found == dict(by_pool)


def test_clickhouse_says_nothing_where_the_page_warns(tables: Path) -> None:
    said = claims(HEADING)
    silent = {
        "given": "select reserve0 from file('tables/PoolSync.parquet', Parquet, 'sequence Int64, reserve0 UInt256') "
        "order by sequence",
        "inserted": "create table taken (sequence Int64, reserve0 UInt256) engine = Memory; "
        "insert into taken select sequence, reserve0 from file('tables/PoolSync.parquet'); "
        "select reserve0 from taken order by sequence",
    }
    turned_round = silent["inserted"].replace("sequence, reserve0", "sequence, reinterpretAsUInt256(reverse(reserve0))")
    answer = ask(
        tables,
        queries=[*said, *INSTEAD, *silent.values(), turned_round, *OTHER_WIDTH],
        frame="select bitShiftRight(bitNot(toUInt256(0)), 1)",
    )
    assert len(said) >= 10
    assert {query: answer["rows"][query][0][0] for query in said} == said
    assert {query: answer["rows"][query][0][0] for query in INSTEAD} == INSTEAD
    turned = [int.from_bytes(amount.to_bytes(32, "big"), "little") for amount in amounts()]
    for query in silent.values():
        assert [int(digits) for (digits,) in answer["rows"][query]] == turned != amounts()
    assert [int(digits) for (digits,) in answer["rows"][turned_round]] == amounts()
    least = min(signed()) >> 128, min(signed())
    assert all(int(answer["rows"][query][0][0]) > exact for query, exact in zip(OTHER_WIDTH, least, strict=True))
    assert answer["column"] == "float64"
    assert answer["little"] == (MOST >> 1).to_bytes(32, "little").hex()
