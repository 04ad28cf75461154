"""A strategy between two real rings: the same words as in a replay, gaps, poison, closing; and the native loop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.signal import verify_signal
from consumers.journal import JournalReader
from consumers.runner import Runner, StrategyCounts
from consumers.strategy import Driver, Strategy, StrategyStopped
from ringbuf import Reader, SharedCounters, Writer
from ringbuf.counters import read_counters
from tests.consumers.journal_frames import append, open_writer
from tests.consumers.recorded_market import canonical_frames
from tlv.codes import Domain
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord
from tlv.message import build, parse

ROOT = Path(__file__).parents[2]
NOW = 1_618_949_000_123_456_789

MESSAGES = 60
"""What the strategy publishes on the recording: 47 signals and 13 withdrawals."""


def frozen_clock() -> int:
    """The wall clock of these tests."""
    return NOW


def never() -> bool:
    """Nobody asks to stop."""
    return False


@contextmanager
def rings(new_ring_name: Callable[[], str], capacity: int = 1 << 22) -> Iterator[tuple[Writer, Writer]]:
    """A market ring and a signal ring."""
    with ExitStack() as stack:
        yield tuple(  # type: ignore[misc]
            stack.enter_context(Writer.create(new_ring_name(), capacity=capacity, layout_digest=LAYOUT_DIGEST))
            for _ in range(2)
        )


def publish_recording(market: Writer) -> None:
    """The canonical frames; their sequences are those of the ring."""
    for sequence, _, data in canonical_frames():
        assert market.publish(data) == sequence


def read_all(name: str) -> list[bytes]:
    """Every payload in a ring."""
    with Reader.attach(name, start="oldest") as reader:
        found: list[bytes] = []
        while frames := reader.poll():
            found.extend(bytes(frame.payload) for frame in frames)
        return found


def test_runner_live_ring_says_the_same_bytes_as_a_replay(new_ring_name: Callable[[], str]) -> None:
    with rings(new_ring_name) as (market, signals):
        with Reader.attach(market.name, start="oldest") as reader:
            runner = Runner(
                Driver(FlashArbitrage(ArbitrageConfig(gross=True)), market.uuid), reader, signals, clock_ns=frozen_clock
            )
            worker = threading.Thread(target=runner.run, args=(never,), kwargs={"until_closed": True})
            worker.start()
            publish_recording(market)
            market.close()
            worker.join(timeout=30)
            assert not worker.is_alive()
        live = read_all(signals.name)
        replay = Driver(FlashArbitrage(ArbitrageConfig(gross=True)), market.uuid)
        drafts = [draft for frame in canonical_frames() for draft in replay.deliver(*frame)]

        assert live == [
            build(Domain.SIGNAL, draft.source, draft.records, sequence=sequence, timestamp_ns=NOW)
            for sequence, draft in enumerate(drafts, start=1)
        ]
        assert len(live) == runner.counts.signals == runner.counts.ring_to_signal.count == len(drafts)
        assert runner.driver.frames == len(canonical_frames())
        assert len(live) > 2 and not any(verify_signal(parse(data)) for data in live)
        print(f"live == replay: {len(live)} signals, {sum(map(len, live))} bytes")


def test_runner_frames_from_before_it_have_no_latency(new_ring_name: Callable[[], str]) -> None:
    with rings(new_ring_name) as (market, signals):
        publish_recording(market)
        market.close()
        with Reader.attach(market.name, start="oldest") as reader:
            runner = Runner(Driver(FlashArbitrage(), market.uuid), reader, signals)
            runner.run(never, until_closed=True)
        assert (runner.counts.signals, runner.counts.late_signals, runner.counts.ring_to_signal.count) == (
            MESSAGES,
            MESSAGES,
            0,
        )


def test_runner_frames_of_a_journal_have_no_latency(new_ring_name: Callable[[], str], tmp_path: Path) -> None:
    frames = canonical_frames()
    with open_writer(tmp_path / "journal") as writer:
        append(writer, [data for _, _, data in frames], frames[0][0])
    with rings(new_ring_name) as (_, signals), JournalReader(tmp_path / "journal") as reader:
        runner = Runner(Driver(FlashArbitrage(), bytes(16)), reader, signals)
        runner.run(never, follow=False)
    assert (runner.counts.signals, runner.counts.late_signals, runner.counts.ring_to_signal.count) == (
        MESSAGES,
        MESSAGES,
        0,
    )


def counted(shared: SharedCounters) -> StrategyCounts:
    """What anybody reads of it."""
    record = read_counters(shared.object_name).as_record(StrategyCounts)
    assert isinstance(record, StrategyCounts)
    return record


def test_runner_shows_its_counts_while_it_runs(new_ring_name: Callable[[], str]) -> None:
    with (
        rings(new_ring_name) as (market, signals),
        Reader.attach(market.name, start="oldest") as reader,
        closing(SharedCounters.create(StrategyCounts, signals.name, "strategy")) as shared,
    ):
        runner = Runner(Driver(FlashArbitrage(), market.uuid), reader, signals, shared=shared)
        publish_recording(market)
        while runner.counts.signals < MESSAGES:
            runner.step()
        assert counted(shared).ring_to_signal.count == MESSAGES, "at once"
        runner.run(iter([False, True]).__next__)
        shown = counted(shared)
        assert (shown.signals, shown.late_signals, shown.lost, shown.poisoned) == (MESSAGES, 0, 0, 0)
        assert 0 < shown.frames <= len(canonical_frames())


def test_runner_lapped_reader_tells_the_strategy_and_goes_on(new_ring_name: Callable[[], str]) -> None:
    with rings(new_ring_name, capacity=1 << 16) as (market, signals):
        with Reader.attach(market.name, start="oldest") as reader:
            publish_recording(market)
            market.close()
            runner = Runner(Driver(FlashArbitrage(), market.uuid), reader, signals)
            runner.run(never, until_closed=True)
        driver = runner.driver
        assert driver.lost > 0
        assert driver.lost + driver.frames == len(canonical_frames())


class Fragile(Strategy):
    """Raises on every event."""

    name = "fragile"

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        raise KeyError("fragile")


def test_runner_strategy_that_keeps_raising_is_stopped(new_ring_name: Callable[[], str]) -> None:
    with rings(new_ring_name) as (market, signals):
        publish_recording(market)
        market.close()
        with (
            Reader.attach(market.name, start="oldest") as reader,
            pytest.raises(StrategyStopped, match="strategy fragile: 10 poison frames"),
        ):
            Runner(Driver(Fragile(), market.uuid), reader, signals).run(never, until_closed=True)


def test_runner_asked_to_stop_stops(new_ring_name: Callable[[], str]) -> None:
    answers = iter([False, False, True])
    with rings(new_ring_name) as (market, signals), Reader.attach(market.name) as reader:
        Runner(Driver(FlashArbitrage(), market.uuid), reader, signals).run(lambda: next(answers))
    assert next(answers, None) is None


def test_runner_ring_replaced_goes_on_with_the_next_one(new_ring_name: Callable[[], str]) -> None:
    with rings(new_ring_name) as (market, signals), Reader.attach(market.name, start="oldest") as reader:
        runner = Runner(Driver(FlashArbitrage(), market.uuid), reader, signals)
        market.publish(b"old")
        market.close(unlink=True)
        with Writer.create(market.name, layout_digest=LAYOUT_DIGEST) as second:
            for _ in range(3):
                second.publish(b"new")
            runner.run(lambda: runner.driver.frames == 4)
            assert runner.driver.ring == second.uuid
            assert runner.driver.lost == 0
        runner.close()


def test_strategy_counts_without_a_signal_have_no_latency() -> None:
    counts = StrategyCounts()
    counts.ring_to_signal.add(31)
    assert counts.latencies() == {
        "ring_to_signal": {"samples": 1, "p50": 31, "p99": 31, "max": 31},
        "receive_to_signal": None,
    }


def start_command(arguments: list[str]) -> subprocess.Popen[str]:
    """`alphapulse strategy` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.strategy", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_command_whole_recording_leaves_signals_and_statistics(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    signals, stats = new_ring_name(), tmp_path / "stats.json"
    with Writer.create(new_ring_name(), capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as market:
        process = start_command(
            ["--ring", market.name, "--signals", signals, "--until-closed", "--stats-json", str(stats), "--json"]
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"ready": True, "ring": market.name, "signals": signals}
        publish_recording(market)
        market.close()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    statistics = json.loads(out)
    assert statistics == json.loads(stats.read_text())
    expected = {"signals": MESSAGES, "frames": len(canonical_frames()), "lost": 0, "poisoned": 0, "gross_positive": 48}
    assert expected.items() <= statistics.items()
    assert statistics["signals_by_verdict"] == {"exact": 14, "within_segment": 0, "speculative": 33}
    assert statistics["latency_ns"]["ring_to_signal"]["samples"] == MESSAGES
    assert len(read_all(signals)) == MESSAGES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_signal_ends_it_cleanly(new_ring_name: Callable[[], str], number: signal.Signals) -> None:
    with Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as market:
        process = start_command(["--ring", market.name, "--signals", new_ring_name()])
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"reading {market.name}")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        assert out.startswith("0 signals from 0 frames")


def test_command_ring_that_comes_late_is_waited_for(new_ring_name: Callable[[], str]) -> None:
    name = new_ring_name()
    process = start_command(["--ring", name, "--signals", new_ring_name(), "--wait-for-ring", "60", "--until-closed"])
    time.sleep(0.3)
    with Writer.create(name, layout_digest=LAYOUT_DIGEST):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"reading {name}")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("config", "code", "complaint"),
    [
        (None, 1, "error: .*no.such.ring"),
        ("[arbitrage]\nmin_net = 1\n", 2, "unknown field `min_net`"),
        ("[arbitrage", 2, "error: .*config.toml"),
    ],
)
def test_command_mistake_is_one_line(
    new_ring_name: Callable[[], str], tmp_path: Path, config: str | None, code: int, complaint: str
) -> None:
    arguments = ["--ring", "no.such.ring", "--wait-for-ring", "0", "--signals", new_ring_name()]
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
        arguments += ["--arbitrage", str(tmp_path / "config.toml")]
    process = start_command(arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert len(err.splitlines()) == 1
    assert re.search(complaint, err)
