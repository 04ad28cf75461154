"""A cache line handed from core to core, the least that any message between two cores costs, beside the ring's frame.

Owns this row.  One word goes to and fro between two pinned processes; the reading is the median of one way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from tlv.buffers import Longs, Words
from tools.bench.limits.loops import TRIPS, return_loop, serve_loop
from tools.bench.limits.rounds import (
    FEW_ROUNDS,
    NOT_BESIDE,
    ONE_CORE,
    is_quick,
    middle,
    no_second_core,
    pinning,
    take_turns,
)
from tools.bench.result import BenchResult, unmeasured
from tools.bench.ring.setting import pin, pinned
from tools.bench.ring.topologies import ping_pong
from tools.rig.processes import kill, shared, spawn, wait_for

NAME = "limit, cache line from core to core, one way p50"
SAMPLES = 256
PATIENCE = 1 << 28
"""Looks for one return, a second of them: then the other process has died."""
LOOKS = 1 << 14
HERE, ALIVE = 0, 16
"""Words on lines of their own: the one that goes to and fro, and whether the other side is at work."""


def run(seconds: float) -> Iterator[BenchResult]:
    """The row."""
    if no_second_core():
        yield unmeasured(NAME, "ns", ONE_CORE)
        return
    if is_quick(seconds):
        yield BenchResult(NAME, one_way_ns(seconds), "ns", NOT_BESIDE, 0.0, 0.0, None, pinning())
        return
    measures = {"line": one_way_ns, "ring": lambda length: ping_pong(length).value}
    found = take_turns(measures, seconds, FEW_ROUNDS)
    line, ring = middle(found["line"]), middle(found["ring"])
    yield BenchResult(NAME, line, "ns", "our ring, native", ring, ring / line, None, pinning(), rounds=found["line"])


def one_way_ns(seconds: float) -> float:
    """Nanoseconds of half a round trip, the median over groups of TRIPS."""
    words = shared(np.int64, 32)
    times = np.zeros(SAMPLES, np.int64)
    found: list[Longs] = []
    serve_loop(np.zeros(1, np.int64), times[:0], 1)
    return_loop(np.zeros(1, np.int64), 1)
    with returning(words), pinned(0):
        end = time.perf_counter() + seconds
        while not found or time.perf_counter() < end:
            if serve_loop(words[HERE:], times, PATIENCE) != SAMPLES:
                raise TimeoutError("the other process no longer returns the word")
            found.append(times.copy())
    return float(np.median(np.concatenate(found))) / (2 * TRIPS)


@contextmanager
def returning(words: Words) -> Iterator[None]:
    """The other process, at work."""
    pid = spawn(partial(send_back, words))
    try:
        wait_for(lambda: words[ALIVE])
        yield
    finally:
        kill(pid)


def send_back(words: Words) -> None:
    """In a process of its own, until it is killed."""
    pin(1)
    words[ALIVE] = 1
    while True:
        return_loop(words[HERE:], LOOKS)
