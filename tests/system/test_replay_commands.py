"""Replay and export as commands, on the recorded market: what comes out is what went in, to the last bit."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.event import Event
from consumers.journal import Fsync, JournalReader
from consumers.recorder import Recorder
from consumers.runner import Runner
from consumers.store import Store
from consumers.strategy import Driver, drive
from ringbuf import Reader, Writer
from tests.consumers.recorded_market import Publisher, canonical_events
from tests.tlv.samples import random_message
from tests.tools.command.forked import run_forked
from tlv.codes import Domain, Flag, Source
from tlv.layout import LAYOUT_DIGEST, PoolSync, Session
from tlv.message import build, parse
from tools.command.main import group

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tools.command.main"]


def lines_of(*arguments: str | Path) -> list[dict[str, Any]]:
    """The JSON lines of a call that succeeded.  In this process, which has imported and compiled everything."""
    done = CliRunner().invoke(group, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def record(ring: str, journal: Path, last: int) -> None:
    """Record a ring up to sequence `last`."""
    with Recorder(ring, journal, report=print, fsync=Fsync.NEVER) as recorder:
        recorder.run(lambda: recorder.next_sequence == last + 1, until_closed=False)


def record_market(ring: str, journal: Path) -> int:
    """The recorded market in a ring, as a collector publishes it, and in a journal; returns how many messages."""
    with Writer.create(ring, layout_digest=LAYOUT_DIGEST) as writer:
        publisher = Publisher()
        publisher.put(Domain.SYSTEM, [Session(writer.uuid, 1, 1, 137, LAYOUT_DIGEST)])
        publisher.snapshots()
        publisher.blocks(canonical_events())
        for _, _, data in publisher.frames:
            writer.publish(data)
        record(ring, journal, len(publisher.frames))
    return len(publisher.frames)


def frames_of(name: str) -> list[tuple[int, int, bytes]]:
    """(sequence, publish time, payload) of every frame in a ring."""
    with Reader.attach(name, start="oldest") as reader:
        found: list[tuple[int, int, bytes]] = []
        while frames := reader.poll():
            found.extend((frame.sequence, frame.publish_time_ns, bytes(frame.payload)) for frame in frames)
        return found


def signals_of(market: str, signals: str) -> list[bytes]:
    """What the strategy publishes about a closed ring, byte for byte."""
    with (
        Reader.attach(market, start="oldest") as reader,
        Writer.create(signals, layout_digest=LAYOUT_DIGEST) as writer,
    ):
        driver = Driver(FlashArbitrage(ArbitrageConfig(gross=True)), reader.uuid)
        Runner(driver, reader, writer, clock_ns=lambda: 1).run(lambda: False, until_closed=True)
    return [payload for _, _, payload in frames_of(signals)]


def test_strategy_gives_the_same_bytes_live_from_the_journal_and_in_a_replay(
    tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    live, replayed = new_ring_name(), new_ring_name()
    count = record_market(live, tmp_path)
    said = signals_of(live, new_ring_name())
    assert said

    with JournalReader(tmp_path) as reader:
        stored = [(frame.sequence, frame.publish_time_ns, bytes(frame.payload)) for frame in reader]  # type: ignore[union-attr]
    drafts = drive(FlashArbitrage(ArbitrageConfig(gross=True)), reader.uuid, stored)
    assert [
        build(Domain.SIGNAL, draft.source, draft.records, sequence=number, timestamp_ns=1)
        for number, draft in enumerate(drafts, 1)
    ] == said

    done = lines_of("replay", tmp_path, "--ring", replayed, "--speed", "max")
    assert done[0]["ready"] is True and (done[1]["frames"], done[1]["lost"]) == (count, 0)
    assert signals_of(replayed, new_ring_name()) == said


def test_replay_again_recorded_and_exported_keeps_every_message(
    tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    live, replayed = new_ring_name(), new_ring_name()
    count = record_market(live, tmp_path / "one")
    lines_of("replay", tmp_path / "one", "--ring", replayed, "--speed", "max")
    record(replayed, tmp_path / "two", count)

    originals, copies = list(Store.open(tmp_path / "one")), list(Store.open(tmp_path / "two"))
    assert len(originals) == len(copies) == count
    for original, copy in zip(originals, copies, strict=True):
        assert isinstance(original, Event) and isinstance(copy, Event)
        assert copy.records == original.records
        assert (copy.header.sequence, copy.flags) == (original.sequence, original.flags | Flag.REPLAY)

    for name in ("one", "two"):
        [line] = lines_of("export", tmp_path / name, "--out", tmp_path / name / "tables")
        assert sum(line["rows"].values()) == count and line["refused"] == 0
    for table in (tmp_path / "one" / "tables").iterdir():
        # The copy has its own ring, its own publish times, and one flag more.
        columns = "* exclude (ring, published_ns, sequence, flags)"
        one, two = (
            duckdb.sql(f"select {columns} from '{tmp_path / name / 'tables' / table.name}'").fetchall()
            for name in ("one", "two")
        )
        assert one == two and one


def test_amounts_are_the_same_in_ring_dump_parquet_and_duckdb(tmp_path: Path, new_ring_name: Callable[[], str]) -> None:
    values = [0, 1, (1 << 53) + 1, (1 << 64) - 1, 1 << 128, (1 << 255) - 1, 1 << 255, (1 << 255) + 1, (1 << 256) - 1]
    live, replayed = new_ring_name(), new_ring_name()
    head = (b"p" * 20, b"0" * 20, b"1" * 20, 400, 18, 6, 2)
    with Writer.create(live, layout_digest=LAYOUT_DIGEST) as writer:
        for sequence, value in enumerate(values, 1):
            sync = PoolSync(*head, value, (1 << 256) - 1 - value)
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync], sequence=sequence))
        record(live, tmp_path / "journal", len(values))
    lines_of("replay", tmp_path / "journal", "--ring", replayed, "--speed", "max")

    in_ring = [parse(payload).records[0].reserve0 for _, _, payload in frames_of(replayed)]  # type: ignore[attr-defined]
    assert in_ring == values
    for target in (tmp_path / "journal", replayed):
        assert [int(line["records"][0]["reserve0"]) for line in lines_of("dump", target)] == values
    for form in ("parquet", "csv", "jsonl"):
        lines_of("export", tmp_path / "journal", "--out", tmp_path / "tables", "--format", form)
    file = tmp_path / "tables" / "PoolSync"
    rows = duckdb.sql(f"select sequence, hex(reserve0) from '{file}.parquet' order by sequence").fetchall()
    assert [(sequence, int(digits, 16)) for sequence, digits in rows] == [*enumerate(values, 1)]
    # The text forms hold every digit, too.
    with Path(f"{file}.csv").open() as lines:
        assert [int(row["reserve0"]) for row in csv.DictReader(lines)] == values
    with Path(f"{file}.jsonl").open() as lines:
        assert [int(json.loads(line)["reserve0"]) for line in lines] == values


def random_journal(ring: str, journal: Path, count: int) -> None:
    """A journal of random messages, a hundredth of a second apart in the middle."""
    rng = random.Random(5)
    with Writer.create(ring, layout_digest=LAYOUT_DIGEST) as writer:
        for number in range(count):
            if number == count // 2:
                time.sleep(0.4)
            writer.publish(random_message(rng))
        record(ring, journal, count)


def test_replay_at_recorded_speed_takes_as_long_and_at_four_times_a_quarter(
    tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    random_journal(new_ring_name(), tmp_path, 100)
    for speed, least_ns in (("1", 390_000_000), ("4", 97_000_000)):
        # Lower bounds only: a loaded machine is late, never early.  Late before the pause, it makes the pause shorter,
        # so it has three attempts; a playback that does not pause fails them all.
        assert any(pause_ns(tmp_path, new_ring_name(), speed) >= least_ns for _ in range(3))


def pause_ns(journal: Path, ring: str, speed: str) -> int:
    """How long a replay of `random_journal` paused in its middle."""
    lines_of("replay", journal, "--ring", ring, "--speed", speed)
    times = [published for _, published, _ in frames_of(ring)]
    assert len(times) == 100
    return times[50] - times[49]


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        (["--from", "10", "--to", "20"], range(10, 21)),
        (["--to", "5"], range(1, 6)),
        (["--from", "98"], range(98, 101)),
        (["--from", "1000"], range(0)),
    ],
)
def test_replay_of_a_part_publishes_exactly_that(
    tmp_path: Path, new_ring_name: Callable[[], str], place: list[str], kept: range
) -> None:
    random_journal(new_ring_name(), tmp_path, 100)
    originals = {
        event.sequence: event.records for event in Store.open(tmp_path, canonical=False) if isinstance(event, Event)
    }
    ring = new_ring_name()
    lines_of("replay", tmp_path, "--ring", ring, "--speed", "max", *place)
    assert [parse(payload).records for _, _, payload in frames_of(ring)] == [originals[number] for number in kept]


def test_replay_of_blocks_or_times_includes_both_ends(tmp_path: Path, new_ring_name: Callable[[], str]) -> None:
    count = record_market(new_ring_name(), tmp_path)
    events = [event for event in Store.open(tmp_path) if isinstance(event, Event)]
    numbers = [event.origin.block_number if event.origin else 0 for event in events]
    low, high = 13522180, 13522200
    ring = new_ring_name()
    lines_of("replay", tmp_path, "--ring", ring, "--speed", "max", "--from", f"block:{low}", "--to", f"block:{high}")
    copies = [parse(payload) for _, _, payload in frames_of(ring)]
    mentioned = [copy.header.sequence for copy in copies]
    assert mentioned == list(range(mentioned[0], mentioned[-1] + 1)) and 0 < len(mentioned) < count
    inside = [event.sequence for event, number in zip(events, numbers, strict=True) if low <= number <= high]
    assert inside and set(inside) <= set(mentioned)
    outside = [event.sequence for event, number in zip(events, numbers, strict=True) if number > high]
    assert not set(outside) & set(mentioned)

    ring = new_ring_name()
    lines_of("replay", tmp_path, "--ring", ring, "--from", "time:2000-01-01T00:00Z", "--to", "time:2001-01-01T00:00Z")
    assert frames_of(ring) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_replay_interrupted_closes_the_ring_and_says_how_far_it_came(
    tmp_path: Path, new_ring_name: Callable[[], str], number: signal.Signals
) -> None:
    random_journal(new_ring_name(), tmp_path, 100)
    ring = new_ring_name()
    arguments = [*COMMAND, "replay", str(tmp_path), "--ring", ring, "--speed", "0.01", "--json"]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(60.0, process.kill)
    killer.start()
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ready"] is True
    time.sleep(0.2)
    os.kill(process.pid, number)
    out, errors = process.communicate(timeout=60)
    killer.cancel()
    line = json.loads(out)
    assert (process.returncode, errors, line["interrupted"]) == (0, "", True)
    assert line["frames"] == len(frames_of(ring)) < 100
    with Reader.attach(ring) as reader:
        assert reader.poll().status.name == "CLOSED"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["replay", "nowhere", "--ring", "r.x"], 2, "nowhere is no journal"),
        (["replay", "{journal}", "--ring", "no ring"], 2, "ring"),
        (["replay", "{journal}", "--ring", "r.x", "--speed", "fast"], 2, "'fast': expected a number above 0, or max"),
        (["replay", "{journal}", "--ring", "r.x", "--from", "yesterday"], 2, "'yesterday'"),
        (["replay", "{journal}", "--ring", "r.x", "--to", "time:2021-04-20"], 2, "expected a time zone"),
        (["replay", "{journal}", "--ring", "r.x", "--to", "hash:0"], 2, "sequence, block:N, time:ISO or latest"),
        (["export", "nowhere", "--out", "x"], 2, "nowhere is no journal"),
        (["export", "{journal}", "--out", "{journal}/journal.lock"], 2, "expected a directory, found a file"),
        (["export", "{journal}", "--out", "x", "--types", "Swap"], 2, "type 'Swap': expected one of"),
        (
            ["export", "{journal}", "--out", "x", "--pool", "0x1"],
            2,
            "expected 20 or 32 bytes, 0x and 40 or 64 hex digits",
        ),
    ],
)
def test_command_line_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, ring_name: str, arguments: list[str], code: int, complaint: str
) -> None:
    random_journal(ring_name, tmp_path, 2)
    done = run_forked(*(argument.replace("{journal}", str(tmp_path)) for argument in arguments))
    assert done.returncode == code
    assert complaint in done.stderr and "Traceback" not in done.stderr
    assert not (ROOT / "x").exists()
