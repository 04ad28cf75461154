"""A collector under a stopwatch: how it is run, and the row about its loop.

Owns what the collector's benchmarks share.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.statistics import Statistics
from ringbuf import unlink
from tools.bench.loop import Stopwatch, run_watched
from tools.bench.result import BenchResult
from tools.collect import ready_collector

LOOP_MS = 20.0
LIBRARY = "websockets recv() of the same frames"


class Loop(NamedTuple):
    """The longest time between two polls of a loop's sockets, in milliseconds."""

    wall_ms: float
    cpu_ms: float


def loop_row(name: str, loop: Loop, library: Loop) -> BenchResult:
    """The longest block of a collector's loop beside that of a loop which only receives."""
    ratio = library.wall_ms / loop.wall_ms
    note = f"{loop.cpu_ms:.1f} ms of CPU at most"
    return BenchResult(name, loop.wall_ms, "ms", LIBRARY, library.wall_ms, ratio, LOOP_MS, note)


def watched(work: Callable[[Stopwatch], Any]) -> tuple[Any, Loop]:
    """What `work` gives, and the longest block of its loop."""
    result, stopwatch = run_watched(work)
    return result, Loop(1000 * stopwatch.longest_s, 1000 * stopwatch.longest_cpu_s)


@asynccontextmanager
async def collecting(*urls: str, **options: Any) -> AsyncIterator[tuple[Collector, asyncio.Task[Statistics]]]:
    """A collector at work, into a ring that is removed at the end."""
    ring = f"bench.{secrets.token_hex(4)}"
    usual: dict[str, Any] = {"chain": load_chain("polygon"), "capacity": 1 << 24, "watchdog_s": 60}
    collector = ready_collector(CollectorOptions(urls=urls, ring=ring, **usual | options))
    work = asyncio.create_task(collector.run())
    try:
        yield collector, work
    finally:
        collector.stop()
        await asyncio.wait([work])
        unlink(ring)
