"""What counting and looking cost: the writer that is looked at, the collector that counts, and obs itself.

Owns these readings.  A noisy machine drifts by far more than the 2 % that are asked about, so the first two compare
neighbours in time: rounds of without, with, with, without; each round is one ratio, and the reading their median.
Times are the thread's own on its core: what other programs take from it is not what looking costs.
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
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from producers.chains.configuration import load_chain
from producers.collector import CollectorOptions
from producers.statistics import Statistics
from ringbuf import Histogram, SharedCounters, Writer, unlink
from tlv.codes import Domain, FeedReason, FeedState, Protocol, Source, Venue
from tlv.layout import LAYOUT_DIGEST, EventOrigin, Heartbeat, PoolSync
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
BLOCK_S = 0.25
"""One block of a round: two looks of ringstat, and one of obs, four times as often as Prometheus looks."""
FRAMES_IN_BLOCK = 100
WARM_FRAMES = 2_000
LOGS = 40_000
RATE = 5_000
MOST_MS = 100.0
LEAST_SHARE = 98.0
SYNC = PoolSync(b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2, 100, 200)
ORIGIN = EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32))
HEARTBEAT = Heartbeat(7, 7, 0, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run(seconds: float) -> list[BenchResult]:
    """All readings; those over time, each over some `seconds`."""
    return [watched_writer(seconds), counting_collector(seconds), obs_alone(seconds)]


def note_of(ratios: list[float]) -> str:
    """How sure a median is."""
    low, high = interval_of_median(ratios)
    return f"{len(ratios)} paired rounds; with 95 % confidence {100 * low:.1f} to {100 * high:.1f} %"


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


# ---- a writer that is looked at


def watched_writer(seconds: float) -> BenchResult:
    """Publishing while ringstat looks ten times a second and obs is scraped four times, in per cent of publishing
    unseen."""
    with ring(no_wake=False) as writer, ExitStack() as stack:
        process, url = stack.enter_context(obs(writer.name))
        ringstat = stack.enter_context(child("tools.ringstat", writer.name, "--watch", "0.1", "--json"))
        assert ringstat.stdout is not None
        stack.enter_context(drained(ringstat))
        scrape(url)
        block_s = min(BLOCK_S, seconds / 4)

        def block(watched: bool) -> float:
            """Frames a second of the core."""
            for each in (process, ringstat):
                each.send_signal(signal.SIGCONT if watched else signal.SIGSTOP)
            scraping = threading.Thread(target=scrape, args=(url,)) if watched else None
            if scraping is not None:
                scraping.start()
            end, began, turns = time.perf_counter() + block_s, time.thread_time(), 0
            while time.perf_counter() < end:
                publish_and_wake_loop(writer.words, writer.control, writer.state, PAYLOAD, TURNS)
                turns += TURNS
            rate = turns / (time.thread_time() - began)
            if scraping is not None:
                scraping.join()
            return rate

        ratios: list[float] = []
        unseen: list[float] = []
        with pinned(0):
            block(watched=True)
            end = time.perf_counter() + seconds
            while len(ratios) < LEAST_ROUNDS or time.perf_counter() < end:
                before, beside, besides, after = (block(watched) for watched in (False, True, True, False))
                ratios.append((beside + besides) / (before + after))
                unseen.append((before + after) / 2)
        for each in (process, ringstat):
            each.send_signal(signal.SIGCONT)
    ratio = statistics.median(ratios)
    return BenchResult(
        "obs: ring writer that is looked at",
        100 * ratio,
        "%",
        "unseen, M frames/s",
        statistics.median(unseen) / 1e6,
        ratio,
        LEAST_SHARE,
        f"ringstat 10/s, obs 4/s; {note_of(ratios)}",
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


def counting_collector(seconds: float) -> BenchResult:
    """Callbacks with the counts that each makes, in per cent of the rate without them.

    One log a callback, which is the most counting that a log can cost.
    """
    name = f"bench.{secrets.token_hex(4)}"
    ratios: list[float] = []
    without: list[float] = []
    counted, uncounted = Histogram(), Uncounted()
    with closing(SharedCounters.create(Statistics, name, "collector")) as shared:
        logs = WARM_FRAMES + int(LOGS * min(max(seconds, 0.1), 1.0))
        with closing(FedCollector(name, shared, logs)) as fed:
            fed.take(WARM_FRAMES, counted)
            while len(fed) >= 4 * FRAMES_IN_BLOCK:
                before, beside, besides, after = (
                    fed.take(FRAMES_IN_BLOCK, histogram) for histogram in (uncounted, counted, counted, uncounted)
                )
                ratios.append((before + after) / (beside + besides))
                without.append((before + after) / 2 / FRAMES_IN_BLOCK)
        unlink(name)
    ratio = statistics.median(ratios)
    return BenchResult(
        "obs: collector that counts",
        100 * ratio,
        "%",
        "without, us a log",
        statistics.median(without) * 1e6,
        ratio,
        LEAST_SHARE,
        note_of(ratios),
    )


# ---- obs itself


def obs_alone(seconds: float) -> BenchResult:
    """Processor time of an obs that is scraped each second, while 5,000 events a second pass, for a second."""
    name = f"bench.{secrets.token_hex(4)}"
    event = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [SYNC, ORIGIN])
    beat = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [HEARTBEAT])
    with Writer.create(name, layout_digest=LAYOUT_DIGEST) as writer, obs(name) as (process, url):
        scrape(url)
        began_ms, rounds = processor_ms(process.pid), max(round(seconds), 2)
        begin = due = time.perf_counter()
        for _ in range(rounds):
            writer.publish(beat)
            for _ in range(100):
                for _ in range(RATE // 100):
                    writer.publish(event)
                due += 0.01
                time.sleep(max(due - time.perf_counter(), 0))
            scrape(url)
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


def processor_ms(pid: int) -> float:
    """What a process has used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / TICKS_PER_S
