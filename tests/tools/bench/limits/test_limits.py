"""The limits beside what we do, every row of the table of targets, and what is said where a reading cannot be had."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.tools.test_bench import bench
from tools.bench.limits import calls, hand_off, native, sockets
from tools.bench.limits.rounds import pinning, take_turns
from tools.bench.limits.rows import CRC, FRAME, RELAY_P50, TABLE
from tools.bench.ring.setting import pinned

NATIVE = {
    "native publish flat out, one reader",
    "native publish flat out, one reader that keeps up",
    "native read, one reader",
    "native publish, in turns with one reader",
    "native read, in turns with the writer",
}
LIMITS = {
    "typed build of a swap with its origin",  # no limit, and no row of the table
    "typed parse of a swap with its origin",
    "limit, cache line from core to core, one way p50",
    "limit, an empty compiled call",
    "limit, a builtin call, abs(1)",
    *(f"limit, memcpy of {size} bytes" for size in (64, 256, 1024, 4096, 16_384, 65_536)),
    "limit, Unix socket: 128-byte frames in writes of 64 KiB",
    "limit, Unix socket: 128 bytes, one way p50",
    "limit, write(2) of the journal's bytes",
    "limit, write(2) and fdatasync(2) of the journal's bytes",
    "limit, read(2) of the journal's bytes",
    "limit, websocket recv",
    *(f"limit, JSON of a log notification: {name}" for name in ("json.loads", "msgspec", "msgspec, typed")),
    "C++ twin of the ring: publish, one reader that works",
    "C++ twin of the ring: read, one reader",
}


@pytest.fixture
def one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_bench_limits_has_every_row_of_the_table_beside_every_limit_and_leaves_no_ring() -> None:
    ended = bench("--only", "limits", "--seconds", "0.01", "--json")
    assert ended.returncode == 0, ended.stderr
    results = {result["name"]: result for result in json.loads(ended.stdout)["results"]}
    assert results.keys() == {row.name for row in TABLE} | LIMITS
    unmeasured = {name for name, result in results.items() if result["missing"]}
    assert all(result["value"] > 0 for name, result in results.items() if name not in unmeasured)
    # A run so short leaves out what takes seconds to start.
    assert unmeasured == {row.name for row in TABLE if row.name.startswith(("relay", "receive to ring"))}
    for row in TABLE:
        found = results[row.name]
        assert found["unit"] == row.unit
        if row.name not in unmeasured:
            assert found["target"] == (row.target * found["baseline_value"] if row.of_baseline else row.target)


def test_table_of_targets_asks_what_was_asked() -> None:
    assert {row.name: (row.target, row.unit, row.of_baseline) for row in TABLE} == {
        "Writer.publish alone": (5, "M/s", False),
        "Writer.publish alone, in empty compiled calls": (3, "x", False),
        "typed build of a message": (1.2, "M/s", False),
        "typed parse of a message": (1.6, "M/s", False),
        "events of a Store, typed, one by one": (1, "M/s", False),
        "plain strategy, a frame": (4, "us", False),
        "native publish flat out, one reader": (0.6, "M/s", True),
        "native publish flat out, one reader that keeps up": (0.6, "M/s", True),
        "native read, one reader": (1, "M/s", True),
        "native publish, in turns with one reader": (0.6, "M/s", True),
        "native read, in turns with the writer": (1, "M/s", True),
        "CRC-32 of 64 KiB": (1, "GB/s", True),
        "collector, socket to ring": (0.9, "logs/s", True),
        "receive to ring p99 at 1,000 logs/s": (0.15, "ms", False),
        "relay, one client": (4, "M/s", False),
        "relay, four clients": (6, "M/s", False),
        "relay, ring to client p50": (15, "us", False),
        "journal append": (5, "M/s", False),
        "journal scan": (12, "M/s", False),
    }


def test_rows_of_times_and_of_rates_have_ratios_above_one_where_we_are_better() -> None:
    assert FRAME.reading(2.0, "baseline", 4.0).ratio == 2
    assert RELAY_P50.reading(20.0, "baseline", 10.0).meets_target is False
    assert CRC.reading(3.0, "baseline", 2.0).ratio == 1.5
    assert CRC.reading(3.0, "baseline", 2.0).meets_target
    assert not CRC.reading(1.9, "baseline", 2.0).meets_target
    assert not CRC.missing("no zlib").meets_target


def test_store_row_without_pyarrow_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    row = calls.events(0.01)
    assert (row.name, row.meets_target) == ("events of a Store, typed, one by one", False)
    assert "pip install 'alphapulse[analysis]'" in row.missing


def test_native_rows_without_a_compiler_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    rows = {row.name: row for row in native.run(0.01)}
    assert rows.keys() > NATIVE
    assert {row.missing for row in rows.values()} == {"no g++"}
    assert not any(row.meets_target for row in rows.values())


@pytest.mark.usefixtures("one_core")
def test_rows_of_two_processes_on_one_core_say_so() -> None:
    rows = [*hand_off.run(0.01), *native.run(0.01), *sockets.bare(0.01, 1.0, 1.0)]
    assert {row.name for row in rows} > NATIVE
    assert {row.missing for row in rows} == {"one core: the two processes would take turns"}


def test_refused_pinning_is_said_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pinning() == ""

    def refuse(pid: int, cores: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with pinned(0):
        assert pinning() == "not pinned (Operation not permitted)"


def test_take_turns_begins_each_round_with_another_measure_and_shares_the_time() -> None:
    order: list[str] = []

    def measure(name: str, length: float) -> float:
        order.append(name)
        return length

    found = take_turns({name: lambda length, name=name: measure(name, length) for name in "abc"}, 3.0, 3)
    assert "".join(order) == "abcbcacab"
    assert found == dict.fromkeys("abc", (1.0, 1.0, 1.0))
    assert take_turns({"a": lambda length: length}, 0.1, 3) == {"a": (0.1,)}
