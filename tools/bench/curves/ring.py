"""What a ring costs with more readers, and with longer payloads.

Owns both curves.  Readers are forked processes on the cores that the writer has not; where they are more than these,
they take turns, so it is the sum of what they read that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection, Pipe

import numpy as np

from ringbuf import Reader
from tools.bench.curves.fit import curve
from tools.bench.result import BenchResult
from tools.bench.ring.loops import publish_loop, read_loop
from tools.bench.ring.setting import CAPACITY, PAYLOAD, cores, pin, pinned, ring
from tools.bench.timing import per_second
from tools.rig.processes import reap, spawn

READERS = (0, 1, 2, 4, 8, 16)
PAYLOADS = tuple(1 << power for power in range(6, 15))
POLLS = 16
"""Of a reader between two looks at its orders."""
TURNS = 1 << 11
SLICE_S = 0.05
"""Within which what others do shows: the best of some slices is taken."""
MILLION = 1e6
LEAST_ROOM = 8
"""Slices at least, of each reading."""


def run(seconds: float) -> Iterator[BenchResult]:
    """Both curves."""
    yield from over_readers(seconds)
    yield from over_payloads(seconds)


# ---- readers


def read_on_order(name: str, place: int, orders: Connection) -> None:
    """A reader: for each order, a number of seconds, reads for so long and sends how many frames a second came."""
    pin(place)
    with Reader.attach(name) as reader:
        step = partial(read_loop, reader.words, reader.control, reader.state, reader.out, reader.index, POLLS)
        step()
        orders.send("ready")
        while seconds := orders.recv():
            reader.seek("latest")
            begin, frames = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                frames += step()
            orders.send(frames / (time.perf_counter() - begin))


def over_readers(seconds: float) -> Iterator[BenchResult]:
    """Publishing flat out, and what all readers together get, in million frames a second."""
    published, read = [], []
    others = max(len(cores()) - 1, 1)
    ends: list[Connection] = []
    pids: list[int] = []
    with ring() as writer:
        publish = partial(publish_loop, writer.words, writer.control, writer.state, PAYLOAD, TURNS)
        publish()
        try:
            for count in READERS:
                while len(pids) < count:
                    ours, theirs = Pipe()
                    place = 1 + len(pids) % others if len(cores()) > 1 else 0
                    pids.append(spawn(partial(read_on_order, writer.name, place, theirs)))
                    theirs.close()
                    ours.recv()
                    ends.append(ours)
                for end in ends:
                    end.send(seconds)
                with pinned(0):
                    published.append((float(count), best_rate(publish, seconds)))
                if count:
                    read.append((float(count), sum(end.recv() for end in ends) / MILLION))
            for end in ends:
                end.send(0)
        finally:
            for end in ends:
                end.close()
            for pid in pids:
                reap(pid)
    where = (
        f"on {others} core{'' if others == 1 else 's'} beside the writer's" if len(cores()) > 1 else "all on one core"
    )
    unit = "M frames/s"
    yield curve("readers: publish", unit, published, f"flat out; all readers read, {where}", rises=True)
    yield curve("readers: read, all together", unit, read, where, rises=True)


def best_rate(publish: partial[int], seconds: float) -> float:
    """Million frames a second of the best slice; slices together take the seconds."""
    best, end = 0.0, time.perf_counter() + seconds
    slice_s = min(SLICE_S, seconds / LEAST_ROOM)
    while (begin := time.perf_counter()) < end:
        done = 0
        while (took := time.perf_counter() - begin) < slice_s:
            publish()
            done += TURNS
        best = max(best, done / took)
    return best / MILLION


# ---- payload


def over_payloads(seconds: float) -> Iterator[BenchResult]:
    """Publishing without a reader, and reading what is in the cache, in million frames a second."""
    published, read = [], []
    for size in PAYLOADS:
        with ring() as writer, Reader.attach(writer.name) as reader, pinned(0):
            payload = np.arange(size, dtype=np.uint8)
            count = CAPACITY // (size + 128) // 2
            fill = partial(publish_loop, writer.words, writer.control, writer.state, payload, count)
            published.append((float(size), per_second(fill, count, seconds / 2) / MILLION))
            read.append((float(size), reading_rate(fill, reader, count, seconds / 2) / MILLION))
    half = f"half a ring of {CAPACITY >> 20} MiB at a time"
    yield curve("payload: publish", "M frames/s", published, f"no reader; {half}", rises=True)
    yield curve("payload: read", "M frames/s", read, f"polls of 256 frames; {half}, in the cache", rises=True)


def reading_rate(fill: partial[int], reader: Reader, count: int, seconds: float) -> float:
    """Frames a second that a reader takes of what `fill` published, the best time; filling is not counted."""
    step = partial(read_loop, reader.words, reader.control, reader.state, reader.out, reader.index)
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        fill()
        begin, frames = time.perf_counter(), 0
        while frames < count:
            frames += step(1)
        best = min(best, time.perf_counter() - begin)
    return count / best
