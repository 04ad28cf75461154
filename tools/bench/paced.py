"""A publisher at a steady pace in a process and on a core of its own, and a bare reader of what it publishes.

Owns the compiled loops of both.  A frame bears the time at which it was published, so that what its reader does can be
counted from there: the clock is CLOCK_MONOTONIC, the same in both processes.  The bare reader does nothing but look at
its clock; what it counts is what the ring and the machine cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np

from ringbuf import Histogram, Reader, Writer
from ringbuf.atomics import monotonic_ns, pause
from ringbuf.kernels import count_duration, poll_into, publish_and_wake
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from ringbuf.status import OK
from tlv.buffers import Bytes, Longs, State, Words
from tlv.jit import kernel
from tlv.units import MS, NS
from tools.bench.ring.setting import peer, pin

SLICE_NS = 10 * MS
"""No loop runs longer: Ctrl-C is served between two."""
STILL_NS = 10_000
"""A loop that reads its clock every 50 ns and finds this gone was interrupted."""


def table_of(messages: Sequence[bytes], repeated: int = 1) -> tuple[Bytes, Longs]:
    """Messages end to end in a buffer, and their table as polls have it, so many times."""
    table, at, parts = np.zeros((INDEX_ROWS, len(messages)), np.int64), 0, []
    for column, data in enumerate(messages):
        padded = data + bytes(-len(data) % 8)
        table[SEQUENCE_ROW, column], table[OFFSET_ROW, column], table[LENGTH_ROW, column] = column + 1, at, len(data)
        parts.append(padded)
        at += len(padded)
    return np.frombuffer(bytearray(b"".join(parts)), np.uint8), np.ascontiguousarray(np.tile(table, (1, repeated)))


@kernel
def publish_paced(
    words: Words, control: Words, writer: State, buffer: Bytes, table: Longs, due: Longs, count: int, gap_ns: int
) -> int:
    """Publish the messages in turn, `gap_ns` apart, `count` of them or for a slice; how many.

    due: int64[1], when the next one is.  Behind a delay the pace goes on from there: frames made up for in a burst
    would wait for each other.
    """
    until = monotonic_ns() + SLICE_NS
    for done in range(count):
        now = monotonic_ns()
        while now < due[0]:
            if now > until:
                return done
            pause()
            now = monotonic_ns()
        column = done % table.shape[1]
        offset, length = table[OFFSET_ROW, column], table[LENGTH_ROW, column]
        publish_and_wake(words, control, writer, buffer, offset, length, 0, 0, now)
        due[0] = max(due[0], now - gap_ns) + gap_ns
    return count


@kernel
def read_ages(words: Words, control: Words, reader: State, out: Longs, index: Longs, ages: Longs, stops: Longs) -> None:
    """Look for frames for a slice and count how old each was when it had come.

    ages, stops: words of histograms; `stops` is of the times for which this loop stood still.
    """
    before = monotonic_ns()
    until = before + SLICE_NS
    while before < until:
        if poll_into(words, control, reader, out, index, index.shape[1]) == OK:
            now = monotonic_ns()
            for column in range(reader[0]["count"]):
                count_duration(ages, 0, now - index[TIME_ROW, column], 1)
        now = monotonic_ns()
        if now - before > STILL_NS:
            count_duration(stops, 0, now - before, 1)
        before = now


def publish_on_order(connection: Connection, name: str, place: int) -> None:
    """The publisher's process: (messages, frames a second, how many) until None comes."""
    pin(place)
    with Writer.open(name) as writer:
        connection.send("ready")
        while (order := connection.recv()) is not None:
            messages, pace, left = order
            buffer, table = table_of(messages)
            due = np.array([time.monotonic_ns()], np.int64)
            while left:
                done = publish_paced(
                    *(writer.words, writer.control, writer.state, buffer, table, due, left, round(NS / pace))
                )
                table = np.ascontiguousarray(np.roll(table, -done, axis=1))
                left -= done
            connection.send("done")


Order = Callable[[Sequence[bytes], float, int], None]
"""Has messages published at a pace, so many a second and so many in all; returns at once."""


@contextmanager
def publisher(name: str, place: int = 1) -> Iterator[Order]:
    """A process on another core that publishes into the ring `name`, which nobody else writes."""
    with peer(publish_on_order, name, place) as far:
        ordered = 0

        def order(messages: Sequence[bytes], pace: float, count: int) -> None:
            nonlocal ordered
            if ordered:
                far.recv()
            far.send((list(messages), pace, count))
            ordered += 1

        yield order
        if ordered:
            far.recv()
        far.send(None)


def read_barely(reader: Reader, count: int) -> tuple[Histogram, Histogram]:
    """Read `count` frames that come and do nothing with them: their ages, and for how long this core stood still."""
    ages, stops = Histogram(), Histogram()
    end = reader.sequence + count
    while reader.sequence < end:
        read_ages(reader.words, reader.control, reader.state, reader.out, reader.index, ages.words, stops.words)
    return ages, stops
