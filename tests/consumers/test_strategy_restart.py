"""A strategy killed at any instruction and started again: what its ring, or its journal, holds is published once."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumers.examples.native_mover import NativeMover
from consumers.held_ids import HeldMessages
from consumers.host import open_runner, run_strategy
from consumers.journal import JournalError
from consumers.native.strategy import NativeStrategy
from consumers.recorder import Recorder
from consumers.strategy import Strategy
from ringbuf import Reader, Writer, list_rings
from tests.consumers.recorded_market import canonical_frames
from tlv.errors import UsageError
from tlv.layout import (
    HEADER_SIZE,
    LAYOUT_DIGEST,
    EventOrigin,
    OrderLeg,
    PoolRecord,
    PoolSync,
    SignalWithdrawn,
)

KILLS = 12
LEG = OrderLeg(b"p" * 20, b"0" * 20, b"1" * 20, 1)


class Talkative(Strategy):
    """A signal, a withdrawal of it and an order on every Sync, slowly."""

    name = "talkative"
    wants = frozenset({PoolSync})
    pause_s = 0.0

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        number = self.emit(receive_time_ns=origin.receive_time_ns)
        self.emit(SignalWithdrawn(number, number, origin.block_number, bytes(32), 1))
        self.order([LEG], 10**18, block_number=origin.block_number, expires_block=origin.block_number + 2)
        time.sleep(self.pause_s)


class Slow(Talkative):
    """So that a kill finds it at work."""

    pause_s = 0.0005


@pytest.fixture
def market(new_ring_name: Callable[[], str]) -> str:
    """A closed ring with the recording."""
    name = new_ring_name()
    with Writer.create(name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as writer:
        for _, _, data in canonical_frames():
            writer.publish(data)
        writer.close()
    return name


def payloads(ring: str) -> list[bytes]:
    """What stands behind the header of each message in a ring; nothing, if nobody has made it yet."""
    if ring not in list_rings():
        return []
    with Reader.attach(ring, start="oldest") as reader:
        found = []
        while frames := reader.poll():
            found += [bytes(frame.payload[HEADER_SIZE:]) for frame in frames]
    return found


def run_to_the_end(
    strategy: Strategy | NativeStrategy, market: str, signals: str, journal: Path | None = None
) -> tuple[str, int, int]:
    """Run; the order hash, the messages that were published now, and those that were there already."""
    with ExitStack() as stack:
        reader = stack.enter_context(Reader.attach(market, start="oldest", layout_digest=LAYOUT_DIGEST))
        runner = open_runner(stack, strategy, reader, signals, signals_journal=journal)
        runner.run(lambda: False, until_closed=True)
        return runner.order_hash.hexdigest(), runner.counts.signals, runner.counts.again


def run_and_be_killed(market: str, signals: str, after_s: float) -> None:
    """A child runs the strategy and is killed after a while."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            run_strategy(Slow(), ring=market, signals=signals, until_closed=True)
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_strategy_killed_at_any_instruction_publishes_each_message_once(
    market: str, new_ring_name: Callable[[], str]
) -> None:
    whole, killed = new_ring_name(), new_ring_name()
    expected, count, _ = run_to_the_end(Talkative(), market, whole)
    assert count > 300
    moment = random.Random(13)
    for _ in range(KILLS):
        run_and_be_killed(market, killed, moment.uniform(0.01, 0.25))
    while not payloads(killed):  # a machine so busy that no child came to publish
        run_and_be_killed(market, killed, 1.0)
    already = len(payloads(killed))
    found, published, again = run_to_the_end(Talkative(), market, killed)
    assert payloads(killed) == payloads(whole)
    assert (found, published + again, again) == (expected, count, already)


def test_strategy_native_publishes_each_message_once_too(market: str, new_ring_name: Callable[[], str]) -> None:
    signals = new_ring_name()
    first, count, _ = run_to_the_end(NativeMover(), market, signals)
    before = payloads(signals)
    assert count == len(before) > 10
    assert run_to_the_end(NativeMover(), market, signals) == (first, 0, count)
    assert payloads(signals) == before


def test_strategy_its_journal_says_what_its_ring_has_overwritten(
    market: str, new_ring_name: Callable[[], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signals, small = new_ring_name(), new_ring_name()
    expected, count, _ = run_to_the_end(Talkative(), market, signals)
    with Recorder(signals, tmp_path / "journal", report=print) as recorder:
        recorder.run(lambda: False, until_closed=True)
    with Writer.open(signals) as writer:
        writer.close(unlink=True)
    with caplog.at_level(logging.WARNING):
        assert run_to_the_end(Talkative(), market, signals, tmp_path / "journal") == (expected, 0, count)
        assert caplog.text == ""
        with Writer.create(small, capacity=1 << 16, layout_digest=LAYOUT_DIGEST):
            pass
        run_to_the_end(Talkative(), market, small)
        _, published, again = run_to_the_end(Talkative(), market, small)
    assert published + again == count and 0 < again < count
    assert f"ring {small} has overwritten its first" in caplog.text


def test_held_messages_of_another_content_are_told_once_and_not_published(
    market: str, new_ring_name: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    class Changed(Talkative):
        def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
            self.emit()
            self.emit(SignalWithdrawn(1, 1, origin.block_number, bytes(32), 2))

    signals = new_ring_name()
    run_to_the_end(Talkative(), market, signals)
    with caplog.at_level(logging.WARNING):
        _, published, again = run_to_the_end(Changed(), market, signals)
    assert published == 0 and again > 200
    assert caplog.text.count("holds another message under id") == 1


def test_held_messages_of_no_journal_or_of_another_rings(
    market: str, new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    held = HeldMessages("signal.other")
    held.note_journal(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    held.note_journal(tmp_path / "empty")
    assert len(held) == 0
    with Recorder(market, tmp_path / "journal", report=print) as recorder:
        recorder.run(lambda: False, until_closed=True)
    with pytest.raises(UsageError, match=f"expected one of ring signal.other, found one of {market}"):
        held.note_journal(tmp_path / "journal")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("no journal")
    with pytest.raises((UsageError, JournalError)):
        held.note_journal(tmp_path / "foreign")
