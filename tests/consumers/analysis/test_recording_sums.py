"""Sums over the bundled recording's reorgs: what a query of the exported tables gives, against Python's integers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from consumers.store import Store
from tests.consumers.analysis.recorded_reorgs import write_recording
from tests.consumers.recorded_market import canonical_events, orphaned_events
from tlv.codes import UNKNOWN_DECIMALS
from tlv.layout import PoolSwap
from tools.export import command

QUERY = (
    "select pool, count(*), sum(amount0_in_float), count(*) - count(amount0_in_float) "
    "from '{}/PoolSwap.parquet' group by pool"
)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recording")
    write_recording(directory)
    return directory


def test_query_of_the_readme_counts_what_stands(journal: Path, tmp_path: Path) -> None:
    Store.open(journal).to_parquet(tmp_path / "stands", amounts="float")
    Store.open(journal).to_parquet(tmp_path / "all", amounts="float", canonical=False)
    swaps = [record for record, _ in canonical_events() if isinstance(record, PoolSwap)]
    counts = Counter(swap.pool.ljust(32, b"\0") for swap in swaps)
    unknown = Counter(swap.pool.ljust(32, b"\0") for swap in swaps if swap.decimals0 == UNKNOWN_DECIMALS)
    found = duckdb.sql(QUERY.format(tmp_path / "stands")).fetchall()
    assert {pool: (count, lacking) for pool, count, _, lacking in found} == {
        pool: (count, unknown[pool]) for pool, count in counts.items()
    }
    for pool, _, sold, lacking in found:
        here = [swap for swap in swaps if swap.pool.ljust(32, b"\0") == pool]
        if not lacking:
            assert sold == pytest.approx(sum(swap.amount0_in for swap in here) / 10 ** here[0].decimals0, rel=1e-12)
    everything = duckdb.sql(QUERY.format(tmp_path / "all")).fetchall()
    orphans = sum(isinstance(record, PoolSwap) for record, _ in orphaned_events())
    assert sum(row[1] for row in everything) == len(swaps) + 2 * orphans > len(swaps)


def test_export_gives_what_stands_and_everything_with_all(journal: Path, tmp_path: Path) -> None:
    run = CliRunner()
    arguments = [str(journal), "--types", "PoolSwap", "--format", "csv", "--json", "--out"]
    rows = {}
    for name, more in (("stands", []), ("all", ["--all"]), ("early", ["--as-of", "0"])):
        result = run.invoke(command, [*arguments, str(tmp_path / name), *more])
        assert result.exit_code == 0, result.output
        rows[name] = json.loads(result.output)["rows"]["PoolSwap"]
    swaps = [record for record, _ in canonical_events() if isinstance(record, PoolSwap)]
    with (tmp_path / "stands" / "PoolSwap.csv").open() as lines:
        assert sorted(int(row["amount0_in"]) for row in csv.DictReader(lines)) == sorted(s.amount0_in for s in swaps)
    assert rows["early"] == 0 < rows["stands"] == len(swaps) < rows["all"]
