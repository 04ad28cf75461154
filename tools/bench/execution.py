"""The paper executor: orders a second, and from a block's end to the report of the order that it decides.

A made-up market of two V2 pools.  Each order is a round trip through both, so that it is decided, filled, paid for and
reported; the pools it moved are what the next one meets.  Beside it stands the arithmetic of the two swaps alone.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from consumers.arbitrage.config import WMATIC
from consumers.arbitrage.constant_product import Hop
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.runner import ExecutionRunner, OrderRing
from consumers.strategy import Driver
from ringbuf import Histogram, Reader, Writer, unlink
from tlv.codes import Completeness, Domain, Flag, Protocol, Source, Venue
from tlv.layout import LAYOUT_DIGEST, Block, BlockEnd, OrderLeg, OrderRequest, PoolState
from tlv.message import build
from tlv.record import Record
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

COIN, TOKEN = bytes.fromhex(WMATIC[2:]), b"\xee" * 20
POOLS = (b"\x01" * 20, b"\x02" * 20)
DEEP = 10**24
FEE_PIPS = 3000
ORDERS = 200
"""Of one block."""
UNIT = 10**15
RING = bytes(16)
NO_LIMITS = ExecutionConfig(
    max_orders_per_block=10**6,
    max_state_age_blocks=10**9,
    max_loss_wei=10**30,
    breaker_failures=10**9,
    breaker_loss_wei=10**30,
)


def market(*records: Record, domain: Domain = Domain.MARKET_DATA, flags: int = 0) -> bytes:
    """A message of the market."""
    return build(domain, Source.POLYGON_COLLECTOR, records, sequence=1, flags=flags)


def pools(block: int) -> list[bytes]:
    """Both pools, as of a block."""
    return [
        market(
            PoolState(
                pool, COIN, TOKEN, Venue.QUICKSWAP_V2, 18, 18, Protocol.UNISWAP_V2, DEEP, DEEP, 0, 0, block, FEE_PIPS,
                0, 0, bytes(20), "", "",
            ),
            flags=Flag.SNAPSHOT,
        )
        for pool in POOLS
    ]  # fmt: skip


def block_hash(number: int) -> bytes:
    """Of a block."""
    return number.to_bytes(32, "big")


def begin(number: int) -> bytes:
    """A block is announced."""
    hashes = (block_hash(number), block_hash(number - 1))
    return market(Block(number, 0, 0, 0, 0, 30 * 10**9, *hashes))


def end(number: int) -> bytes:
    """A block is complete."""
    return market(BlockEnd(number, 0, 0, 0, 0, block_hash(number), Completeness.PUSHED), domain=Domain.SYSTEM)


def order(block: int, number: int) -> bytes:
    """A round trip through both pools that accepts whatever comes."""
    legs = (OrderLeg(POOLS[0], COIN, TOKEN, 1), OrderLeg(POOLS[1], TOKEN, COIN, 2))
    who = (RING, "bench", 1, COIN, COIN, len(legs))
    request = OrderRequest(number, 0, 0, block, block + 10, UNIT, 0, *who)
    return build(Domain.EXECUTION, Source.USER_STRATEGY, [request, *legs], sequence=number)


def orders_per_second(seconds: float) -> BenchResult:
    """Whole blocks of orders, without rings."""
    executor = PaperExecutor(NO_LIMITS)
    driver = Driver(executor, RING)
    for payload in (begin(1), *pools(0), end(1)):
        driver.deliver(1, 1, payload)
    number, asked = 1, 0

    def block() -> None:
        nonlocal number, asked
        for _ in range(ORDERS):
            asked += 1
            executor.take_order(order(number, asked), RING, asked, 0)
        number += 1
        driver.deliver(2, 2, begin(number))
        driver.deliver(3, 3, end(number))

    def swaps() -> None:
        there, back = Hop(DEEP, DEEP, FEE_PIPS), Hop(DEEP, DEEP, FEE_PIPS)
        for _ in range(ORDERS):
            back.out(there.out(UNIT))

    rate, plain = per_second(block, ORDERS, seconds), per_second(swaps, ORDERS, seconds)
    assert executor.ledger.total.filled == asked
    note = "read, decided, filled and reported, two V2 swaps each"
    return BenchResult("paper orders", rate, "/s", "the two swaps alone", plain, rate / plain, note=note)


def end_to_report(seconds: float) -> BenchResult:
    """One order a block, between three rings in one thread: from the publishing of the end to that of the report."""
    names = [f"bench.{kind}{time.monotonic_ns()}" for kind in ("market", "signal", "execution")]
    taken, published = Histogram(), Histogram()
    with ExitStack() as stack:
        create = partial(Writer.create, capacity=1 << 24, layout_digest=LAYOUT_DIGEST)
        rings = []
        for name in names:
            stack.callback(unlink, name)
            rings.append(stack.enter_context(create(name)))
        market_ring, signals, execution = rings
        reader = stack.enter_context(Reader.attach(names[0], start="oldest", layout_digest=LAYOUT_DIGEST))
        orders = OrderRing(names[1], reliable=False)
        runner = ExecutionRunner(PaperExecutor(NO_LIMITS), reader, [orders], execution)
        stack.callback(runner.close)
        for payload in (begin(1), *pools(0), end(1)):
            market_ring.publish(payload)
        runner.step()
        stop, number = time.monotonic() + seconds, 1
        while time.monotonic() < stop or number < 100:
            signals.publish(order(number, number))
            number += 1
            market_ring.publish(begin(number))
            runner.step()
            data = end(number)
            before = time.perf_counter_ns()
            market_ring.publish(data)
            published.add(time.perf_counter_ns() - before)
            runner.step()
            taken.add(time.perf_counter_ns() - before)
        filled = runner.counts.filled
    assert filled == number - 1
    median, baseline = taken.percentile(0.5) / 1000, published.percentile(0.5) / 1000
    note = f"p99 {taken.percentile(0.99) / 1000:.0f} us"
    return BenchResult(
        "block's end to report", median, "us", "publishing the end", baseline, baseline / median, note=note
    )


def run(seconds: float) -> list[BenchResult]:
    """Both readings."""
    return [orders_per_second(seconds), end_to_report(seconds)]
