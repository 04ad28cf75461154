"""Native handlers: a frame alone, a frame through a ring, and from a frame's publishing to its signal's.

The handler is that of `consumers.examples.native_mover`; beside it stands `price_mover`, which does the same in Python.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.examples.price_mover import PriceMover, PriceMoverParams
from consumers.native import NativeDriver, NativeRunner
from consumers.strategy import Driver
from ringbuf import Reader, Writer
from tools.bench.paced import table_of
from tools.bench.result import BenchResult

NEVER_PIPS = 1 << 40
"""A threshold that no price passes: the reading is of the handler, not of what it says."""
FRAME_US = 0.05
"""Of a frame alone: 20 M a second."""
REPEATED = 100
"""How often the frames stand in the table: one call of the loop takes some 20 us, however few frames it gets."""


def frame_time(messages: Sequence[bytes], seconds: float, *, inline: bool) -> float:
    """Microseconds that one of the messages takes in the loop over frames that are all there: the fastest pass."""
    buffer, table = table_of(messages, REPEATED)
    driver = NativeDriver(NativeMover(MoverParams(threshold_pips=NEVER_PIPS)), bytes(16), inline=inline)
    count = table.shape[1]
    best, end = float("inf"), time.perf_counter() + seconds
    list(driver.run_over(buffer, table, 0, count))
    while True:
        began = time.perf_counter()
        list(driver.run_over(buffer, table, 0, count))
        now = time.perf_counter()
        best = min(best, now - began)
        if now > end:
            return float(best / count * 1e6)


def ring_time(messages: Sequence[bytes], market: Writer, reader: Reader, signals: Writer) -> float:
    """Microseconds a frame through a ring that holds them all, from the first poll to the last."""
    for message in messages:
        market.publish(message)
    runner = NativeRunner(NativeMover(MoverParams(threshold_pips=NEVER_PIPS)), reader, signals)
    best, count = float("inf"), len(messages)
    for _ in range(9):
        reader.seek(1)
        done = runner.counts.frames + count
        began = time.perf_counter()
        while runner.counts.frames < done:
            runner.step()
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def in_python(messages: Sequence[bytes], seconds: float) -> float:
    """Microseconds a frame of the same in Python."""
    driver = Driver(PriceMover(PriceMoverParams(threshold_pips=NEVER_PIPS)), bytes(16))
    driver.deliver(1, 0, messages[0])
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        for message in messages:
            driver.deliver(1, 0, message)
        now = time.perf_counter()
        best = min(best, now - began)
        if now > end:
            return best / len(messages) * 1e6


def run_native(
    messages: Sequence[bytes], seconds: float, market: Writer, reader: Reader, signals: Writer
) -> list[BenchResult]:
    """A frame alone, inlined, and through the rings, each beside the same in Python."""
    baseline = in_python(messages, seconds)
    readings = {
        "strategy native frame": frame_time(messages, seconds, inline=False),
        "strategy native frame, inlined": frame_time(messages, seconds, inline=True),
        "strategy native frame from a ring": ring_time(messages, market, reader, signals),
    }
    return [
        BenchResult(
            *(name, value, "us", "in Python", baseline, baseline / value),
            target=None if "ring" in name else FRAME_US,
            note=f"{1 / value:.1f} M frames/s",
        )
        for name, value in readings.items()
    ]
