"""The collector on one core: logs a second, latency, and the longest time that its loop is blocked.

Owns the burst, the paced run and the backfill.  The load is in `load`, the longest single steps in `steps`, and the
cost of 100,000 pools in `memory`.  Each reading here runs a whole collector, socket to ring, against a recording node
in a process of its own.

The baseline is the same node and the same frames into a loop that only receives them through the library; in a burst it
reads each as a typed log, too.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from producers.blocks import state_file
from producers.blocks.block import Block
from producers.chains.configuration import load_chain
from producers.node.jsonrpc import LOG_NOTICE
from producers.statistics import Statistics
from ringbuf import Histogram
from tools.bench.collector import cold
from tools.bench.collector import memory as collector_memory
from tools.bench.collector import steps as collector_steps
from tools.bench.collector.load import Blocks, event_blocks, head_of, recorded_blocks, served
from tools.bench.collector.watching import collecting, loop_row, watched
from tools.bench.loop import Stopwatch
from tools.bench.result import BenchResult

MIXES: dict[str, Callable[[], Blocks]] = {"as recorded": recorded_blocks, "pool events only": event_blocks}
LOGS_A_SECOND = 60_000
"""Of a fast machine, for the length of a burst."""
SHARE = 0.9
"""Of what only receives and reads them."""
PARSING = "websockets recv() and a typed parse of the same frames"
RATE = 1_000
LATENCY_US = 150.0
BACKFILL_LOGS = 10_000
BACKFILL_S = 1.0
SAMPLE_S = 0.002


def run(seconds: float) -> list[BenchResult]:
    """Both mixes in a burst, with as many logs as a fast machine takes in `seconds`; then the rest."""
    results = []
    for name, blocks in MIXES.items():
        results += burst(name, blocks, int(seconds * LOGS_A_SECOND))
    return [
        *results,
        *paced(seconds),
        *backfill(),
        *cold.run(seconds),
        *collector_steps.run(seconds),
        *collector_memory.run(seconds),
    ]


def burst(name: str, blocks: Callable[[], Blocks], logs: int) -> list[BenchResult]:
    """As fast as the node can push."""
    with served(blocks, logs) as url:
        (baseline, _), library = watched(lambda stopwatch: receive_only(url, stopwatch, read_log))
    with served(blocks, logs) as url:
        (rate, statistics), loop = watched(lambda stopwatch: collect(url, stopwatch))
    p99_us = statistics.receive_to_ring.percentile(0.99) // 1000
    note = f"{statistics.events_published} events; receive to ring p99 {p99_us} us in the burst"
    title = f"collector, {name}: "
    return [
        BenchResult(
            title + "socket to ring", rate, "logs/s", PARSING, baseline, rate / baseline, SHARE * baseline, note
        ),
        loop_row(title + "loop blocked in the burst", loop, library),
    ]


def paced(seconds: float) -> list[BenchResult]:
    """One log every millisecond, all of them pushed events of pools that are known: a first run has filled the cache.

    At the start a pool's verification releases the events held back for it, and the first blocks are fetched: hundreds
    of events at once instead of one by one.  So delays count only behind the first `RATE / 2` logs.
    """
    logs = int(max(seconds, 1) * RATE)
    options = ("--rate", str(RATE))
    with served(event_blocks, logs, *options) as url:
        (_, waited), library = watched(lambda stopwatch: receive_only(url, stopwatch))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "pools"
        with served(event_blocks, RATE) as url:
            watched(lambda stopwatch: collect(url, stopwatch, pool_cache=cache))
        with served(event_blocks, logs, *options) as url:
            (rate, statistics), loop = watched(lambda watch: collect(url, watch, skip=RATE // 2, pool_cache=cache))
    p99, baseline = (times.percentile(0.99) / 1000 for times in (statistics.receive_to_ring, waited))
    note = f"p50 {statistics.receive_to_ring.percentile(0.5) / 1000:.0f} us; {rate:.0f} logs/s"
    title = f"collector, paced at {RATE} logs/s: "
    library_wait = "socket callback to websockets recv()"
    return [
        BenchResult(title + "receive to ring p99", p99, "us", library_wait, baseline, baseline / p99, LATENCY_US, note),
        loop_row(title + "loop blocked", loop, library),
    ]


def backfill() -> list[BenchResult]:
    """A collector that resumes behind a node which is 10,000 logs ahead."""
    with served(event_blocks, BACKFILL_LOGS, "--start", "now") as url, tempfile.TemporaryDirectory() as folder:
        baseline, library = watched(lambda stopwatch: list_logs(url, stopwatch))
        state = Path(folder) / "state"
        state_file.save(state, state_file.Position.of(load_chain("polygon").chain_id, Block(head_of(1))))
        (elapsed, statistics), loop = watched(lambda stopwatch: catch_up(url, state, stopwatch))
    note = f"{statistics.events_published} events of {statistics.blocks} blocks, {statistics.pools} pools verified"
    title = f"collector, backfill of {BACKFILL_LOGS} logs: "
    asked = "one eth_getLogs of the same range, decoded"
    return [
        BenchResult(
            title + "connected to published", elapsed, "s", asked, baseline, baseline / elapsed, BACKFILL_S, note
        ),
        loop_row(title + "loop blocked", loop, library),
    ]


async def collect(url: str, stopwatch: Stopwatch, skip: int = 0, **options: Any) -> tuple[float, Statistics]:
    """Logs a second from the first one to the last head, and what the collector counted; delays behind `skip` logs.

    The clock begins with the last look that saw none: on a busy machine the next one may see them all.  No block
    follows the last one, so half a second later its logs are fetched: those do not count.
    """
    async with collecting(url, until_idle_s=0.5, **options) as (collector, work):
        stopwatch.start()
        seen, heads, last = 0, 0, 0
        begin = end = time.perf_counter()
        while not work.done():
            await asyncio.sleep(SAMPLE_S)
            received = collector.statistics.logs_received
            now = time.perf_counter()
            if received == 0:
                begin = now
            if received == seen:
                continue
            if seen <= skip < received:
                collector.statistics.receive_to_ring = Histogram()
            seen = received
            if collector.statistics.headers > heads:
                heads, end, last = collector.statistics.headers, now, received
        return last / (end - begin), await work


async def catch_up(url: str, state: Path, stopwatch: Stopwatch) -> tuple[float, Statistics]:
    """Seconds from the connection until everything that was missed is published."""
    async with collecting(url, state_file=state) as (collector, work):
        stopwatch.start()
        while not collector.statistics.connections:
            await asyncio.sleep(SAMPLE_S)
        begin = time.perf_counter()
        while not 1 < collector.statistics.head_number <= collector.statistics.safe_number:
            await asyncio.sleep(SAMPLE_S)
            if work.done():
                await work
        return time.perf_counter() - begin, collector.statistics


class TimedConnection(ClientConnection):
    """The library's connection, and when its socket was last read."""

    read_ns = 0

    def data_received(self, data: bytes) -> None:
        """Called by the transport with whatever the socket held."""
        self.read_ns = time.monotonic_ns()
        super().data_received(data)


def read_log(frame: bytes) -> None:
    """What the least client does with a frame: read it as a log, if it is one."""
    with suppress(msgspec.ValidationError):
        LOG_NOTICE.decode(frame)


async def receive_only(
    url: str, stopwatch: Stopwatch, read: Callable[[bytes], None] = lambda frame: None
) -> tuple[float, Histogram]:
    """Messages a second that the library alone receives, and how long each is on its way through it."""
    waited = Histogram()
    options: dict[str, Any] = {"compression": None, "max_size": None, "max_queue": 4096, "ping_interval": None}
    async with connect(url, create_connection=TimedConnection, **options) as socket:
        assert isinstance(socket, TimedConnection)
        for number, kind in enumerate(("logs", "newHeads"), 1):
            await socket.send(json.dumps({"id": number, "method": "eth_subscribe", "params": [kind]}))
        stopwatch.start()
        received, begin, end = 0, 0.0, 0.0
        try:
            while True:
                async with asyncio.timeout(0.5):
                    read(await socket.recv(decode=False))
                waited.add(time.monotonic_ns() - socket.read_ns)
                end = time.perf_counter()
                begin = begin or end
                received += 1
        except TimeoutError:
            return received / (end - begin), waited


async def list_logs(url: str, stopwatch: Stopwatch) -> float:
    """Seconds for all logs in one answer."""
    async with connect(url, compression=None, max_size=None, ping_interval=None) as socket:
        stopwatch.start()
        begin = time.perf_counter()
        await socket.send(json.dumps({"id": 1, "method": "eth_getLogs", "params": [{"fromBlock": "0x1"}]}))
        msgspec.json.decode(await socket.recv(decode=False))
        return time.perf_counter() - begin
