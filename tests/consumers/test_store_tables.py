"""A journal as tables: every bit of every field, in Arrow, Polars, pandas, Parquet, DuckDB, CSV and JSON lines."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from consumers.analysis.arrow import batch_of, schema_of
from consumers.analysis.columns import columns_of
from consumers.analysis.derived import derived_types
from consumers.analysis.kernels import copy_column
from consumers.analysis.scan import scan_segment
from consumers.journal.layout import SegmentHeader
from consumers.journal.segment import list_segments, read_head
from consumers.store import Store
from tests.consumers.journal_frames import UUID, append, open_writer, random_payloads
from tests.tlv.samples import built_in_types, random_record
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.layout import (
    Ack,
    Economics,
    EventOrigin,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    SignalIdentity,
    TickLiquidity,
)
from tlv.message import Message, build, parse
from tlv.record import RECORDS, Record
from tlv.text import record_to_dict

ROOT = Path(__file__).resolve().parents[2]
HEAD = (b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2)
EXTREMES = sorted({value for k in range(257) for value in ((1 << k) - 1, 1 << k, (1 << k) + 1) if value < 1 << 256})
"""All 2^k and 2^k +- 1 that a u256 holds, 2^255 and 2^256 - 1 among them."""


def market(records: list[Record], sequence: int = 0, flags: int = 0) -> bytes:
    """A market-data message."""
    return build(
        Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=sequence, timestamp_ns=sequence * 7, flags=flags
    )


def journal_of(directory: Path, payloads: list[bytes]) -> Store:
    """A journal that holds `payloads` from sequence 1 on."""
    with open_writer(directory) as writer:
        for first in range(0, len(payloads), 1000):
            append(writer, payloads[first : first + 1000], first + 1)
    return Store.open(directory)


def syncs_of(values: list[int], decimals: int = 18) -> list[bytes]:
    """A Sync for each value, and the value's complement as the other reserve."""
    return [
        market(
            [
                PoolSync(*HEAD, decimals, 255, 2, value, (1 << 256) - 1 - value),
                EventOrigin(1, 2, 3, 4, sequence, b"b" * 32, b"t" * 32),
            ],
            sequence,
        )
        for sequence, value in enumerate(values, 1)
    ]


def random_amounts(count: int, seed: int) -> list[int]:
    """256-bit values of every magnitude."""
    source = random.Random(seed)
    return [source.getrandbits(source.randrange(1, 257)) for _ in range(count)]


def every_message(count: int, seed: int) -> list[bytes]:
    """Messages of every type with random fields, pool events with an origin."""
    source = random.Random(seed)
    payloads = []
    for number in built_in_types() * count:
        cls = RECORDS[number]
        records = [random_record(source, cls)]
        if issubclass(cls, PoolRecord) and source.random() < 0.8:
            records.append(random_record(source, EventOrigin))
        domain = cls.layout.domain
        assert domain is not None
        payloads.append(
            build(
                domain,
                source.randrange(256),
                records,
                sequence=source.getrandbits(62),
                timestamp_ns=source.getrandbits(62),
                flags=source.randrange(128),
            )
        )
    return payloads


def expected_row(sequence: int, message: Message) -> dict[str, Any]:
    """The row that an Arrow table should have for a message, but for the time at which it was published."""
    header = message.header
    record = message.records[0]
    row: dict[str, Any] = {
        "sequence": sequence,
        "message_sequence": header.sequence,
        "timestamp_ns": header.timestamp_ns,
        "source": header.source,
        "flags": header.flags,
        "ring": UUID,
    }
    columns = {column.name: column for column in columns_of(type(record))}
    origin = message.records[1] if len(message.records) > 1 else None
    for name, kind in record.layout.kinds.items():
        value = getattr(record, name)
        if kind.name in {"u128", "i128", "u256", "i256"}:
            value = value.to_bytes(kind.size, "big", signed=kind.name.startswith("i"))
        row[f"record_{name}" if f"record_{name}" in columns else name] = value
    if isinstance(record, PoolRecord):
        for name in EventOrigin.layout.kinds:
            found = getattr(origin, name) if origin else None
            row[f"origin_{name}" if f"origin_{name}" in columns else name] = found
    return row


def test_store_arrow_every_type_has_every_field(tmp_path: Path) -> None:
    payloads = every_message(30, seed=1)
    tables = journal_of(tmp_path, payloads).to_arrow(canonical=False)
    assert sorted(tables) == sorted(RECORDS[number].__name__ for number in built_in_types())
    wanted: dict[str, list[dict[str, Any]]] = {}
    for sequence, payload in enumerate(payloads, 1):
        message = parse(payload)
        wanted.setdefault(type(message.records[0]).__name__, []).append(expected_row(sequence, message))
    for name, table in tables.items():
        table.validate(full=True)
        cls = next(cls for cls in RECORDS.values() if cls.layout.name == name)
        rows = table.drop_columns(["published_ns", *derived_types(cls)]).to_pylist()
        assert rows == [{key: row[key] for key in rows[0]} for row in wanted[name]]
        assert set(rows[0]) == set(wanted[name][0])


def test_store_every_amount_is_the_same_everywhere(tmp_path: Path) -> None:
    values = [*EXTREMES, *random_amounts(20_000, seed=2)]
    store = journal_of(tmp_path / "journal", syncs_of(values))
    count = len(values)
    assert [event.record.reserve0 for event in store] == values

    tables = store.to_arrow()
    assert [int.from_bytes(raw, "big") for raw in tables["PoolSync"]["reserve0"].to_pylist()] == values
    assert tables["PoolSync"]["sequence"].to_pylist() == list(range(1, count + 1))
    assert [int.from_bytes(raw, "big") for raw in store.to_polars()["PoolSync"]["reserve0"]] == values
    assert store.to_df()["PoolSync"]["reserve0"].tolist() == values
    exact = [Decimal(f"{value}E-18") for value in values]
    assert store.to_df(amounts="decimal")["PoolSync"]["reserve0"].tolist() == exact

    for form in ("parquet", "csv", "jsonl"):
        assert store.export(tmp_path / "tables", form=form) == {"PoolSync": count}
    file = tmp_path / "tables" / "PoolSync"
    assert pq.read_table(f"{file}.parquet").equals(tables["PoolSync"])
    rows = duckdb.sql(f"select hex(reserve0), sequence from '{file}.parquet' order by sequence").fetchall()
    assert [(int(digits, 16), sequence) for digits, sequence in rows] == [
        *zip(values, range(1, count + 1), strict=True)
    ]
    with Path(f"{file}.csv").open() as lines:
        assert [int(row["reserve0"]) for row in csv.DictReader(lines)] == values
    with Path(f"{file}.jsonl").open() as lines:
        read = [json.loads(line) for line in lines]
    assert [row["reserve0"] for row in read] == [str(value) for value in values]
    shown = record_to_dict(next(iter(store)).record)
    assert {name: read[0][name] for name in shown if name != "type"} == {
        name: value for name, value in shown.items() if name != "type"
    }


def test_store_duckdb_orders_aggregates_and_joins(tmp_path: Path) -> None:
    values = [*EXTREMES, *random_amounts(1000, seed=3)]
    store = journal_of(tmp_path / "journal", syncs_of(values))
    store.to_parquet(tmp_path / "tables", amounts="float")
    file = tmp_path / "tables" / "PoolSync.parquet"
    [(top, bottom, count)] = duckdb.sql(
        f"select hex(max(reserve0)), hex(min(reserve0)), count(*) from '{file}'"
    ).fetchall()
    assert (int(top, 16), int(bottom, 16), count) == (max(values), min(values), len(values))
    ordered = duckdb.sql(f"select hex(reserve0) from '{file}' order by reserve0").fetchall()
    assert [int(digits, 16) for (digits,) in ordered] == sorted(values)
    [(total,)] = duckdb.sql(f"select sum(reserve0_float) from '{file}' where block_number = 1").fetchall()
    assert total == pytest.approx(sum(values) / 10**18, rel=1e-12)
    syncs = store.to_arrow()["PoolSync"]
    assert duckdb.sql("select count(distinct (ring, sequence)) from syncs").fetchall() == [(syncs.num_rows,)]


def test_store_negative_amount_keeps_its_sign(tmp_path: Path) -> None:
    identity = SignalIdentity(1, 1, 1, bytes(16), "flash", 1)
    nets = [-(1 << 255), -1, 0, 1, (1 << 255) - 1, -(10**18), -(10**18) - 1]
    payloads = [
        build(
            Domain.SIGNAL,
            Source.ARBITRAGE_STRATEGY,
            [identity, Economics(1, 1, net, 5, 7, 9, 1, b"t" * 20, b"p" * 20, 18)],
        )
        for net in nets
    ]
    store = journal_of(tmp_path, payloads)
    tables = store.to_arrow(amounts="float")
    assert {name: table.num_rows for name, table in tables.items()} == {"SignalIdentity": 7, "Economics": 7}
    assert [int.from_bytes(raw, "big", signed=True) for raw in tables["Economics"]["net"].to_pylist()] == nets
    assert tables["Economics"]["net_float"].to_pylist() == pytest.approx([net / 10**18 for net in nets], rel=1e-14)
    assert tables["SignalIdentity"]["strategy"].to_pylist() == ["flash"] * 7
    frame = store.to_df()["Economics"]
    assert frame["net"].tolist() == nets
    # Wei have no decimals beside them, and stay wei.
    assert store.to_df(amounts="decimal")["Economics"]["gas_price"].tolist() == [Decimal(5)] * 7


def test_store_amounts_in_whole_tokens_are_exact_or_null(tmp_path: Path) -> None:
    store = journal_of(tmp_path, syncs_of([(1 << 255) + 1, 0, 123], decimals=6))
    frame = store.to_df(amounts="decimal")["PoolSync"]
    assert frame["reserve0"].tolist() == [Decimal(f"{(1 << 255) + 1}E-6"), 0, Decimal("0.000123")]
    assert frame["reserve1"].tolist() == [None] * 3
    floats = store.to_df(amounts="float")["PoolSync"]
    assert floats["reserve0"].tolist() == pytest.approx([2**255 / 10**6, 0.0, 0.000123], rel=1e-14)
    assert floats["reserve1"].isna().all()
    table = store.to_arrow(amounts="decimal")["PoolSync"]
    assert table["reserve0_decimal"].to_pylist()[2] == "0.000123"
    assert table["reserve1_decimal"].null_count == table["reserve1_decimal"].length() == 3
    assert store.to_arrow(amounts="float")["PoolSync"]["reserve1_float"].null_count == 3


def test_store_snapshot_without_origin_has_nulls_in_every_form(tmp_path: Path) -> None:
    state = PoolState(*HEAD, 18, 6, Protocol.UNISWAP_V3, 1, 2, 3, 4, 77, 3000, -5, 60, b"f" * 20, "WMATIC", "UŜDC")
    origin = EventOrigin(9, 1_700_000_000, (1 << 53) + 1, 1, 2, b"b" * 32, b"t" * 32)
    store = journal_of(tmp_path, [market([state], 1, Flag.SNAPSHOT), market([state, origin], 2), market([state], 3)])
    table = store.to_arrow()["PoolState"]
    assert table["block_number"].to_pylist() == [77] * 3
    assert table["origin_block_number"].to_pylist() == [None, 9, None]
    assert table["receive_time_ns"].to_pylist() == [None, (1 << 53) + 1, None]
    assert table["transaction_hash"].to_pylist() == [None, b"t" * 32, None]
    assert table["symbol1"].to_pylist() == ["UŜDC"] * 3
    frame = store.to_df()["PoolState"]
    assert frame["receive_time_ns"].astype(object)[1] == (1 << 53) + 1
    assert frame["receive_time_ns"].isna().tolist() == [True, False, True]
    assert frame["factory"].tolist() == ["0x" + (b"f" * 20).hex()] * 3
    assert store.to_polars()["PoolState"]["origin_block_number"].to_list() == [None, 9, None]
    store.export(tmp_path / "out", form="csv")
    with (tmp_path / "out" / "PoolState.csv").open() as lines:
        assert [row["transaction_hash"] for row in csv.DictReader(lines)] == ["", "0x" + (b"t" * 32).hex(), ""]


def test_store_tick_map_is_two_tables_that_join_by_sequence(tmp_path: Path) -> None:
    """A row for each tick, exact with its sign; whose it is, the PoolTicks of the same message says."""
    ticks = [TickLiquidity((1 << 128) - 1, -(1 << 127), -20), TickLiquidity(5, 5, 30)]
    heads = [
        (name * 20, b"0" * 20, b"1" * 20, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3) for name in (b"p", b"q")
    ]
    parts = [PoolTicks(*head, 77, b"h" * 32, -887272, 887272, 10, 2) for head in heads]
    store = journal_of(tmp_path, [market([part, *ticks], at, Flag.SNAPSHOT) for at, part in enumerate(parts, 1)])
    both = store.to_arrow()
    assert both["PoolTicks"]["pool"].to_pylist() == [(b"p" * 20).ljust(32, b"\0"), (b"q" * 20).ljust(32, b"\0")]
    assert both["TickLiquidity"]["sequence"].to_pylist() == [1, 1, 2, 2]
    one = store.select(pools=[b"q" * 20]).to_df()["TickLiquidity"]
    assert one["liquidity_net"].tolist() == [-(1 << 127), 5]
    assert one["liquidity_gross"].tolist() == [(1 << 128) - 1, 5]
    assert one["tick"].tolist() == [-20, 30]
    assert store.to_df(amounts="float")["TickLiquidity"]["liquidity_net"].tolist()[0] == -(2.0**127)
    tables = store.to_polars()
    joined = tables["TickLiquidity"].join(tables["PoolTicks"].select("sequence", "pool"), on="sequence")
    assert joined.select("pool", "tick").rows() == [
        (head[0].ljust(32, b"\0"), tick) for head in heads for tick in (-20, 30)
    ]


def test_store_named_type_without_a_row_gives_an_empty_table(tmp_path: Path) -> None:
    store = journal_of(tmp_path / "journal", syncs_of([1])).select(types=[PoolSwap])
    swaps = store.to_arrow()
    assert list(swaps) == ["PoolSwap"] and swaps["PoolSwap"].num_rows == 0
    assert store.to_df()["PoolSwap"].empty and "amount0_in" in store.to_df()["PoolSwap"].columns
    for form in ("parquet", "csv", "jsonl"):
        assert store.export(tmp_path / "out", form=form) == {"PoolSwap": 0}
    assert pq.read_table(tmp_path / "out" / "PoolSwap.parquet").schema.equals(swaps["PoolSwap"].schema)


def test_store_rows_of_many_blocks_and_segments_keep_their_order(tmp_path: Path) -> None:
    values = list(range(150_000))
    message = bytearray(syncs_of([0])[0])
    with open_writer(tmp_path / "journal", segment_bytes=1 << 24) as writer:
        for first in range(0, len(values), 1000):
            append(writer, [bytes(message)] * 1000, first + 1)
    # One event, told 150,000 times.
    store = Store.open(tmp_path / "journal", canonical=False)
    table = store.to_arrow()["PoolSync"]
    assert table["sequence"].to_pylist() == list(range(1, len(values) + 1))
    assert table["sequence"].num_chunks > 3
    assert store.to_parquet(tmp_path / "out") == {"PoolSync": len(values)}
    assert pq.read_table(tmp_path / "out" / "PoolSync.parquet")["sequence"].to_pylist() == list(range(1, 150_001))
    assert store.to_arrow(canonical=True)["PoolSync"]["sequence"].to_pylist() == [1]


def test_columns_a_taken_name_gets_a_prefix() -> None:
    assert [column.name for column in columns_of(Ack)][-2:] == ["record_sequence", "ring_uuid"]
    for cls in RECORDS.values():
        names = [column.name for column in columns_of(cls)]
        assert len(names) == len({*names, "ring"}) - 1


def test_export_that_fails_changes_no_file(tmp_path: Path) -> None:
    store = journal_of(tmp_path / "journal", syncs_of([1, 2, 3]))
    out = tmp_path / "out"
    store.to_parquet(out)
    before = (out / "PoolSync.parquet").read_bytes()
    older = replace(SegmentHeader.unpack(read_head(list_segments(tmp_path / "journal")[0])), version=1)
    (tmp_path / "journal" / "segment-00000002.journal").write_bytes(older.pack())
    with pytest.raises(Exception, match="expected journal version"):
        store.to_parquet(out)
    assert [path.name for path in out.iterdir()] == ["PoolSync.parquet"]
    assert (out / "PoolSync.parquet").read_bytes() == before


def test_export_to_a_file_or_in_an_unknown_form_is_refused(tmp_path: Path) -> None:
    store = journal_of(tmp_path / "journal", syncs_of([1]))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="expected a directory, found a file"):
        store.to_parquet(tmp_path / "file")
    with pytest.raises(UsageError, match="format 'xlsx': expected one of parquet, csv, jsonl"):
        store.export(tmp_path / "out", form="xlsx")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="amounts 'wei': expected one of int, decimal, float"):
        store.to_arrow(amounts="wei")  # type: ignore[arg-type]


def test_store_without_the_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = journal_of(tmp_path, syncs_of([1]))
    for module in [name for name in sys.modules if name.partition(".")[0] in {"pyarrow", "polars", "pandas"}]:
        monkeypatch.setitem(sys.modules, module, None)
    for use in (store.to_arrow, store.to_polars, store.to_df):
        with pytest.raises(UsageError, match=r"is not installed; pip install 'alphapulse\[analysis\]'"):
            use()
    assert len(list(store)) == 1


def read_terminal(terminal: int) -> bytes:
    """What is written on the other side of a pseudo-terminal until that is closed, which reads as EIO."""
    shown = b""
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 1 << 16):
            shown += more
    return shown


def test_store_progress_bar_is_for_terminals_and_on_stderr(tmp_path: Path) -> None:
    journal_of(tmp_path, syncs_of([1, 2, 3]))
    code = f"from consumers.store import Store; Store.open({str(tmp_path)!r}).to_arrow(progress=True); print('done')"
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as run:
        os.close(theirs)
        # Read while it runs: on a busy machine the bar is drawn more often than a terminal's buffer holds.
        shown = read_terminal(ours)
        assert run.stdout is not None
        assert (run.stdout.read(), run.wait()) == (b"done\n", 0)
    os.close(ours)
    assert b"to Arrow" in shown
    silent = code.replace("progress=True", "")
    assert subprocess.run([sys.executable, "-c", silent], cwd=ROOT, capture_output=True).stderr == b""


def test_batch_columns_are_views_of_the_block(tmp_path: Path) -> None:
    store = journal_of(tmp_path, syncs_of(list(range(500))))
    [segment] = list_segments(tmp_path)
    [block] = scan_segment(segment, store.selection, is_last=True).blocks
    batch = batch_of(block, schema_of(PoolSync, "int"), "int", {})
    begin = block.arena.ctypes.data
    for name in ("sequence", "reserve0", "pool", "transaction_hash"):
        assert begin <= batch.column(name).buffers()[1].address < begin + block.arena.nbytes


@pytest.mark.parametrize("copy", [copy_column, copy_column.py_func], ids=["native", "python"])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 20, 32, 64])
def test_copy_column_copies_flips_and_zeroes(copy: Any, size: int) -> None:
    source = np.frombuffer(bytearray(random.Random(size).randbytes(300)), np.uint8)
    starts = np.array([7, -1, 100, 101], np.int64)
    for flipped in {False, size % 8 == 0}:
        out = np.full(6 * size, 0xEE, np.uint8)
        copy(out, size, source, starts, 4, 3, size, flipped)
        wanted = [
            bytes(size) if start < 0 else source[start + 3 : start + 3 + size].tobytes()[:: -1 if flipped else 1]
            for start in starts.tolist()
        ]
        assert out.tobytes() == b"\xee" * size + b"".join(wanted) + b"\xee" * size


def test_store_random_frames_beside_messages_spoil_no_table(tmp_path: Path) -> None:
    payloads = syncs_of(list(range(500)))
    noise = random_payloads(500, seed=9)
    store = journal_of(tmp_path, [frame for pair in zip(payloads, noise, strict=True) for frame in pair])
    table = store.to_arrow()["PoolSync"]
    assert [int.from_bytes(raw, "big") for raw in table["reserve0"].to_pylist()] == list(range(500))
    assert store.refused == 500


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_export_to_a_full_disk_leaves_the_old_files_and_nothing_else(tmp_path: Path, form: Any) -> None:
    store = journal_of(tmp_path / "journal", syncs_of(random_amounts(3000, seed=4)))
    out = tmp_path / "out"
    store.export(out, form=form)
    before = (out / f"PoolSync.{form}").read_bytes()
    code = (
        "import resource, signal; from consumers.store import Store; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"Store.open({str(tmp_path / 'journal')!r}).export({str(out)!r}, form={form!r})"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and "File too large" in run.stderr
    assert [path.name for path in out.iterdir()] == [f"PoolSync.{form}"]
    assert (out / f"PoolSync.{form}").read_bytes() == before
