"""The strategy's parts on a made-up market of 64 pools in 8 pairs: a frame, the screen, the exact solution, a signal.

Ring to signal is from publish to publish, between two threads of one process; the reader spins.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from consumers.arbitrage.screen import ScreenTable
from consumers.arbitrage.two_pool import ReserveLeg, best_cycle, quote

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.native import NativeRunner
from consumers.price_moves import new_state, note_price_move
from consumers.runner import Runner
from consumers.strategy import Driver
from ringbuf import Reader, Wait, Writer
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.layout import EventOrigin, PoolState, PoolSync
from tlv.message import build, parse
from tools.bench.plain_strategy import run_plain
from tools.bench.result import BenchResult

PAIRS, POOLS_OF_A_PAIR = 8, 8
FRAMES = 2_000
PAUSE_S = 0.0005
"""Between two frames of a latency reading: longer than an exact solution takes, so that no frame queues."""
UNIT = 10**18
SIGNALS = 200
"""Signals of a reading: enough for a median, few enough for the exact solution of each."""


def address(number: int) -> bytes:
    """A made-up address."""
    return number.to_bytes(20, "big")


def head(pair: int, pool: int) -> tuple[bytes, bytes, bytes, Venue, int, int, Protocol]:
    """What each record of a pool begins with."""
    number = pair * POOLS_OF_A_PAIR + pool + 1
    return (
        address(number),
        address(1_000 + pair),
        address(2_000 + pair),
        Venue.QUICKSWAP_V2,
        18,
        18,
        Protocol.UNISWAP_V2,
    )


def market_message(*records: PoolState | PoolSync | EventOrigin, flags: int = 0) -> bytes:
    """A message of market data."""
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=1, flags=flags)


def introductions() -> list[bytes]:
    """A snapshot of each pool, with its fee."""
    return [
        market_message(
            PoolState(*head(pair, pool), 0, 0, 0, 0, 0, 3000, 0, 0, bytes(20), "", ""),
            flags=Flag.SNAPSHOT,
        )
        for pair in range(PAIRS)
        for pool in range(POOLS_OF_A_PAIR)
    ]


def sync(pair: int, pool: int, reserve1: int, log: int) -> bytes:
    """A Sync that sets a pool's price."""
    origin = EventOrigin(1, 0, 0, 0, log, bytes(32), bytes(32))
    return market_message(PoolSync(*head(pair, pool), 1_000 * UNIT, reserve1), origin)


def quiet_market() -> list[bytes]:
    """Syncs whose prices stay within the fees."""
    rng = random.Random(1)
    return [
        sync(rng.randrange(PAIRS), rng.randrange(POOLS_OF_A_PAIR), 1_000 * UNIT + rng.randrange(UNIT), log)
        for log in range(FRAMES)
    ]


def lively_market() -> list[bytes]:
    """Two pools of one pair; one moves up and down by a tenth, so that every Sync is worth a signal."""
    steady = [sync(0, 0, 1_000 * UNIT, 0)]
    return steady + [sync(0, 1, (1_100 + 100 * (log % 2)) * UNIT, log) for log in range(1, SIGNALS + 1)]


def best_time(work: Callable[[], object], count: int, seconds: float) -> float:
    """Microseconds of one of the `count` things that `work()` does: the fastest pass; the first is not timed."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - began)
        if now > end:
            return best / count * 1e6


def run_frame(seconds: float) -> BenchResult:
    """A Sync through the Python strategy, screen included, beside only parsing it."""
    driver = Driver(FlashArbitrage(), bytes(16))
    for message in introductions():
        driver.deliver(1, 0, message)
    frames = quiet_market()

    def deliver() -> None:
        for message in frames:
            driver.deliver(1, 0, message)

    def read() -> None:
        for message in frames:
            parse(message, verify=False)

    value, baseline = best_time(deliver, FRAMES, seconds), best_time(read, FRAMES, seconds)
    return BenchResult("strategy frame", value, "us", "parse alone", baseline, baseline / value)


def run_screen(seconds: float) -> BenchResult:
    """One pool against 31 others, compiled, beside the same comparison in Python."""
    table, prices = ScreenTable(), [1.0 + 0.0001 * number for number in range(32)]
    for number, price in enumerate(prices):
        table.add(number, 0)
        table.set(number, price, 0.997)

    def in_python() -> list[tuple[int, int]]:
        found = []
        for other in range(1, 32):
            if 0.997 * 0.997 * prices[other] > prices[0]:
                found.append((0, other))
            elif 0.997 * 0.997 * prices[0] > prices[other]:
                found.append((other, 0))
        return found

    value = best_time(lambda: [table.candidates(0) for _ in range(1_000)], 1_000, seconds)
    baseline = best_time(lambda: [in_python() for _ in range(1_000)], 1_000, seconds)
    return BenchResult("strategy screen of 32 pools", value, "us", "loop in Python", baseline, baseline / value)


def run_solve(seconds: float) -> BenchResult:
    """The exact optimum of a cycle, beside a golden-section search over the same exact profit."""
    first = ReserveLeg(Hop(1_000 * UNIT, 1_100 * UNIT, 3000))
    second = ReserveLeg(Hop(1_000 * UNIT, 1_000 * UNIT, 3000))

    def profit(amount: int) -> int:
        found = quote(first, second, amount)
        return found.gross if found else 0

    def search() -> int:
        low, high = 1, 1_000 * UNIT
        while high - low > 2:
            left, right = low + (high - low) * 382 // 1_000, low + (high - low) * 618 // 1_000
            low, high = (left, high) if profit(left) < profit(right) else (low, right)
        return max(profit(low), profit(low + 1), profit(high))

    value, baseline = best_time(lambda: best_cycle(first, second), 1, seconds), best_time(search, 1, seconds)
    note = "the search ends on the plateau of a floored profit, a few units below the optimum"
    return BenchResult("strategy exact solve", value, "us", "golden section", baseline, baseline / value, note=note)


@contextmanager
def rings() -> Iterator[tuple[Writer, Reader, Writer]]:
    """A market ring with its reader, and a signal ring; gone afterwards."""
    with ExitStack() as stack:
        writers = []
        for name in ("market", "signal"):
            writer = stack.enter_context(Writer.create(f"bench.{os.getpid()}.{name}", capacity=1 << 22))
            stack.callback(writer.close, unlink=True)
            writers.append(writer)
        yield writers[0], stack.enter_context(Reader.attach(writers[0].name, start="oldest")), writers[1]


def publish_at_leisure(
    run: Callable[[Callable[[], bool]], None], market: Writer, reader: Reader, messages: list[bytes]
) -> None:
    """Publish one message after the other while `run` reads them in a thread of its own; the first warms it up."""
    stopping = threading.Event()
    reading = threading.Thread(target=run, args=(stopping.is_set,))
    reading.start()
    for number, message in enumerate(messages, start=1):
        market.publish(message)
        time.sleep(PAUSE_S)
        while number in (1, len(messages)) and reader.sequence < market.next_sequence:
            time.sleep(PAUSE_S)
    stopping.set()
    reading.join()


def ring_to_signal_in_python() -> float:
    """Median us from the publishing of a Sync to the publishing of the signal on it."""
    with rings() as (market, reader, signals):
        config = ArbitrageConfig(wrapped_native="0x" + address(1_000).hex())
        runner = Runner(Driver(FlashArbitrage(config), market.uuid), reader, signals, wait=Wait.SPIN)
        publish_at_leisure(runner.run, market, reader, introductions() + lively_market())
        return runner.counts.ring_to_signal.percentile(0.5) / 1e3


def ring_to_signal_native() -> float:
    """The same by a compiled handler that does less: it compares a price with the one before."""
    with rings() as (market, reader, signals):
        runner = NativeRunner(note_price_move, new_state(threshold_pips=1), reader, signals)
        publish_at_leisure(lambda stop: runner.run(stop, spin=True), market, reader, lively_market())
        return runner.counts.ring_to_signal.percentile(0.5) / 1e3


def run(seconds: float) -> list[BenchResult]:
    """All readings; those over time, each over `seconds`."""
    in_python, native = ring_to_signal_in_python(), ring_to_signal_native()
    return [
        run_plain(seconds),
        run_frame(seconds),
        run_screen(seconds),
        run_solve(seconds),
        BenchResult("strategy ring to signal, exact", in_python, "us", "native handler", native, native / in_python),
        BenchResult("strategy ring to signal, native", native, "us", "exact, Python", in_python, in_python / native),
    ]
