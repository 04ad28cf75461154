"""Publish and read in turns: the writer publishes a thousand frames while the reader waits, then the reader reads them.

Owns these rows.  Neither competes for the line of `tail`, so nothing depends on who falls into step with whom, and a
turn that something disturbed is one of many: a reading is the median of turns.  What is left is what a frame costs
whose lines the other core had last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ringbuf import Reader
from tlv.buffers import Longs, Words
from tools.bench.limits.loops import publish_in_turns_loop, read_in_turns_loop
from tools.bench.limits.rounds import middle, pinning, take_turns
from tools.bench.limits.rows import PUBLISH_IN_TURNS, READ_IN_TURNS
from tools.bench.limits.twin import QUEUE, TWIN, closed_ring, rates, shared_memory, started
from tools.bench.result import BenchResult
from tools.bench.ring.setting import PAYLOAD, pin, pinned, ring
from tools.rig.processes import kill, shared, spawn, wait_for

OURS = "our kernels"
FRAMES = 1024
"""Of a turn, as in native.cpp: 192 KiB of a ring, which stay in a core's second cache."""
FIRST_TURNS = 64
"""Three laps, whose pages are new to one side or the other: not timed."""
LOOKS = 1 << 14
"""Of one call of a loop, whose turn it is."""
TURN, READY, TIMED = 0, 16, 32
"""Words on lines of their own: whose turn it is, whether the reader is there, how many of its turns are timed."""
MOST = 1 << 14
"""Turns that are timed of each side."""
MILLION, NS_PER_US = 1e6, 1e3
Rates = tuple[float, float]
"""Million frames a second that were published, and read."""


def rows(program: Path, places: list[int], seconds: float) -> Iterator[BenchResult]:
    """The two rows beside the queue, with the twin's in their notes."""
    works: dict[str, Callable[[float], Rates]] = {
        OURS: ours,
        QUEUE: partial(queue, program, places),
        TWIN: partial(twin, program, places),
    }
    found: dict[str, list[Rates]] = {name: [] for name in works}

    def turn(name: str, length: float) -> float:
        found[name].append(works[name](length))
        return found[name][-1][0]

    take_turns({name: partial(turn, name) for name in works}, seconds)
    for row, side in ((PUBLISH_IN_TURNS, 0), (READ_IN_TURNS, 1)):
        readings = {name: tuple(both[side] for both in values) for name, values in found.items()}
        note = "; ".join(filter(None, (f"{TWIN}: {middle(readings[TWIN]):.1f} M/s", pinning())))
        yield row.reading(middle(readings[OURS]), QUEUE, middle(readings[QUEUE]), note, readings[OURS])


def queue(program: Path, places: list[int], seconds: float) -> Rates:
    """Both sides in C++, without the ring's promises."""
    with (
        shared_memory() as fd,
        shared_memory() as turn,
        started(program, "queue-read-turns", fd, places[1], turn, fds=(fd, turn)) as reader,
        started(program, "queue-publish-turns", fd, places[0], turn, fds=(fd, turn)) as writer,
    ):
        return _rates(*rates(writer, reader, seconds))


def twin(program: Path, places: list[int], seconds: float) -> Rates:
    """Both sides in C++, in a ring of ours."""
    with (
        closed_ring() as name,
        shared_memory() as turn,
        started(program, "ring-read-turns", name, places[1], turn, fds=(turn,)) as reader,
        started(program, "ring-publish-turns", name, places[0], turn, fds=(turn,)) as writer,
    ):
        return _rates(*rates(writer, reader, seconds))


def _rates(writer: tuple[int, float, int], reader: tuple[int, float, int]) -> Rates:
    return writer[0] / writer[1] / MILLION, reader[0] / reader[1] / MILLION


def ours(seconds: float) -> Rates:
    """The writer in this process, the reader in a child."""
    words, times = shared(np.int64, 64), shared(np.int64, MOST)
    written = np.zeros(0, np.int64)
    with ring() as writer, reading_in_turns(writer.name, words, times), pinned(0):
        end = time.perf_counter() + seconds
        while len(written) <= FIRST_TURNS or time.perf_counter() < end:
            took = np.zeros(MOST, np.int64)
            loop = (writer.words, writer.control, writer.state, PAYLOAD, words[TURN:])
            done = publish_in_turns_loop(*loop, FRAMES, took, LOOKS)
            written = np.concatenate([written, took[:done]])
        wait_for(lambda: words[TIMED] > FIRST_TURNS)
        read = times[: words[TIMED]].copy()
    published, polled = (FRAMES * NS_PER_US / float(np.median(side[FIRST_TURNS:])) for side in (written, read))
    return published, polled


@contextmanager
def reading_in_turns(name: str, words: Words, times: Longs) -> Iterator[None]:
    """The other side, at work."""
    # Compiled here, so that the child does not.
    with Reader.attach(name) as reader:
        loop = (reader.words, reader.control, reader.state, reader.out, reader.index)
        read_in_turns_loop(*loop, words[TURN:], FRAMES, times[:0], 0)
    pid = spawn(partial(read_in_turns, name, words, times))
    try:
        wait_for(lambda: words[READY])
        yield
    finally:
        kill(pid)


def read_in_turns(name: str, words: Words, times: Longs) -> None:
    """In a process of its own, until it is killed; the times of the first MOST turns stay."""
    pin(1)
    with Reader.attach(name) as reader:
        loop = (reader.words, reader.control, reader.state, reader.out, reader.index)
        words[READY] = 1
        while True:
            left = times[words[TIMED] :] if words[TIMED] < MOST else np.zeros(1, np.int64)
            done = read_in_turns_loop(*loop, words[TURN:], FRAMES, left, LOOKS)
            words[TIMED] = min(words[TIMED] + done, MOST)
