"""From the publishing of a frame to that of the signal on it: two processes on cores of their own, at a steady pace.

Every frame gives a signal.  The time is taken behind the publishing of the signal, so both publishings are in it.
Beside it stands a bare reader of the same frames: what of a reading is the ring's, and the machine's.

Flash arbitrage takes a hundred times as long for a frame.  At a steady pace its frames wait for each other as soon as
it shares its core: beside six busy processes their median was 5 to 58 ms.  So each of its frames is published when the
one before is answered, by the same process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.native import NativeRunner
from consumers.runner import Runner
from consumers.strategy import Driver
from ringbuf import Histogram, Reader, Wait, Writer
from tools.bench.paced import STILL_NS, Order, publisher, read_barely
from tools.bench.result import BenchResult
from tools.bench.ring.setting import pinned, ring

CAPACITY = 1 << 22
PACES = (100_000, 1_000)
"""Frames a second: a burst, and a busy chain."""
LEAST = 200
"""Signals of a reading."""
TARGET_US = 1.0


@contextmanager
def publisher_and_signals() -> Iterator[tuple[str, Order, Writer]]:
    """The name of a market ring, what has frames published into it, and a ring of signals."""
    name = f"bench.{os.getpid()}.{secrets.token_hex(4)}"
    Writer.create(f"{name}.market", capacity=CAPACITY).close()
    with Writer.create(f"{name}.signal", capacity=CAPACITY) as signals:
        try:
            with publisher(f"{name}.market") as order:
                yield f"{name}.market", order, signals
        finally:
            signals.close(unlink=True)
            Writer.open(f"{name}.market").close(unlink=True)


def latencies(runner: Runner | NativeRunner, frames: int) -> Histogram:
    """Those of a strategy until it has had so many frames."""

    def done() -> bool:
        return runner.counts.frames + runner.counts.lost >= frames

    runner.run(done)
    runner.close()
    return runner.counts.ring_to_signal


def one_by_one(frames: Sequence[bytes], native_token: bytes) -> Histogram:
    """Latencies of flash arbitrage that has answered each frame before the next one comes."""
    config = ArbitrageConfig(wrapped_native="0x" + native_token.hex())
    with ring() as market, ring() as signals, Reader.attach(market.name) as reader:
        runner = Runner(Driver(FlashArbitrage(config), reader.uuid), reader, signals)
        for frame in frames:
            market.publish(frame)
            runner.turn()
        runner.close()
        return runner.counts.ring_to_signal


def run_ring_to_signal(
    seconds: float, frames: Sequence[bytes], opening: Sequence[bytes], native_token: bytes
) -> list[BenchResult]:
    """A native strategy at each pace, and flash arbitrage one by one, which is shown `opening` first."""
    results = []
    with publisher_and_signals() as (market, order, signals), pinned(0):

        def native(pace: float, count: int) -> Histogram:
            with Reader.attach(market) as reader:
                runner = NativeRunner(NativeMover(MoverParams(threshold_pips=1)), reader, signals, wait=Wait.SPIN)
                order(frames, pace, count)
                return latencies(runner, count)

        def bare(pace: float, count: int) -> tuple[Histogram, Histogram]:
            with Reader.attach(market) as reader:
                order(frames, pace, count)
                return read_barely(reader, count)

        bare(PACES[-1], 2), native(PACES[-1], 2), one_by_one([*opening, *frames[:2]], native_token)  # they are compiled
        for pace in PACES:
            count = max(round(pace * seconds), LEAST)
            ages, stops = bare(pace, count)
            found = native(pace, count)
            note = (
                f"{found.count:,} signals; a bare reader's core stood still {stops.count:,} times for more than "
                f"{STILL_NS / 1e3:g} us, at most {stops.longest_ns / 1e3:,.0f} us"
            )
            for which, share, target in (("median", 0.5, TARGET_US), ("p99", 0.99, None)):
                value, baseline = (histogram.percentile(share) / 1e3 for histogram in (found, ages))
                name = f"strategy ring to signal at {pace:,}/s, {which}"
                results.append(BenchResult(name, value, "us", "bare reader", baseline, baseline / value, target, note))
        exact, native_us = one_by_one([*opening, *frames], native_token), found.percentile(0.5) / 1e3
    in_python, note = exact.percentile(0.5) / 1e3, f"{exact.count:,} signals, one at a time"
    name = "strategy ring to signal, exact"
    return [BenchResult(name, in_python, "us", "native handler", native_us, native_us / in_python, note=note), *results]
