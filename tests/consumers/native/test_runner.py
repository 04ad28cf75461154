"""A native strategy between real rings: it says what Python says, loses nothing silently, and waits as writers do (row
51)."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.examples.native_mover import MoverParams, NativeMover, PriceMove
from consumers.journal import JournalReader
from consumers.native import NativeDrafts, NativeFrame, NativeRunner, NativeStrategy, add
from consumers.native import signal as begin_signal
from consumers.order_hash import OrderHash
from consumers.runner import StrategyCounts
from consumers.strategy import Driver, StrategyStopped
from ringbuf import Full, Reader, RingClosed, RingFull, SharedCounters, Status, Writer
from ringbuf.counters import read_counters
from tests.consumers.journal_frames import append, open_writer
from tests.consumers.native.market import PythonMover, read_all
from tests.consumers.recorded_market import Publisher, canonical_events, canonical_frames
from tests.consumers.relay_rig import address
from tlv.codes import Domain, Flag, Protocol, Source
from tlv.jit import kernel
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, EventOrigin, PoolSync
from tlv.message import build, parse

CAPACITY = 1 << 16
SIGNALS = 2000
"""Several times what the signal ring holds."""
BOUND_S = 0.1
CONSUMER = """
import sys, time
from ringbuf import Reader
with Reader.attach(sys.argv[1], reliable=True) as reader:
    print("ready", flush=True)
    while True:
        reader.poll(int(sys.argv[2]))
        time.sleep(0.001)
"""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def mover(threshold_pips: int) -> NativeMover:
    """The example with a threshold."""
    return NativeMover(MoverParams(threshold_pips=threshold_pips))


@contextmanager
def consumer(ring: str, frames_per_poll: int) -> Iterator[subprocess.Popen[str]]:
    """A process that reads a ring reliably."""
    arguments = [sys.executable, "-c", CONSUMER, ring, str(frames_per_poll)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.send_signal(signal.SIGCONT)
        process.kill()


@contextmanager
def running(
    new_ring_name: Callable[[], str],
    strategy: NativeStrategy | None = None,
    market_bytes: int = 1 << 22,
    **options: Any,
) -> Iterator[tuple[Writer, Writer, NativeRunner]]:
    """A native strategy with a market ring and a signal ring of `CAPACITY`."""
    with (
        Writer.create(new_ring_name(), capacity=market_bytes, layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(new_ring_name(), capacity=CAPACITY, layout_digest=LAYOUT_DIGEST, **options) as signals,
        Reader.attach(market.name, start="oldest") as reader,
    ):
        runner = NativeRunner(strategy or mover(1), reader, signals)
        yield market, signals, runner
        runner.close()


def publish_recording(market: Writer) -> None:
    """The canonical frames; their sequences are those of the ring."""
    for sequence, _, data in canonical_frames():
        assert market.publish(data) == sequence


def in_python(threshold_pips: int, ring: bytes) -> list[bytes]:
    """The payloads behind the header that `PythonMover` publishes on the recording in `ring`."""
    driver = Driver(PythonMover(MoverParams(threshold_pips)), ring)
    drafts = [draft for frame in canonical_frames() for draft in driver.deliver(*frame)]
    return [build(draft.domain, draft.source, draft.records)[HEADER_SIZE:] for draft in drafts]


def hash_of(messages: list[bytes]) -> str:
    """Their order hash."""
    found = OrderHash()
    for message in messages:
        found.add(message)
    return found.hexdigest()


def move_prices(market: Writer, runner: NativeRunner, times: int) -> float:
    """Publish a Sync with another price `times` times; the longest step in seconds."""
    longest = 0.0
    head = (address(1), address(2), address(3), 400, 18, 6, Protocol.UNISWAP_V2)
    origin = EventOrigin(1, 1, 1, 0, 0, bytes(32), bytes(32))
    for _ in range(times):
        sequence = market.next_sequence
        sync = PoolSync(*head, 10**18 + sequence % 50 * 10**16, 10**12)
        market.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin], sequence=sequence))
        began = time.monotonic()
        runner.step(0)
        longest = max(longest, time.monotonic() - began)
    return longest


def test_native_runner_recording_says_what_python_says(new_ring_name: Callable[[], str]) -> None:
    with running(new_ring_name, mover(10_000)) as (market, signals, runner):
        worker = threading.Thread(target=runner.run, args=(never,), kwargs={"until_closed": True})
        worker.start()
        publish_recording(market)
        market.close()
        worker.join(timeout=30)
        assert not worker.is_alive()
        found = read_all(signals.name)
        expected = in_python(10_000, market.uuid)
        assert [data[HEADER_SIZE:] for data in found] == expected and len(expected) > 10
        assert [parse(data).header.sequence for data in found] == list(range(1, len(found) + 1))
        assert runner.order_hash.hexdigest() == hash_of(found) and runner.order_hash.messages == len(found)
        assert runner.counts.frames == len(canonical_frames())
        assert runner.counts.ring_to_signal.count == len(expected) and runner.counts.ring_to_signal.percentile(0) > 0


def test_native_runner_of_a_journal_says_the_same_as_on_the_ring(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    frames = canonical_frames()
    with open_writer(tmp_path / "journal") as writer:
        append(writer, [data for _, _, data in frames], frames[0][0])
    with (
        Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as signals,
        JournalReader(tmp_path / "journal") as reader,
    ):
        runner = NativeRunner(mover(10_000), reader, signals)
        runner.run(never, follow=False)
        found = read_all(signals.name)
        assert [data[HEADER_SIZE:] for data in found] == in_python(10_000, reader.uuid)
        assert [parse(data).header.sequence for data in found] == list(range(1, len(found) + 1))
        assert runner.order_hash.hexdigest() == hash_of(found)
        assert (runner.counts.late_signals, runner.counts.ring_to_signal.count) == (len(found), 0)


def test_native_runner_shows_its_counts_and_no_latency_of_frames_from_before_it(
    new_ring_name: Callable[[], str],
) -> None:
    with (
        Writer.create(new_ring_name(), capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(new_ring_name(), capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as signals,
        Reader.attach(market.name, start="oldest") as reader,
        closing(SharedCounters.create(StrategyCounts, signals.name, "strategy")) as shared,
    ):

        def counted() -> StrategyCounts:
            record = read_counters(shared.object_name).as_record(StrategyCounts)
            assert isinstance(record, StrategyCounts)
            return record

        publish_recording(market)
        runner = NativeRunner(mover(10_000), reader, signals, shared=shared)
        while runner.counts.frames < len(canonical_frames()):
            runner.step()
        runner.run(iter([False, True]).__next__)
        shown = counted()
        assert shown.frames == len(canonical_frames())
        assert shown.signals == shown.late_signals == len(in_python(10_000, market.uuid))
        assert shown.ring_to_signal.count == 0
        for _, _, data in canonical_frames():
            market.publish(data)
        while runner.counts.frames < 2 * len(canonical_frames()):
            runner.step()
        assert counted().ring_to_signal.count > 0


def test_native_runner_removed_and_backfilled_events_are_passed_over(new_ring_name: Callable[[], str]) -> None:
    publisher = Publisher()
    for event in (event for event in canonical_events() if isinstance(event[0], PoolSync)):
        publisher.event(event, Flag.REMOVED)
        publisher.event(event, Flag.BACKFILL)
    with running(new_ring_name, mover(0)) as (market, _, runner):
        for _, _, data in publisher.frames:
            market.publish(data)
        market.publish(b"")
        market.publish(b"no message at all")
        while runner.step() is Status.OK:
            pass
        counts = runner.counts
        assert (counts.frames, counts.signals, counts.poisoned) == (len(publisher.frames) + 2, 0, 2)
        assert [poison.payload for poison in runner.driver.poison] == [b"", b"no message at all"]


def test_native_runner_signal_ring_that_takes_nothing_is_counted(new_ring_name: Callable[[], str]) -> None:
    with running(new_ring_name, mover(10_000)) as (market, signals, _):
        publish_recording(market)
        market.close()
        signals.close()
        with Reader.attach(market.name, start="oldest") as reader, Writer.open(signals.name) as closed:
            runner = NativeRunner(mover(10_000), reader, closed)
            closed.state[0]["max_payload"] = 0
            while runner.step() is Status.OK:
                pass
        expected = len(in_python(10_000, market.uuid))
        assert (runner.counts.refused_signals, runner.counts.signals) == (expected, 0)
        assert (runner.counts.frames, runner.order_hash.messages) == (len(canonical_frames()), 0)


def test_native_runner_ring_replaced_goes_on_with_the_next_one(new_ring_name: Callable[[], str]) -> None:
    frames = [data for _, _, data in canonical_frames()[:4]]
    with running(new_ring_name, mover(0)) as (market, _, runner):
        market.publish(frames[0])
        market.close(unlink=True)
        with Writer.create(market.name, layout_digest=LAYOUT_DIGEST) as second:
            for data in frames[1:]:
                second.publish(data)
            runner.run(lambda: runner.counts.frames == 4)
            assert runner.driver.ring == second.uuid


def test_native_runner_lapped_reader_forgets_what_it_knew(new_ring_name: Callable[[], str]) -> None:
    strategy = mover(0)
    with running(new_ring_name, strategy, market_bytes=1 << 16) as (market, _, runner):
        publish_recording(market)
        strategy.memory[0]["prices"][:] = 1.0
        runner.step(slice_ns=0)
        while runner.step(slice_ns=0) is not Status.EMPTY:
            pass
        tally = runner.tally[0]
        assert tally["lost"] > 0 and tally["lost_unreported"] == 0
        assert tally["lost"] + tally["frames"] == len(canonical_frames())
        assert (strategy.memory[0]["prices"] == 0.0).sum() > 4_000


@pytest.mark.parametrize("fate", ["killed", "stopped", "slow"])
def test_native_runner_whose_signals_a_reliable_consumer_holds_up_refuses_none(
    new_ring_name: Callable[[], str], fate: str, tell: Callable[[str], None]
) -> None:
    with ExitStack() as stack:
        market, signals, runner = stack.enter_context(running(new_ring_name, full_timeout_s=BOUND_S))
        process = stack.enter_context(consumer(signals.name, 1 if fate == "slow" else 256))
        move_prices(market, runner, 10)
        if fate != "slow":
            process.send_signal(signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
        if fate == "killed":
            process.wait()
        longest = move_prices(market, runner, SIGNALS)
        counts = runner.counts
        assert (counts.refused_signals, counts.signals) == (0, 10 + SIGNALS - 1) and counts.frames == 10 + SIGNALS
        assert runner.order_hash.messages == counts.signals
        assert signals.next_sequence == counts.signals + 1 == signals.publish(b"as by Python")
    tell(f"row 51: consumer {fate}: {SIGNALS} signals, 0 refused, the longest wait {longest:.3f} s (bound {BOUND_S} s)")


@pytest.mark.parametrize("policy", [Full.DROP_NEW, Full.RAISE])
def test_native_runner_with_another_policy_counts_and_tells_what_is_refused(
    new_ring_name: Callable[[], str], policy: Full, caplog: pytest.LogCaptureFixture
) -> None:
    with running(new_ring_name, full=policy, full_timeout_s=0.0) as (market, signals, runner):
        with Reader.attach(signals.name, reliable=True), caplog.at_level(logging.WARNING, "alphapulse.native"):
            raised = 0
            for _ in range(1000):
                try:
                    move_prices(market, runner, 1)
                except RingFull:
                    raised += 1
            counts = runner.counts
            assert counts.refused_signals > 100 and counts.refused_signals + counts.signals == 999
            assert raised == (counts.refused_signals if policy is Full.RAISE else 0)
            market.close()
            runner.run(never, until_closed=True)
        assert f"ring {signals.name} refused {counts.refused_signals} signals" in caplog.messages[-1]


def test_native_runner_whose_signal_ring_is_closed_ends(new_ring_name: Callable[[], str]) -> None:
    with running(new_ring_name) as (market, signals, runner):
        signals.close()
        with pytest.raises(RingClosed):
            move_prices(market, runner, 2)


class Echo(NativeStrategy):
    """Says twice of each frame how many there were; of the seventh it says a record too many."""

    name = "echo"
    state = np.dtype([("seen", "<i8"), ("fail_from", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805
        state["seen"] += 1
        for _ in range(2):
            begin_signal(drafts, frame, 0)
            add(drafts, PriceMove)["move_pips"] = state["seen"]
        if state["seen"] >= state["fail_from"]:
            add(drafts, PoolSync)


def test_native_runner_frames_with_wrong_messages_are_poison_and_too_many_stop_it(
    new_ring_name: Callable[[], str],
) -> None:
    strategy = Echo()
    strategy.memory[0]["fail_from"] = 7
    with running(new_ring_name, strategy) as (market, signals, runner):
        for _, _, data in canonical_frames()[:20]:
            market.publish(data)
        with pytest.raises(StrategyStopped, match="strategy echo: 10 poison frames"):
            while runner.step() is Status.OK:
                pass
        assert (runner.counts.signals, runner.counts.poisoned, runner.counts.frames) == (12, 10, 16)
        assert "a record that its domain does not carry" in runner.driver.poison[-1].reason
        assert [parse(data).records[1] for data in read_all(signals.name)] == [
            PriceMove(seen, bytes(20)) for seen in range(1, 7) for _ in range(2)
        ]


def test_native_runner_that_shares_its_thread_does_not_watch_an_empty_ring(new_ring_name: Callable[[], str]) -> None:
    with running(new_ring_name) as (_, _, runner):
        assert runner.step(slice_ns=1 << 62, spin_ns=0) is Status.EMPTY  # else for ever


def test_native_runner_several_frames_in_a_slice_are_all_delivered_without_watching(
    new_ring_name: Callable[[], str],
) -> None:
    with running(new_ring_name) as (market, _, runner):
        publish_recording(market)
        while (status := runner.step(slice_ns=1 << 62, spin_ns=0)) is Status.OK:
            pass
        assert (status, runner.counts.frames) == (Status.EMPTY, len(canonical_frames()))


def test_native_runner_until_closed_goes_on_while_the_ring_is_quiet(new_ring_name: Callable[[], str]) -> None:
    with running(new_ring_name) as (market, _, runner):
        looks = 0

        def publish_late() -> bool:
            nonlocal looks
            looks += 1
            if looks == 3:
                move_prices(market, runner, 5)
            if looks == 5:
                market.close()
            return looks == 50

        runner.run(publish_late, until_closed=True)
        assert 5 <= looks < 50
        assert runner.counts.signals > 0
