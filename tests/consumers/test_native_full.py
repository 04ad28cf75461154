"""The signal ring of a native strategy, and handlers that do not say where their message ends (rows 51 and 56)."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from consumers.native import NativeRunner
from consumers.price_moves import PRICE_MOVE_SIZE, PRICE_MOVE_TYPE, new_state, note_price_move
from ringbuf import Full, Reader, RingClosed, RingFull, Writer
from tests.consumers.relay_rig import address
from tlv.buffers import Bytes
from tlv.codes import Domain, Protocol, Source
from tlv.errors import UsageError
from tlv.jit import kernel
from tlv.kernels import put_tlv
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, EventOrigin, PoolSync
from tlv.message import build, parse

CAPACITY = 1 << 16
SIGNALS = 3000
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
def strategy(new_ring_name: Callable[[], str], handler: Any = note_price_move, **options: Any) -> Iterator[Any]:
    """A native strategy with a market ring and a signal ring of `CAPACITY`."""
    with (
        Writer.create(new_ring_name(), capacity=1 << 22, layout_digest=LAYOUT_DIGEST) as market,
        Writer.create(new_ring_name(), capacity=CAPACITY, layout_digest=LAYOUT_DIGEST, **options) as signals,
        Reader.attach(market.name, start="oldest") as reader,
    ):
        yield market, signals, NativeRunner(handler, new_state(threshold_pips=1), reader, signals)


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


@pytest.mark.parametrize("fate", ["killed", "stopped", "slow"])
def test_native_runner_whose_signals_a_reliable_consumer_holds_up_refuses_none(
    new_ring_name: Callable[[], str], fate: str, tell: Callable[[str], None]
) -> None:
    with ExitStack() as stack:
        market, signals, runner = stack.enter_context(strategy(new_ring_name, full_timeout_s=BOUND_S))
        process = stack.enter_context(consumer(signals.name, 1 if fate == "slow" else 256))
        move_prices(market, runner, 10)
        if fate != "slow":
            process.send_signal(signal.SIGKILL if fate == "killed" else signal.SIGSTOP)
        if fate == "killed":
            process.wait()
        longest = move_prices(market, runner, SIGNALS)
        count = runner.tally[0]
        assert (count["refused"], count["published"]) == (0, 10 + SIGNALS - 1) and count["frames"] == 10 + SIGNALS
        assert signals.next_sequence == count["published"] + 1 == signals.publish(b"as by Python")
    tell(f"row 51: consumer {fate}: {SIGNALS} signals, 0 refused, the longest wait {longest:.3f} s (bound {BOUND_S} s)")


@pytest.mark.parametrize("policy", [Full.DROP_NEW, Full.RAISE])
def test_native_runner_with_another_policy_counts_and_tells_what_is_refused(
    new_ring_name: Callable[[], str], policy: Full, caplog: pytest.LogCaptureFixture
) -> None:
    with strategy(new_ring_name, full=policy, full_timeout_s=0.0) as (market, signals, runner):
        with Reader.attach(signals.name, reliable=True), caplog.at_level(logging.WARNING, "alphapulse.native"):
            raised = 0
            for _ in range(1000):
                try:
                    move_prices(market, runner, 1)
                except RingFull:
                    raised += 1
            count = runner.tally[0]
            assert count["refused"] > 100 and count["refused"] + count["published"] == 999
            assert raised == (count["refused"] if policy is Full.RAISE else 0)
            market.close()
            runner.run(lambda: False, until_closed=True)
        assert f"ring {signals.name} refused {count['refused']} signals" in caplog.messages[-1]


def test_native_runner_whose_signal_ring_is_closed_ends(new_ring_name: Callable[[], str]) -> None:
    with strategy(new_ring_name) as (market, signals, runner):
        signals.close()
        with pytest.raises(RingClosed):
            move_prices(market, runner, 2)


@kernel
def end_where_told(state: Bytes, payload: Bytes, start: int, end: int, lost: int, message: Bytes) -> int:
    """Handler: one record, and the end that stands in the frame."""
    value = put_tlv(message, HEADER_SIZE, PRICE_MOVE_TYPE, PRICE_MOVE_SIZE)
    message[value : value + PRICE_MOVE_SIZE] = 7
    found: int = payload[start:end].view(np.int64)[0]
    return found


def test_native_runner_publishes_nothing_of_a_handler_that_returns_a_wrong_end(
    new_ring_name: Callable[[], str],
) -> None:
    right = HEADER_SIZE + 2 + PRICE_MOVE_SIZE
    wrong = [-1, 1, HEADER_SIZE, right - 1, right + 1, right + 64, 1 << 16, (1 << 16) + 1, 1 << 40, 1 << 62, -(1 << 63)]
    with strategy(new_ring_name, end_where_told) as (market, signals, runner):
        for end in [right, *wrong, 0, right]:
            market.publish(int(end).to_bytes(8, "little", signed=True))
            runner.step(0)
        count = runner.tally[0]
        assert (count["published"], count["malformed"], count["refused"]) == (2, len(wrong), 0)
        with Reader.attach(signals.name, start="oldest") as reader:
            for frame in reader.poll():
                assert len(frame.payload) == right and parse(frame.payload).header.sequence == frame.sequence


def test_native_runner_of_another_handler_or_state_is_refused_by_name(new_ring_name: Callable[[], str]) -> None:
    read_only = new_state(1)
    read_only.flags.writeable = False
    with strategy(new_ring_name) as (market, signals, _), Reader.attach(market.name) as reader:
        for state in (b"", np.zeros((2, 2)), np.zeros(8)[::2], read_only, np.array([None])):
            with pytest.raises(UsageError, match=r"^state: expected"):
                NativeRunner(note_price_move, state, reader, signals)  # type: ignore[arg-type]
        for handler in (None, print, 7):
            with pytest.raises(UsageError, match=r"^handler: expected a kernel"):
                NativeRunner(handler, new_state(1), reader, signals)  # type: ignore[arg-type]
        for source in (-1, 256, "x", None, True):
            with pytest.raises(UsageError, match=r"^source: expected an integer from 0 to 255"):
                NativeRunner(note_price_move, new_state(1), reader, signals, source)  # type: ignore[arg-type]


def test_native_runner_until_closed_goes_on_while_the_ring_is_quiet(new_ring_name: Callable[[], str]) -> None:
    with strategy(new_ring_name) as (market, _, runner):
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
        assert runner.tally[0]["published"] > 0
