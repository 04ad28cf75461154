"""The ring from Python: what one call costs, and what passes between two pinned Python processes.

Owns the loops that a user of the Python API would write, so nothing in them is compiled but the calls.  Its functions
take a time and a payload's size and return one reading, so that another bench can interleave them with its own.
"""

from __future__ import annotations

import os
import secrets
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from ringbuf import Reader, Wait, Writer
from tlv.units import NS
from tools.bench.ring.loops import nothing
from tools.bench.ring.setting import CAPACITY, peer, pin, pinned, ring
from tools.bench.timing import fastest

CALLS = 1000
BATCH = 256
SPAN = 2500
PINGS = 500
PATIENCE_S = 1.0
MILLION = 1e6


class Passed(NamedTuple):
    """What passed from one process to another."""

    arrived: float
    """Million frames a second: the median of short spans."""
    published: float
    """The same of the publisher in that moment, which waits for nobody."""
    lost_share: float
    """Of the frames published, those that the reader lost to laps, each counted."""


def call_ns(run: Callable[[], None], seconds: float) -> float:
    """Nanoseconds of a call in the fastest of many runs of CALLS: what a disturbed machine cannot make shorter."""
    return fastest(run, seconds) / CALLS * NS


def empty_call_ns(seconds: float) -> float:
    """A compiled function that does nothing, called from Python with one integer: numba's dispatcher."""

    def run() -> None:
        for _ in range(CALLS):
            nothing(1)

    return call_ns(run, seconds)


def publish_call_ns(seconds: float, size: int = 128, *, no_wake: bool = False) -> float:
    """`Writer.publish`, nobody reading."""
    payload = bytes(size)
    with ring(no_wake=no_wake) as writer:

        def run() -> None:
            for _ in range(CALLS):
                writer.publish(payload)

        return call_ns(run, seconds)


def take_call_ns(seconds: float, size: int = 128) -> float:
    """`Reader.take` of frames that are there."""
    payloads = [bytes(size)] * CALLS
    with ring() as writer, Reader.attach(writer.name) as reader:
        end, best_ns = time.perf_counter() + seconds, float("inf")
        while time.perf_counter() < end:
            writer.publish_many(payloads)
            begin = time.perf_counter_ns()
            for _ in range(CALLS):
                reader.take()
            best_ns = min(best_ns, time.perf_counter_ns() - begin)
    return best_ns / CALLS


def one_by_one(seconds: float, size: int = 128) -> Passed:
    """One call for each frame on both sides."""
    payload = bytes(size)

    def publish(writer: Writer) -> int:
        for _ in range(CALLS):
            writer.publish(payload)
        return CALLS

    return passed(publish, _take_each, seconds)


def in_batches(seconds: float, size: int = 128) -> Passed:
    """One call for each BATCH frames on both sides."""
    payloads = [bytes(size)] * BATCH

    def publish(writer: Writer) -> int:
        writer.publish_many(payloads)
        return BATCH

    return passed(publish, _take_batches, seconds)


def one_way_ns(seconds: float, size: int = 128) -> float:
    """Half of the median of there and back over two rings, both sides spinning."""
    back_name = f"bench.{os.getpid()}.{secrets.token_hex(4)}"
    Writer.create(back_name, capacity=1 << 16).close()
    payload = bytes(size)
    times: list[int] = []
    with (
        ring(capacity=1 << 16) as writer,
        Reader.attach(back_name) as reader,
        peer(_send_back, writer.name, back_name) as far,
        pinned(0),
    ):
        reader.seek("latest")
        reader.take()  # the far end's writer is a new one
        publish, take = writer.publish, reader.take
        clock = time.perf_counter_ns
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(PINGS):
                begin = clock()
                publish(payload)
                answer = take(PATIENCE_S, Wait.SPIN)
                times.append(clock() - begin)
                assert isinstance(answer, memoryview), (
                    f"one is on its way at a time, found {answer!r}, {reader.taken!r}"
                )
        far.send("stop")
        publish(b"")
        far.recv()
    Writer.open(back_name).close(unlink=True)
    return statistics.median(times) / 2


def _send_back(connection: Connection, name: str, back: str) -> None:
    """The other process of `one_way_ns`."""
    pin(1)
    with Reader.attach(name) as reader, Writer.open(back, no_wake=True) as writer:
        publish, take = writer.publish, reader.take
        publish(b"")  # compiled, or loaded, before it counts
        take()
        connection.send("ready")
        while not connection.poll():
            for _ in range(PINGS):
                payload = take(0.01, Wait.SPIN)
                if payload is None:
                    break
                publish(payload)  # type: ignore[arg-type]  # none is lost: one is on its way at a time
    connection.recv()
    connection.send("done")


def passed(publish: Callable[[Writer], int], receive: Callable[..., None], seconds: float) -> Passed:
    """What passes between a process that publishes flat out and one that runs `receive(connection, name)`."""
    with ring(capacity=4 * CAPACITY) as writer, peer(receive, writer.name) as far, pinned(0):
        publish(writer)  # the calls are compiled, or loaded
        rates = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begin = time.perf_counter()
            count = publish(writer)
            rates.append(count / (time.perf_counter() - begin))
        far.send("stop")
        arrived, lost_share = far.recv()
    return Passed(arrived, statistics.median(rates) / MILLION, lost_share)


def _take_each(connection: Connection, name: str) -> None:
    """The other process of `one_by_one`."""

    def take(reader: Reader) -> int:
        take = reader.take
        frames = 0
        for _ in range(CALLS):
            if isinstance(take(), memoryview):
                frames += 1
        return frames

    _receive(connection, name, take)


def _take_batches(connection: Connection, name: str) -> None:
    """The other process of `in_batches`."""

    def take(reader: Reader) -> int:
        payloads = reader.take_many(BATCH)
        return len(payloads) if isinstance(payloads, list) else 0

    _receive(connection, name, take)


def _receive(connection: Connection, name: str, take: Callable[[Reader], int]) -> None:
    """Take until a message comes; sends the median rate of spans of SPAN frames, which the machine's pauses spare."""
    pin(1)
    with Reader.attach(name) as reader:
        take(reader)
        connection.send("ready")
        rates, frames, span = [], 0, 0
        begin = time.perf_counter()
        while not connection.poll():
            for _ in range(100):
                span += take(reader)
                if span >= SPAN:
                    now = time.perf_counter()
                    rates.append(span / (now - begin))
                    begin, frames, span = now, frames + span, 0
        connection.recv()
        connection.send((statistics.median(rates) / MILLION, reader.lost / max(frames + reader.lost, 1)))
