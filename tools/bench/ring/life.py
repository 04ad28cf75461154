"""Attaching, taking over from a killed writer, waking a sleeper, and the cost of readers that are attached and idle.

Owns these four readings.  Times are of single events, so each reading is a quantile of many, beside the time of the
system calls that it cannot do without.
"""

from __future__ import annotations

import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, Pipe

import numpy as np

from ringbuf import Reader, Writer, kernels
from ringbuf.layout import TICKET, WAKE
from ringbuf.names import ring_object
from ringbuf.segment import path_of
from tools.bench.result import BenchResult
from tools.bench.ring.loops import TURNS, publish_and_wake_loop, sleep_loop
from tools.bench.ring.setting import PAYLOAD, peer, pin, pinned, ring
from tools.rig.processes import kill, reap, shared, spawn, wait_for

SMALL = 1 << 16
CAPACITY = 1 << 22
IDLE_READERS = (1, 4, 16)
SLICES = 16
"""Slices of a quarter of a millisecond in one block; the fastest counts, since other work only makes them slower."""
LEAST_EVENTS = 20
INTERVAL = 0.95


def run(seconds: float) -> list[BenchResult]:
    """Every reading; each takes about `seconds`."""
    return [attach(seconds), restart(seconds), wake_up(seconds), *(idle(count, seconds) for count in IDLE_READERS)]


def timed_until(seconds: float, event: Callable[[], float]) -> list[float]:
    """What `event` returns, again and again for `seconds`, at least twenty times."""
    end = time.perf_counter() + seconds
    times: list[float] = []
    while len(times) < LEAST_EVENTS or time.perf_counter() < end:
        times.append(event())
    return times


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def quantile(times: list[float], share: float) -> float:
    """The time within which `share` of the events were over."""
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


# ---- attach and restart


def attach(seconds: float) -> BenchResult:
    """`Reader.attach` and `close` of a ring of 4 MiB, against opening and mapping a file of that size."""
    with ring(no_wake=False) as writer:
        writer.publish(PAYLOAD)
        path = path_of(ring_object(writer.name))

        def bare() -> None:
            fd = os.open(path, os.O_RDONLY)
            mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ).close()
            os.close(fd)

        took = quantile(timed_until(seconds, lambda: elapsed(lambda: Reader.attach(writer.name).close())), 0.5) * 1e3
        least = quantile(timed_until(seconds / 4, lambda: elapsed(bare)), 0.5) * 1e3
    return BenchResult(
        "ring.attach.p50", took, "ms", "open and mmap alone", least, least / took, 5.0, "and detach; kernels warm"
    )


def publish_until_killed(name: str, alive: np.ndarray) -> None:
    """The writer that will be killed."""
    writer = Writer.open(name)
    while True:
        publish_and_wake_loop(writer.words, writer.control, writer.state, PAYLOAD, 64)
        alive[0] = 1


def restart(seconds: float) -> BenchResult:
    """From the death of a writer that publishes flat out to the first frame of the next, kernels warm."""
    alive = shared(np.int64, 1)
    with ring(capacity=SMALL, no_wake=False) as first:
        name = first.name
        first.close()

        def take_over() -> float:
            alive[0] = 0
            writer = spawn(partial(publish_until_killed, name, alive))
            wait_for(alive.any)
            kill(writer)
            begin = time.perf_counter()
            with Writer.open(name) as successor:
                successor.publish(PAYLOAD)
                return time.perf_counter() - begin

        took = timed_until(seconds, take_over)
        Writer.open(name).close(unlink=True)

    def begin_anew() -> float:
        begin = time.perf_counter()
        with ring(capacity=SMALL, no_wake=False) as writer:
            writer.publish(PAYLOAD)
            return time.perf_counter() - begin

    anew = quantile(timed_until(seconds / 4, begin_anew), 0.99) * 1e3
    slow = quantile(took, 0.99) * 1e3
    return BenchResult(
        "ring.restart.p99",
        slow,
        "ms",
        "a new ring and its first frame",
        anew,
        anew / slow,
        20.0,
        f"{len(took)} writers killed; p50 {quantile(took, 0.5) * 1e3:.2f} ms",
    )


# ---- wake-ups


def sleeper(connection: Connection, name: str, place: int) -> None:
    """The other process of wake_up: sleeps on the ring, then on a pipe, and sends how late it woke, in ns."""
    pin(place)
    late = np.zeros(1, dtype=np.int64)
    with Reader.attach(name, start="oldest") as reader:
        loop = partial(sleep_loop, reader.words, reader.control, reader.state, reader.out, reader.index, late)
        loop()
        connection.send("ready")
        while not connection.poll():
            if loop():
                connection.send(int(late[0]))
    connection.recv()
    connection.send("pipe")
    while sent := connection.recv():
        connection.send(time.monotonic_ns() - sent)


def wake_up(seconds: float) -> BenchResult:
    """From a publish to the sleeper's next instruction, in another process, on another core."""
    with ring(capacity=SMALL, no_wake=False) as writer, peer(sleeper, writer.name, 1) as far, pinned(0):

        def wake_once() -> float:
            wait_for(lambda: kernels.get_word(writer.control, TICKET) > kernels.get_word(writer.words, WAKE))
            time.sleep(0.0005)  # the ticket is taken; the futex call follows
            writer.publish(PAYLOAD)
            return float(far.recv())

        def wake_by_pipe() -> float:
            time.sleep(0.0005)
            far.send(time.monotonic_ns())
            return float(far.recv())

        took = quantile(timed_until(seconds, wake_once), 0.5) / 1e3
        far.send("stop")
        far.recv()
        piped = quantile(timed_until(seconds / 4, wake_by_pipe), 0.5) / 1e3
        far.send(0)
    return BenchResult(
        "ring.wake.p50", took, "us", "a pipe between the same processes", piped, piped / took, 30.0, "futex, pinned"
    )


# ---- idle readers


def attach_and_detach_on_order(name: str, orders: Connection) -> None:
    """An idle reader: attached between two orders, otherwise gone."""
    while orders.recv():
        reader = Reader.attach(name)
        orders.send("attached")
        orders.recv()
        reader.close()
        del reader
        orders.send("detached")


@contextmanager
def idlers(name: str, count: int) -> Iterator[Callable[[bool], None]]:
    """`count` processes that attach (True) and detach (False) at each call."""
    ends, pids = [], []
    for _ in range(count):
        ours, theirs = Pipe()
        pids.append(spawn(partial(attach_and_detach_on_order, name, theirs)))
        theirs.close()
        ends.append(ours)

    def order(attached: bool) -> None:
        for end in ends:
            end.send(attached or "detach")
        for end in ends:
            end.recv()

    try:
        yield order
    finally:
        for end in ends:
            end.send(False)
        for pid in pids:
            reap(pid)


def fastest_slice(writer: Writer) -> float:
    """Seconds of the fastest of some slices of publishing."""
    slice_ = partial(publish_and_wake_loop, writer.words, writer.control, writer.state, PAYLOAD, TURNS)
    return min(elapsed(slice_) for _ in range(SLICES))


def interval_of_median(values: list[float]) -> tuple[float, float]:
    """Where the median lies with a confidence of 95 %: order statistics, whatever the distribution."""
    ordered, count = sorted(values), len(values)
    deviations = statistics.NormalDist().inv_cdf((1 + INTERVAL) / 2)
    at = max(int((count - deviations * count**0.5) / 2) - 1, 0)
    return ordered[at], ordered[count - 1 - at]


def idle(count: int, seconds: float) -> BenchResult:
    """Publishing with idle readers attached, in per cent of publishing without.

    A noisy machine drifts by far more than the 5 % that are asked about, so neighbours in time are compared: rounds of
    without, with, with, without on one ring; each round is one ratio, and the reading their median.
    """
    ratios: list[float] = []
    quiet: list[float] = []
    with ring(no_wake=False) as writer, idlers(writer.name, count) as attached, pinned(0):
        fastest_slice(writer)
        end = time.perf_counter() + seconds
        while len(ratios) < LEAST_EVENTS or time.perf_counter() < end:
            before = fastest_slice(writer)
            attached(True)
            beside = fastest_slice(writer) + fastest_slice(writer)
            attached(False)
            after = fastest_slice(writer)
            ratios.append((before + after) / beside)
            quiet.append((before + after) / 2)
    low, high = interval_of_median(ratios)
    ratio = statistics.median(ratios)
    return BenchResult(
        f"ring.idle_readers.{count}",
        100 * ratio,
        "%",
        "publish without readers, M frames/s",
        TURNS / statistics.median(quiet) / 1e6,
        ratio,
        95.0,
        f"{len(ratios)} paired rounds; with 95 % confidence {100 * low:.1f} to {100 * high:.1f} %",
    )
