"""Native handlers: a frame alone, a frame through a ring, and a swap simulated in one.

The handler is that of `consumers.examples.native_mover`; beside it stands `price_mover`, which does the same in Python.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from consumers.arbitrage.concentrated import current_range, swap_step
from consumers.arbitrage.tick_math import sqrt_price_at
from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.examples.price_mover import PriceMover, PriceMoverParams
from consumers.native import NativeDriver, NativeRunner
from consumers.native.quoting import AMOUNT, LIQUIDITY, PRICE, QUOTED, Work, make_work, quote_within_range
from consumers.native.wide_math import set_limbs
from consumers.strategy import Driver
from ringbuf import Reader, Writer
from tlv.jit import kernel
from tools.bench.paced import table_of
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

NEVER_PIPS = 1 << 40
"""A threshold that no price passes: the reading is of the handler, not of what it says."""
FRAME_US = 0.05
"""Of a frame alone: 20 M a second."""
SWAP_US = 20.0
V4_FEE, V4_SPACING = 3_100, 60
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


@kernel
def quote_often(work: Work, tick: int, spacing: int, fee_pips: int, times: int) -> int:
    """The same swap so many times; the last status."""
    status = QUOTED
    for _ in range(times):
        status = quote_within_range(work, tick, spacing, fee_pips, True)
    return int(status)


def run_swap(seconds: float) -> BenchResult:
    """A swap through a Uniswap V3 or V4 pool that crosses no tick: amounts and price, beside the same in Python."""
    tick, liquidity, amount = 201_234, 10**21, 10**15
    price = sqrt_price_at(tick) + 12_345
    work, around = make_work(), current_range(price, tick, liquidity, V4_FEE, V4_SPACING)
    for row, number in ((PRICE, price), (LIQUIDITY, liquidity), (AMOUNT, amount)):
        set_limbs(work[row], np.frombuffer(number.to_bytes(32, "little"), np.uint64))

    def swap_in_python() -> None:
        for _ in range(REPEATED):
            swap_step(price, around.floor_price, liquidity, amount, V4_FEE)

    def swap_compiled() -> None:
        quote_often(work, tick, V4_SPACING, V4_FEE, REPEATED)

    value, baseline = (1e6 / per_second(each, REPEATED, seconds) for each in (swap_compiled, swap_in_python))
    name = "strategy native swap without crossing"
    return BenchResult(name, value, "us", "in Python, edge known", baseline, baseline / value, target=SWAP_US)


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
