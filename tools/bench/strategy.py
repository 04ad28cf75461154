"""The strategy's parts on made-up markets: a frame, the screen, the exact solution, a signal."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.cycle import ReserveLeg, best_cycle, quote
from consumers.arbitrage.cycle_table import CycleTable, Slope
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.strategy import Driver
from ringbuf import Reader, Writer
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.layout import ArbitrageSignal, EventOrigin, PoolState, PoolSync
from tlv.message import build, parse
from tools.bench.algebra import run_algebra_fee
from tools.bench.lively_market import NATIVE, POOLS, LivelyMarket
from tools.bench.native_strategy import run_native, run_swap
from tools.bench.plain_strategy import run_plain
from tools.bench.result import BenchResult
from tools.bench.ring_to_signal import run_ring_to_signal

PAIRS, POOLS_OF_A_PAIR = 8, 8
FRAMES = 2_000
UNIT = 10**18
CYCLES = 10_000
EVENTS = 4_000
"""Of the lively market: one in ten gives a signal."""
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


def screened_pools() -> tuple[CycleTable, list[tuple[int, int, float]]]:
    """A table of 10,000 cycles of three pools that all share one, whose prices stay within the fees."""
    rng, table, rates = random.Random(2), CycleTable(1 << 20), []
    pairs = [(0, 1)] + [(side, 2 + token) for token in range(CYCLES // 4) for side in (0, 0, 1, 1)]
    for number, (first, second) in enumerate(pairs):
        table.add(address(first), address(second))
        rate = 1.0 + rng.uniform(-0.0005, 0.0005)
        table.set(number, Slope(0.997 * rate, 1e-21), Slope(0.997 / rate, 1e-21), 60_000)
        rates.append((first, second, rate))
    return table, rates


def run_screen(seconds: float) -> BenchResult:
    """10,000 cycles of three pools, both ways round, beside the same comparison in Python."""
    table, rates = screened_pools()
    triangles = [(one, two) for token in range(CYCLES // 4) for one in (1, 2) for two in (3, 4)]
    kept = 0.997**3

    def in_kernel() -> None:
        table.begin_look()
        found, _ = table.candidates(0, 10**9, 80_000, 0.0)
        assert not found and table.size >= CYCLES

    def in_python() -> list[int]:
        found, shared = [], rates[0][2]
        for number, (one, two) in enumerate(triangles):
            at = 4 * (number // 4)
            back, home = rates[at + two][2], rates[at + one][2]
            product = shared * back / home
            if product * kept > 1.0 or kept > product:
                found.append(number)
        return found

    value, baseline = best_time(in_kernel, 1, seconds), best_time(in_python, 1, seconds)
    return BenchResult("strategy screen of 10,000 cycles", value, "us", "loop in Python", baseline, baseline / value)


def run_solve(seconds: float) -> BenchResult:
    """The exact optimum of a cycle of three pools, beside a golden-section search over the same exact profit."""
    legs = [
        ReserveLeg(Hop(1_000 * UNIT, 1_100 * UNIT, 3000)),
        ReserveLeg(Hop(5_000 * UNIT, 5_010 * UNIT, 3000)),
        ReserveLeg(Hop(2_000 * UNIT, 2_000 * UNIT, 3000)),
    ]

    def profit(amount: int) -> int:
        found = quote(legs, amount)
        return found.gross if found else 0

    def search() -> int:
        low, high = 1, 1_000 * UNIT
        while high - low > 2:
            left, right = low + (high - low) * 382 // 1_000, low + (high - low) * 618 // 1_000
            low, high = (left, high) if profit(left) < profit(right) else (low, right)
        return max(profit(low), profit(low + 1), profit(high))

    value, baseline = best_time(lambda: best_cycle(legs), 1, seconds), best_time(search, 1, seconds)
    note = "the search ends on the plateau of a floored profit, a few units below the optimum"
    return BenchResult(
        "strategy exact solve of three pools", value, "us", "golden section", baseline, baseline / value, note=note
    )


def run_lively(events: int) -> list[BenchResult]:
    """Events of a lively market of 1,000 pools and more than 10,000 cycles: from the frame to the built signal, median
    and 99th percentile of the events that give one, beside all that give none."""
    market = LivelyMarket(1)
    driver = Driver(FlashArbitrage(ArbitrageConfig(wrapped_native="0x" + NATIVE.hex())), bytes(16))
    for frame in market.opening():
        driver.deliver(*frame)
    signalling: list[float] = []
    quiet: list[float] = []
    for frame in market.events(events):
        is_event = parse(frame[2]).header.domain == Domain.MARKET_DATA
        began = time.perf_counter_ns()
        drafts = driver.deliver(*frame)
        for draft in drafts:
            build(draft.domain, draft.source, draft.records, sequence=1)
        took = (time.perf_counter_ns() - began) / 1e3
        gave_one = any(isinstance(draft.records[1], ArbitrageSignal) for draft in drafts)
        if is_event:
            (signalling if gave_one else quiet).append(took)
    strategy = driver.strategy
    assert isinstance(strategy, FlashArbitrage)
    note = f"{len(signalling)} signals; {POOLS} pools, {strategy.counts['cycles']} cycles"
    results = []
    for name, share in (("median", 0.5), ("p99", 0.99)):
        value, baseline = (sorted(times)[int(share * (len(times) - 1))] for times in (signalling, quiet))
        results.append(
            BenchResult(
                f"strategy event to signal, {name}", value, "us", "event without", baseline, baseline / value, note=note
            )
        )
    return results


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


def run(seconds: float) -> list[BenchResult]:
    """All readings; those over time, each over `seconds`."""
    with rings() as (market, reader, signals):
        natives = run_native(quiet_market(), seconds, market, reader, signals)
    return [
        run_plain(seconds),
        run_frame(seconds),
        run_screen(seconds),
        run_solve(seconds),
        run_algebra_fee(seconds),
        *run_lively(EVENTS if seconds >= 0.1 else EVENTS // 10),
        *natives,
        run_swap(seconds),
        *run_ring_to_signal(seconds, lively_market(), introductions(), address(1_000)),
    ]
