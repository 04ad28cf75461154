"""A million messages a second for a minute: to a relay's client, to a journal, to a native strategy, and to all three.

Owns the processes, one for each part, which share the cores as they come; none is pinned.  Every consumer counts what
it gets, and what it misses of what was published is lost, whoever lost it.  Its memory is the anonymous memory that it
has in RAM, looked at from outside at even times: maps of the ring and of files are the kernel's to keep.

A run takes a minute if --seconds are 10 or more, or longer if these are.  Otherwise it takes ten times the seconds, and
its rows say so: then memory has a slope, and no target.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from consumers.examples.native_mover import MoverParams, NativeMover
from consumers.journal import Fsync
from consumers.native import NativeRunner
from consumers.recorder import Recorder
from consumers.relay.warm import warm as warm_relay
from ringbuf import Reader, Writer
from ringbuf import warm as warm_ring
from tlv.buffers import Bytes, Longs
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.jit import kernel
from tlv.kernels import seal
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolSync
from tlv.message import build
from tlv.units import NS
from tlv.viewing import record_at
from tools.bench.curves.clients import BOUNDS, ReadingClient
from tools.bench.curves.fit import line_of
from tools.bench.journal import message
from tools.bench.machine import cores_said
from tools.bench.obs import obs
from tools.bench.relay import serve
from tools.bench.result import BenchResult
from tools.command.needs import is_installed
from tools.rig.processes import kill, reap_within, shared, spawn, wait_for

RATE = 1_000_000
PORTION = 1000
"""Messages of a commit: a millisecond of them."""
RING_BYTES = 1 << 28
"""Nearly a second of the messages: the longest that a consumer may stand still."""
RETAIN_BYTES = 1 << 29
"""Of the journal: a minute of it would be 17 GB."""
WHOLE_S, ASKED_S, SHORTER = 60.0, 10.0, 10
"""From ASKED_S on a run takes WHOLE_S at least; otherwise SHORTER times what is asked, ASKED_S at most."""
LEAST_S = 1.0
LOOKS = 12
"""At the memory of each process; those of the first half of a run do not count, for buffers and tables still fill."""
LEAST_RATE = 0.99
MOST_GROWTH = 1.0
"""MB a minute."""
START_S = 120.0
"""With kernels that nobody compiled before."""
DRAIN_S = 5.0
SCRAPE_S = 1.0
PATIENCE_S = 60.0
NEVER_PIPS = 1 << 40
"""A threshold that no price passes."""
SIZE = len(message())
STRIDE = SIZE + 7 & -8
ORIGIN = EventOrigin.layout.dtype
ORIGIN_AT = SIZE - EventOrigin.layout.size
"""The last record of a message."""
IDENTITY = (bytes([101] * 20), bytes([102] * 20), Venue.QUICKSWAP_V2, 18, 6)
READY, RECEIVED, LAST_NS, COLUMNS = range(4)
CLIENT, JOURNAL, STRATEGY = "ring -> relay -> client", "ring -> journal", "ring -> native strategy"
ALL = "all three with obs"


class SustainedRing(NamedTuple):
    """What the processes of a run share."""

    name: str
    folder: Path
    counts: Longs
    """int64[COLUMNS] of each consumer, which it alone writes; of the publisher READY is when it began, in ns."""
    stop: Longs
    """int64[1]: not 0 once they are to end."""


class SustainedRun(NamedTuple):
    """What was seen of one run."""

    seconds: float
    published: int
    received: dict[str, int]
    rates: dict[str, float]
    """Million messages a second of each consumer, until it had its last one."""
    memory: dict[str, list[tuple[float, float]]]
    """(seconds, MB) of each process."""
    note: str


def run(seconds: float) -> Iterator[BenchResult]:
    """Each consumer alone, then all at once."""
    warm_ring()
    warm_relay()
    length = length_of(seconds)
    for name, consumers in ((CLIENT, [CLIENT]), (JOURNAL, [JOURNAL]), (STRATEGY, [STRATEGY])):
        yield from results(name, measure(consumers, length))
    yield from results(ALL, measure([CLIENT, JOURNAL, STRATEGY], length, watched=True))


def length_of(seconds: float) -> float:
    """How long a run takes, in seconds."""
    return max(seconds, WHOLE_S) if seconds >= ASKED_S else min(max(SHORTER * seconds, LEAST_S), ASKED_S)


def results(name: str, found: SustainedRun) -> Iterator[BenchResult]:
    """The rows of a run: rate of the slowest consumer, what was lost, and how the memory grew that grew most."""
    is_whole = found.seconds >= WHOLE_S
    length = f"{found.seconds:g} s{'' if is_whole else ' (a minute with --seconds 10)'}"
    offered = RATE / 1e6
    slowest = min(found.rates, key=lambda one: found.rates[one])
    rate = found.rates[slowest]
    said = "" if len(found.rates) == 1 else f"; slowest {slowest}"
    yield BenchResult(
        f"sustained, {name}: rate",
        rate,
        "M messages/s",
        "offered",
        offered,
        rate / offered,
        LEAST_RATE,
        f"{length}; {cores_said(len(os.sched_getaffinity(0)))}{said}{found.note}",
    )
    lost = sum(found.published - count for count in found.received.values())
    yield BenchResult(
        f"sustained, {name}: lost",
        lost,
        "messages",
        "published",
        found.published,
        1.0 if not lost else 0.0,
        0.0,
        f"{length}; counted where they arrive",
        higher_is_better=False,
    )
    grown = {
        process: line_of([(at / 60, size) for at, size in looks if at >= found.seconds / 2])
        for process, looks in found.memory.items()
    }
    slopes = {process: line.slope for process, line in grown.items() if line is not None}
    most = max(slopes, key=lambda one: slopes[one], default="")
    looks = found.memory.get(most, [])
    sizes = ", ".join(f"{process} {seen[-1][1]:.1f} MB" for process, seen in found.memory.items() if seen)
    yield BenchResult(
        f"sustained, {name}: memory growth",
        slopes.get(most, 0.0),
        "MB/min",
        "MB at the end",
        looks[-1][1] if looks else 0.0,
        1.0,
        MOST_GROWTH if is_whole else None,
        f"{length}; of {most}, which grew most; {sizes}",
        higher_is_better=False,
        points=tuple(looks),
    )


# ---- one run


def measure(consumers: list[str], seconds: float, *, watched: bool = False) -> SustainedRun:
    """Publish for so long to these consumers, then let them take what is left."""
    name = f"market.bench.{os.getpid()}.{secrets.token_hex(3)}"
    signals = f"signal.{name}"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-sustained")))
        for ring, size in ((name, RING_BYTES), (signals, 1 << 20)):
            with Writer.create(ring, capacity=size, layout_digest=LAYOUT_DIGEST):
                pass
            stack.callback(unlink, ring)
        counts = {one: shared(np.int64, COLUMNS) for one in consumers}
        published, stop = shared(np.int64, COLUMNS), shared(np.int64, 1)
        pids: dict[str, int] = {}
        stack.callback(end_all, pids)
        note = ""
        for one in consumers:
            setting = SustainedRing(name, folder, counts[one], stop)
            if one == CLIENT:
                pids["relay"] = spawn(partial(serve, name, folder / "relay.sock", PATIENCE_S))
            pids[SHORT[one]] = spawn(partial(WORK[one], setting))
            wait_for(partial(setting.counts.__getitem__, READY), START_S)
        scrape: str | None = None
        if watched and is_installed("uvicorn"):
            looker, scrape = stack.enter_context(obs(name))
            pids["obs"] = looker.pid
            scraped(scrape)  # the first answer takes longest
        elif watched:
            note = "; without obs, which is not installed"
        pids["publisher"] = spawn(partial(publish, name, seconds, published))
        memory = look_at(pids, seconds, scrape)
        wait_for(partial(published.__getitem__, LAST_NS), seconds + PATIENCE_S)
        count = int(published[RECEIVED])
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: all(one[RECEIVED] >= count for one in counts.values()), DRAIN_S)
        stop[0] = 1
        pids.pop("obs", None)
        for process in ("publisher", *(SHORT[one] for one in consumers)):
            reap_within(pids.pop(process), DRAIN_S)
    received = {one: int(found[RECEIVED]) for one, found in counts.items()}
    took = {one: (int(found[LAST_NS]) - int(published[READY])) / NS for one, found in counts.items()}
    rates = {one: received[one] / took[one] / 1e6 if received[one] else 0.0 for one in consumers}
    return SustainedRun(seconds, count, received, rates, memory, note)


def unlink(ring: str) -> None:
    """Remove a ring."""
    with Writer.open(ring, layout_digest=LAYOUT_DIGEST) as writer:
        writer.close(unlink=True)


def end_all(pids: dict[str, int]) -> None:
    """End what still runs; obs is ended by who started it."""
    pids.pop("obs", None)
    relay = pids.pop("relay", None)
    if relay is not None:
        os.kill(relay, signal.SIGTERM)
        reap_within(relay, DRAIN_S)
    for pid in pids.values():
        kill(pid)


def look_at(pids: dict[str, int], seconds: float, url: str | None) -> dict[str, list[tuple[float, float]]]:
    """The memory of each process at even times, while the run lasts; obs is scraped meanwhile."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
    begin = time.monotonic()
    with scraped_often(url):
        for number in range(1, LOOKS + 1):
            time.sleep(max(begin + seconds * number / LOOKS - time.monotonic(), 0))
            for name, pid in pids.items():
                with contextlib.suppress(OSError):
                    found[name].append((time.monotonic() - begin, anonymous_mb(pid)))
    return found


@contextlib.contextmanager
def scraped_often(url: str | None) -> Iterator[None]:
    """Within, obs is asked for its metrics each second, if there is one; an answer may take longer than that."""
    over = threading.Event()

    def scrape() -> None:
        while url is not None and not over.wait(SCRAPE_S):
            scraped(url)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def scraped(url: str) -> None:
    """Ask obs for its metrics, as Prometheus does."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        answer.read()


def anonymous_mb(pid: int) -> float:
    """Anonymous memory of a process in RAM; 0 of one that ended."""
    match = re.search(r"^RssAnon:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) / 1000 if match else 0.0


# ---- the processes


def portion() -> Bytes:
    """uint8[PORTION, stride]: a Sync of as many pools, one after the other in a block."""
    rows = []
    for number in range(PORTION):
        sync = PoolSync(number.to_bytes(20, "big"), *IDENTITY, Protocol.UNISWAP_V2, 1 << 200, 1 << 100)
        origin = EventOrigin(1, 0, 0, 0, number, bytes(32), bytes(32))
        rows.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin]).ljust(STRIDE, b"\0"))
    return np.frombuffer(bytearray(b"".join(rows)), np.uint8).reshape(PORTION, STRIDE)


@kernel
def move_to_block(messages: Bytes, block: int) -> None:
    """Put the messages into a block, and seal them again: a book of pools keeps all events of a block."""
    for number in range(len(messages)):
        record_at(messages[number], ORIGIN_AT, ORIGIN)["block_number"] = block
        seal(messages[number], 0, SIZE)


def publish(name: str, seconds: float, counts: Longs) -> None:
    """Publish RATE messages a second, a portion and a block at a time; what is behind is made up for."""
    messages = portion()
    offsets, lengths = np.arange(PORTION, dtype=np.int64) * STRIDE, np.full(PORTION, SIZE, np.int64)
    move_to_block(messages, 1)
    with Writer.open(name, layout_digest=LAYOUT_DIGEST, full_timeout_s=2.0) as writer:
        counts[READY] = time.monotonic_ns()
        begin, published = time.monotonic(), 0
        while (now := time.monotonic()) - begin < seconds:
            ahead_s = published / RATE - (now - begin)
            if ahead_s > 0:
                time.sleep(ahead_s)
                continue
            move_to_block(messages, 1 + published // PORTION)
            writer.publish_many(messages.reshape(-1), offsets, lengths)
            published += PORTION
        counts[RECEIVED] = published
        counts[LAST_NS] = time.monotonic_ns()


def note(counts: Longs, received: int) -> None:
    """Say how many messages came so far."""
    if received != counts[RECEIVED]:
        counts[RECEIVED], counts[LAST_NS] = received, time.monotonic_ns()


def receive(setting: SustainedRing) -> None:
    """The client of the relay."""
    bounds = np.zeros(BOUNDS, np.int64)
    client = ReadingClient(setting.folder / "relay.sock")
    client.socket.settimeout(0.1)
    setting.counts[READY] = 1
    while not setting.stop[0]:
        with contextlib.suppress(TimeoutError):
            client.take(bounds, SIZE)
        note(setting.counts, client.received)


def record(setting: SustainedRing) -> None:
    """The recorder."""
    options: dict[str, Any] = {"fsync": Fsync.INTERVAL, "pack": False, "retain_bytes": RETAIN_BYTES}
    with Recorder(setting.name, setting.folder / "journal", report=lambda line: None, **options) as recorder:
        setting.counts[READY] = 1

        def is_over() -> bool:
            note(setting.counts, recorder.recorded.frames)
            return bool(setting.stop[0])

        recorder.run(is_over, until_closed=False)


def decide(setting: SustainedRing) -> None:
    """The native strategy."""
    with (
        Reader.attach(setting.name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader,
        Writer.open(f"signal.{setting.name}", layout_digest=LAYOUT_DIGEST) as signals,
    ):
        runner = NativeRunner(NativeMover(MoverParams(threshold_pips=NEVER_PIPS)), reader, signals)
        runner.step()
        setting.counts[READY] = 1

        def is_over() -> bool:
            note(setting.counts, int(runner.tally[0]["frames"]))
            return bool(setting.stop[0])

        runner.run(is_over)
        runner.close()


SHORT = {CLIENT: "client", JOURNAL: "recorder", STRATEGY: "strategy"}
WORK: dict[str, Callable[[SustainedRing], None]] = {CLIENT: receive, JOURNAL: record, STRATEGY: decide}
