"""What counting and looking cost: the writer and the collector that are looked at, the collector that counts, and obs.

Owns these readings.  A noisy machine drifts by far more than the 2 % that are asked about, so all but the last compare
neighbours in time: rounds of without, with, with, without; each round is one ratio, and the reading their median.
Times are the thread's own on its core: what other programs take from it is not what looking costs.  Where the median is
less sure than the target is narrow, more rounds are made, and at last the note says that nothing was found out.

The ring itself counts only what is rare: how many frames and bytes there were, its sequence and its tail say.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

from producers.chains.configuration import load_chain
from producers.collector import CollectorOptions
from producers.statistics import Statistics
from ringbuf import Histogram, SharedCounters, Writer, unlink
from tlv.codes import Domain, FeedReason, FeedState, Protocol, Source, Venue
from tlv.layout import LAYOUT_DIGEST, Block, EventOrigin, Heartbeat, PoolSwap, PoolSync
from tlv.message import build
from tools.bench.collector.load import event_blocks, write_load
from tools.bench.result import BenchResult
from tools.bench.ring.life import interval_of_median
from tools.bench.ring.loops import TURNS, publish_and_wake_loop
from tools.bench.ring.setting import PAYLOAD, pinned, ring
from tools.collect import ready_collector
from tools.recording.core import NodeCore
from tools.recording.recording import load_recording

LEAST_ROUNDS = 8
MOST_TIMES = 4
"""So many times the seconds at most, while the median is not sure."""
BLOCK_S = 0.25
"""One block of a round: two looks of ringstat, and one of obs, four times as often as Prometheus looks."""
FRAMES_IN_BLOCK = 100
WARM_FRAMES = 2_000
LOGS = 40_000
RATE = 5_000
MOST_MS = 100.0
PAGES, POOLS = 20, 200
MOST_SHARE = 15.0
LEAST_SHARE = 98.0
LEAST_SHARE_OF_P99 = 90.0
SYNC = PoolSync(b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2, 100, 200)
ORIGIN = EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32))
HEARTBEAT = Heartbeat(7, 7, 0, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run(seconds: float) -> list[BenchResult]:
    """All readings; those over time, each over some `seconds`."""
    return [
        watched_writer(seconds),
        watched_collector(seconds),
        counting_collector(seconds),
        obs_alone(seconds),
        watched_dashboard(seconds),
    ]


def is_sure(ratios: list[float], target: float) -> bool:
    """Whether the median, in per cent, can be told from the target: it lies in an interval narrower than what may be
    missing, or wholly on one side of the target."""
    low, high = (100 * edge for edge in interval_of_median(ratios))
    return high - low <= 100 - target or low >= target or high < target


def enough(ratios: list[float], target: float, begin: float, seconds: float) -> bool:
    """Whether to end after these rounds, the first of which began at `begin`."""
    took = time.perf_counter() - begin
    if len(ratios) < LEAST_ROUNDS or took < seconds:
        return False
    return is_sure(ratios, target) or took >= MOST_TIMES * seconds


def paired(
    name: str, ratios: list[float], target: float, baseline_name: str, baseline: float, note: str
) -> BenchResult:
    """The reading of paired rounds; without a target where the machine was too disturbed to tell."""
    low, high = interval_of_median(ratios)
    ratio, sure = statistics.median(ratios), is_sure(ratios, target)
    said = f"{note}{len(ratios)} paired rounds; with 95 % confidence {100 * low:.1f} to {100 * high:.1f} %"
    said += "" if sure else f": too disturbed to tell from {target:g}"
    return BenchResult(name, 100 * ratio, "%", baseline_name, baseline, ratio, target if sure else None, said)


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours, killed at the end."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def obs(name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An obs that looks at one ring, and where its metrics are."""
    with child("tools.command.main", "obs", "--port", "0", "--ring", name, "--json") as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["url"] + "/metrics"


def scrape(url: str) -> None:
    """As Prometheus does."""
    with urllib.request.urlopen(url) as answer:
        answer.read()


# ---- a writer and a collector that are looked at


class Lookers:
    """A ringstat that looks at a ring ten times a second and an obs that is scraped, both stopped or going."""

    def __init__(self, processes: tuple[subprocess.Popen[str], ...], url: str) -> None:
        self._processes = processes
        self._url = url

    @contextmanager
    def looking(self, watched: bool) -> Iterator[None]:
        """Within, they look, obs once; or nobody does."""
        for process in self._processes:
            process.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
        scraping = threading.Thread(target=scrape, args=(self._url,)) if watched else None
        if scraping is not None:
            scraping.start()
        yield
        if scraping is not None:
            scraping.join()


@contextmanager
def lookers(name: str) -> Iterator[Lookers]:
    """Of ring `name`."""
    with (
        obs(name) as (process, url),
        child("tools.ringstat", name, "--watch", "0.1", "--json") as ringstat,
        drained(ringstat),
    ):
        scrape(url)
        yield Lookers((process, ringstat), url)
        for each in (process, ringstat):
            each.send_signal(signal.SIGCONT)


def watched_writer(seconds: float) -> BenchResult:
    """Publishing while ringstat looks ten times a second and obs is scraped four times, in per cent of publishing
    unseen."""
    ratios: list[float] = []
    unseen: list[float] = []
    block_s = min(BLOCK_S, seconds / 4)
    with ring(no_wake=False) as writer, lookers(writer.name) as looking, pinned(0):

        def block(watched: bool) -> float:
            """Frames a second of the core."""
            with looking.looking(watched):
                end, began, turns = time.perf_counter() + block_s, time.thread_time(), 0
                while time.perf_counter() < end:
                    publish_and_wake_loop(writer.words, writer.control, writer.state, PAYLOAD, TURNS)
                    turns += TURNS
                return turns / (time.thread_time() - began)

        block(watched=True)
        begin = time.perf_counter()
        while not enough(ratios, LEAST_SHARE, begin, seconds):
            before, beside, besides, after = (block(watched) for watched in (False, True, True, False))
            ratios.append((beside + besides) / (before + after))
            unseen.append((before + after) / 2)
    return paired(
        "obs: ring writer that is looked at",
        ratios,
        LEAST_SHARE,
        "unseen, M frames/s",
        statistics.median(unseen) / 1e6,
        "ringstat 10/s, obs 4/s; ",
    )


def watched_collector(seconds: float) -> BenchResult:
    """The 99th percentile of its callbacks, each of one log, unseen in per cent of that while it is looked at.

    Callbacks come at an even rate, so that each block is looked at as often as one of the writer.
    """
    ratios: list[float] = []
    unseen: list[float] = []
    block_s = min(BLOCK_S, seconds / 4)
    frames = max(round(RATE * block_s), FRAMES_IN_BLOCK)
    rounds = max(round(MOST_TIMES * seconds / (4 * block_s)), LEAST_ROUNDS)
    with fed_collector(WARM_FRAMES + 4 * rounds * frames) as fed, lookers(fed.ring_name) as looking:

        def block(watched: bool) -> float:
            """Seconds."""
            with looking.looking(watched):
                return statistics.quantiles(fed.take_evenly(frames, RATE), n=100)[-1]

        begin = time.perf_counter()
        while len(fed) >= 4 * frames and not enough(ratios, LEAST_SHARE_OF_P99, begin, seconds):
            before, beside, besides, after = (block(watched) for watched in (False, True, True, False))
            ratios.append((before + after) / (beside + besides))
            unseen.append((before + after) / 2)
    return paired(
        "obs: collector that is looked at, p99",
        ratios,
        LEAST_SHARE_OF_P99,
        "unseen, us a log",
        statistics.median(unseen) * 1e6,
        "ringstat 10/s, obs 4/s; ",
    )


@contextmanager
def drained(process: subprocess.Popen[str]) -> Iterator[None]:
    """Somebody reads what a process prints."""
    assert process.stdout is not None
    thread = threading.Thread(target=process.stdout.read, daemon=True)
    thread.start()
    yield
    process.kill()
    thread.join()


# ---- a collector that counts


class Uncounted(Histogram):
    """A histogram that counts nothing."""

    def add(self, duration_ns: int, times: int = 1) -> None:
        """Nothing."""


class FedCollector:
    """A collector in this thread, without sockets: each call hands it the next frames of a recording node."""

    def __init__(self, ring_name: str, shared: SharedCounters, logs: int) -> None:
        self.ring_name = ring_name
        chain = load_chain("polygon")
        with tempfile.TemporaryDirectory() as folder:
            write_load(Path(folder), event_blocks(), logs)
            self._core = NodeCore(load_recording(Path(folder), chain.chain_id))
        options = CollectorOptions(chain=chain, urls=("ws://127.0.0.1:1",), ring=ring_name)
        self._collector = ready_collector(options, shared)
        self._client = self._core.connect()
        self._collector._feed.connected(**_clock())
        self._answer()
        self._frames: list[bytes] = []
        while self._core.due_ns is not None:
            for delivery in self._core.step():
                self._frames += delivery.texts
        self._frames.reverse()

    def __len__(self) -> int:
        return len(self._frames)

    def take(self, count: int, histogram: Histogram) -> float:
        """Seconds that so many callbacks take, one frame each, with their counts in `histogram`."""
        self._collector._feed.stats.receive_to_ring = histogram
        frames = [self._frames.pop() for _ in range(count)]
        begin = time.thread_time()
        for frame in frames:
            self._collector._receive([frame])
        took = time.thread_time() - begin
        self._collector._feed.tick(**_clock())
        self._answer()
        return took

    def take_evenly(self, count: int, rate: int) -> list[float]:
        """Seconds that each of so many callbacks takes, `rate` of them a second."""
        times = []
        due = time.perf_counter()
        for _ in range(count):
            frame = self._frames.pop()
            begin = time.thread_time()
            self._collector._receive([frame])
            times.append(time.thread_time() - begin)
            due += 1 / rate
            time.sleep(max(due - time.perf_counter(), 0))
        self._collector._feed.tick(**_clock())
        self._answer()
        return times

    def _answer(self) -> None:
        while requests := self._collector._feed.requests():
            for request in requests:
                answer = self._core.receive(request, self._client)
                assert answer is not None
                self._collector._receive([answer])

    def close(self) -> None:
        """End the collector."""
        self._collector.stop()
        asyncio.run(self._collector.run())


def _clock() -> dict[str, int]:
    return {"now_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}


@contextmanager
def fed_collector(logs: int) -> Iterator[FedCollector]:
    """One that has taken WARM_FRAMES of so many logs; its ring is removed at the end."""
    name = f"bench.{secrets.token_hex(4)}"
    with closing(SharedCounters.create(Statistics, name, "collector")) as shared:
        with closing(FedCollector(name, shared, logs)) as fed:
            fed.take(WARM_FRAMES, Histogram())
            yield fed
        unlink(name)


def counting_collector(seconds: float) -> BenchResult:
    """Callbacks with the counts that each makes, in per cent of the rate without them.

    One log a callback, which is the most counting that a log can cost.
    """
    ratios: list[float] = []
    without: list[float] = []
    counted, uncounted = Histogram(), Uncounted()
    with fed_collector(WARM_FRAMES + int(LOGS * min(max(seconds, 0.1), 1.0))) as fed:
        while len(fed) >= 4 * FRAMES_IN_BLOCK:
            before, beside, besides, after = (
                fed.take(FRAMES_IN_BLOCK, histogram) for histogram in (uncounted, counted, counted, uncounted)
            )
            ratios.append((before + after) / (beside + besides))
            without.append((before + after) / 2 / FRAMES_IN_BLOCK)
    return paired(
        "obs: collector that counts", ratios, LEAST_SHARE, "without, us a log", statistics.median(without) * 1e6, ""
    )


# ---- obs itself


def obs_alone(seconds: float) -> BenchResult:
    """Processor time of an obs that is scraped each second, while 5,000 events a second pass, for a second."""
    name = f"bench.{secrets.token_hex(4)}"
    event = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [SYNC, ORIGIN])
    beat = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [HEARTBEAT])
    rounds = max(round(seconds), 2)
    with Writer.create(name, layout_digest=LAYOUT_DIGEST) as writer, obs(name) as (process, url):

        def publish(seconds: int) -> None:
            """So many seconds of events, and a scrape after each."""
            due = time.perf_counter()
            for _ in range(seconds):
                writer.publish(beat)
                for _ in range(100):
                    for _ in range(RATE // 100):
                        writer.publish(event)
                    due += 0.01
                    time.sleep(max(due - time.perf_counter(), 0))
                scrape(url)

        publish(1)  # it compiles its kernels
        began_ms, begin = processor_ms(process.pid), time.perf_counter()
        publish(rounds)
        spent_ms = (processor_ms(process.pid) - began_ms) / (time.perf_counter() - begin)
        writer.close(unlink=True)
    idle = 1000.0
    return BenchResult(
        f"obs: at {RATE} events/s, scraped each second",
        spent_ms,
        "ms",
        "a second of one core",
        idle,
        idle / spent_ms,
        MOST_MS,
        f"of processor time in a second, over {rounds} s",
    )


# ---- the dashboard


def watched_dashboard(seconds: float) -> BenchResult:
    """The share of a core that obs takes while 5,000 events a second pass and 20 pages watch them."""
    name = f"bench.{secrets.token_hex(4)}"
    rounds = max(round(seconds), 2)
    with (
        Writer.create(name, layout_digest=LAYOUT_DIGEST) as writer,
        obs(name) as (process, url),
        child("tools.bench.pages", url.removesuffix("/metrics"), str(PAGES)) as pages,
    ):
        assert pages.stdout is not None
        turn = cycle(market_events())
        number = 0

        def publish(seconds: int) -> None:
            """So many seconds of events, with a block in each."""
            nonlocal number
            due = time.perf_counter()
            for _ in range(seconds):
                number += 1
                block = Block(number, 0, 0, 0, 0, 0, number.to_bytes(32), bytes(32))
                writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [block]))
                writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [HEARTBEAT]))
                for _ in range(100):
                    for _ in range(RATE // 100):
                        writer.publish(next(turn))
                    due += 0.01
                    time.sleep(max(due - time.perf_counter(), 0))

        publish(1)  # it compiles its kernels
        pages.stdout.readline()
        publish(1)
        began_ms, begin = processor_ms(process.pid), time.perf_counter()
        publish(rounds)
        spent_ms = (processor_ms(process.pid) - began_ms) / (time.perf_counter() - begin)
        writer.close(unlink=True)
    share = spent_ms / 10
    return BenchResult(
        f"obs: {PAGES} pages at {RATE} events/s",
        share,
        "% of a core",
        "a core",
        100.0,
        100 / share,
        MOST_SHARE,
        f"half of them swaps, in {POOLS} pools; processor time of obs over {rounds} s",
    )


def market_events() -> list[bytes]:
    """A swap and its Sync in each of many pools."""
    found = []
    for number in range(POOLS):
        head = (number.to_bytes(20), b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
        swap = PoolSwap(*head, 10**18 + number, 0, 0, 3 * 10**6, 0, 0, 0, b"s" * 20, b"r" * 20)
        for record in (PoolSync(*head, 10**21 + number, 3 * 10**9), swap):
            found.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record, ORIGIN]))
    return found


def processor_ms(pid: int) -> float:
    """What a process has used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / TICKS_PER_S
