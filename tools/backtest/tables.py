"""The tables of a backtest as Parquet: orders, fills, reports, equity, runs.

Owns their columns.  A record's fields are columns of its own names, in front of them the run, the strategy and the
time of the event.  An amount is 32 big-endian bytes, as in `alphapulse export`, with a float of whole tokens beside it,
which is null where the decimals are unknown; an amount in wei (`net_wei`) is decimal text, with a float of whole coins
beside it (`net_coins`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from consumers.analysis.arrow import INTEGERS
from consumers.backtest.run import RunResult
from consumers.extras import need
from tlv.codes import UNKNOWN_DECIMALS, OrderState
from tlv.fields import FieldKind
from tlv.layout import ExecutionReport, Fill
from tlv.record import Record

COIN = 10**18
"""Wei of a coin, on every chain of the EVM."""
POOL_BYTES = Fill.layout.kinds["pool"].size
DECIMALS = {"amount_in": "decimals_in", "amount_out": "decimals_out", "expected_out": "decimals_out"}
"""Of a Fill; a report has one token."""
ENDINGS = (
    OrderState.FILLED,
    OrderState.FAILED,
    OrderState.REJECTED,
    OrderState.EXPIRED,
    OrderState.WITHDRAWN,
    OrderState.UNDONE,
)
"""How an order can end."""


def write_tables(directory: Path, results: Sequence[RunResult]) -> dict[str, int]:
    """Write `<name>.parquet` for each table into `directory`; returns the rows of each."""
    tables = {
        "runs": runs_table(results),
        "orders": orders_table(results),
        "fills": records_table(results, Fill, lambda field: DECIMALS[field]),
        "reports": records_table(results, ExecutionReport, lambda _: "decimals"),
        "equity": equity_table(results),
    }
    for name, table in tables.items():
        need("pyarrow.parquet").write_table(table, directory / f"{name}.parquet", compression="zstd")
    return {name: table.num_rows for name, table in tables.items()}


def table_of(columns: Sequence[tuple[str, Any]], rows: Iterable[Sequence[Any]]) -> Any:
    """A table with columns (name, type) of rows."""
    pa = need("pyarrow")
    listed = list(rows)
    arrays = [pa.array([row[at] for row in listed], kind) for at, (_, kind) in enumerate(columns)]
    return pa.Table.from_arrays(arrays, schema=pa.schema([pa.field(name, kind) for name, kind in columns]))


def wei(name: str) -> list[tuple[str, Any]]:
    """The two columns of an amount in wei: exact, and in whole coins."""
    pa = need("pyarrow")
    return [(f"{name}_wei", pa.string()), (f"{name}_coins", pa.float64())]


def in_wei(value: int) -> tuple[str, float]:
    """Their values."""
    return str(value), value / COIN


def runs_table(results: Sequence[RunResult]) -> Any:
    """One row for each run: what was set, and what came of it."""
    pa = need("pyarrow")
    keys = list(dict.fromkeys(key for result in results for key in result.settings))
    columns = [
        ("run", pa.int32()),
        *((f"set.{key}", pa.string()) for key in keys),
        ("order_hash", pa.string()),
        ("execution_hash", pa.string()),
        *((name, pa.int64()) for name in ("signals", "orders", *(state.name.lower() for state in ENDINGS), "frames")),
        *(column for name in ("gross", "gas", "net", "expected_net", "drawdown") for column in wei(name)),
        ("complete", pa.bool_()),
    ]

    def row(result: RunResult) -> tuple[Any, ...]:
        account = result.account
        total = account.ledger.total
        sums = (total.gross, total.gas, total.net, total.expected, account.drawdown)
        return (
            result.number,
            *(result.settings.get(key) for key in keys),
            " ".join(one.order_hash for one in result.strategies),
            result.execution_hash,
            sum(one.signals for one in result.strategies),
            sum(one.orders for one in result.strategies),
            *map(account.state_count, ENDINGS),
            result.frames,
            *(part for value in sums for part in in_wei(value)),
            not result.missing,
        )

    return table_of(columns, map(row, results))


def orders_table(results: Sequence[RunResult]) -> Any:
    """One row for each signal and order that strategies published."""
    pa = need("pyarrow")
    columns = [
        *(("run", pa.int32()), ("strategy", pa.string()), ("time_ns", pa.int64()), ("sequence", pa.int64())),
        *(("kind", pa.string()), ("block_number", pa.int64()), ("token_in", pa.binary(20))),
        *(("pools", pa.list_(pa.binary(POOL_BYTES))), ("venues", pa.list_(pa.int32()))),
        *(("amount_in", pa.binary(32)), ("amount_in_float", pa.float64())),
        *(("expected_out", pa.binary(32)), ("expected_out_float", pa.float64())),
    ]
    rows = (
        (
            *(result.number, wish.strategy, wish.time_ns, wish.sequence, wish.kind, wish.block_number, wish.token_in),
            *([pool.ljust(POOL_BYTES, b"\0") for pool in wish.pools], list(wish.venues)),
            *(wish.amount_in.to_bytes(32, "big"), whole(wish.amount_in, wish.decimals_in)),
            *(wish.expected_out.to_bytes(32, "big"), whole(wish.expected_out, wish.decimals_in)),
        )
        for result in results
        for wish in result.wishes
    )
    return table_of(columns, rows)


def equity_table(results: Sequence[RunResult]) -> Any:
    """The sum behind each report."""
    pa = need("pyarrow")
    columns = [
        *(("run", pa.int32()), ("time_ns", pa.int64()), ("block_number", pa.int64())),
        *(column for name in ("change", "equity", "expected_equity") for column in wei(name)),
    ]
    rows = (
        (
            *(result.number, point.time_ns, point.block_number),
            *(part for value in (point.change, point.equity, point.expected_equity) for part in in_wei(value)),
        )
        for result in results
        for point in result.account.equity
    )
    return table_of(columns, rows)


def records_table(results: Sequence[RunResult], cls: type[Record], decimals: Callable[[str], str]) -> Any:
    """One row for each record of `cls` that the executor published."""
    pa = need("pyarrow")
    kinds = cls.layout.kinds
    columns: list[tuple[str, Any]] = [("run", pa.int32()), ("strategy", pa.string()), ("time_ns", pa.int64())]
    floats: list[str] = []
    for name, kind in kinds.items():
        columns.append((name, column_type(kind)))
        if is_amount(name, kind):
            columns.append((f"{name}_float", pa.float64()))
            floats.append(name)

    def row(record: Any) -> Iterable[Any]:
        for name, kind in kinds.items():
            value = getattr(record, name)
            if is_wide(kind):
                yield value.to_bytes(kind.size, "big", signed=kind.name.startswith("i"))
            else:
                yield value.ljust(kind.size, b"\0") if isinstance(value, bytes) else value
            if name in floats:
                yield whole(value, getattr(record, decimals(name)))

    rows = (
        (result.number, one.strategy, one.time_ns, *row(one.record))
        for result in results
        for one in result.account.booked
        if isinstance(one.record, cls)
    )
    return table_of(columns, rows)


def is_wide(kind: FieldKind) -> bool:
    """Whether Arrow has no integer as wide."""
    return kind.name in ("u128", "u256", "i128", "i256")


def is_amount(name: str, kind: FieldKind) -> bool:
    """Whether a wide field counts base units of a token that the record names."""
    return is_wide(kind) and not name.startswith(("gas_price", "rate_"))


def column_type(kind: FieldKind) -> Any:
    """The Arrow type of a field, as in the tables of `alphapulse export`."""
    pa = need("pyarrow")
    if kind.name in INTEGERS:
        return getattr(pa, INTEGERS[kind.name])()
    return pa.string() if kind.name.startswith("text") else pa.binary(kind.size)


def whole(amount: int, decimals: int) -> float | None:
    """Whole tokens, as near as a float comes; None where the decimals are unknown."""
    return None if decimals == UNKNOWN_DECIMALS else amount / 10**decimals
