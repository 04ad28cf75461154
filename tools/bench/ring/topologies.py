"""The ring between pinned processes: one_to_one, ping_pong, one_to_three, and its Python API.

Owns the topologies.  Each reading stands beside a baseline of the same run: a plain copy of the same bytes for what is
compiled, a pipe or a `multiprocessing.Queue` for what crosses processes, since absolute numbers say more about the
machine than about the ring.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import numpy as np

from ringbuf import Reader, Status, Writer
from tools.bench.processes import SPAWN
from tools.bench.result import BenchResult
from tools.bench.ring import life as ring_life
from tools.bench.ring import python_face as python
from tools.bench.ring.loops import (
    TURNS,
    copy_loop,
    ping_loop,
    pong_loop,
    publish_and_wake_loop,
    publish_loop,
    publish_when_room_loop,
    read_loop,
    sleep_loop,
)
from tools.bench.ring.setting import CAPACITY, PAYLOAD, cores, peer, pin, pinned, ring

FRAME_BYTES = 192
"""What a 128-byte payload takes: 32 of descriptor, 64-byte aligned."""
PINGS = 2000
ONE_WAY_NS = 700.0
CALLS = 3
"""The target of a call from Python: so many empty ones."""
MILLION = 1e6


def run(seconds: float) -> list[BenchResult]:
    """Every reading; each takes about `seconds`."""
    warm_up()
    copied = per_second(lambda: copy_turns(seconds))
    return [
        *one_to_one(seconds, copied),
        lossless(seconds, copied),
        *alone(seconds, copied),
        ping_pong(seconds),
        *python_face(seconds),
        one_to_three(seconds),
        *ring_life.run(seconds),
    ]


# ---- stopwatches


def per_second(measure: Callable[[], tuple[int, float]]) -> float:
    """What was done over how long it took, in millions."""
    done, took_s = measure()
    return done / took_s / MILLION


def repeat(seconds: float, step: Callable[[], int]) -> tuple[int, float]:
    """Call `step` for `seconds`; returns the sum of what it did and the exact time."""
    begin = time.perf_counter()
    done = 0
    while time.perf_counter() - begin < seconds:
        done += step()
    return done, time.perf_counter() - begin


def warm_up() -> None:
    """Compile the loops, so that no reading pays for it."""
    with ring(capacity=1 << 16) as writer, Reader.attach(writer.name) as reader:
        publish_loop(writer.words, writer.control, writer.state, PAYLOAD, 1)
        publish_and_wake_loop(writer.words, writer.control, writer.state, PAYLOAD, 1)
        publish_when_room_loop(writer.words, writer.control, writer.state, PAYLOAD, 1)
        read_loop(reader.words, reader.control, reader.state, reader.out, reader.index, 1)
        writer.publish(PAYLOAD)
        loop = (reader.words, reader.control, reader.state, reader.out, reader.index, np.zeros(1, dtype=np.int64))
        sleep_loop(*loop)
        copy_loop(np.zeros(32, dtype=np.int64), PAYLOAD.view(np.int64), 0, 1)


# ---- compiled


def copy_turns(seconds: float) -> tuple[int, float]:
    """The baseline: payloads copied into a memory of the ring's size."""
    target, payload = np.zeros(CAPACITY // 8, dtype=np.int64), PAYLOAD.view(np.int64)
    at = 0

    def step() -> int:
        nonlocal at
        at = copy_loop(target, payload, at, TURNS)
        return TURNS

    return repeat(seconds, step)


def publish_turns(writer: Writer, seconds: float, loop: Callable[..., int] = publish_loop) -> tuple[int, float]:
    """Publish flat out."""

    def step() -> int:
        loop(writer.words, writer.control, writer.state, PAYLOAD, TURNS)
        return TURNS

    return repeat(seconds, step)


def read_beside(connection: Connection, name: str, place: int, reliable: bool = False) -> None:
    """A reader in a process of its own: reads until a message comes, then sends (frames, seconds, frames lost)."""
    pin(place)
    with Reader.attach(name, reliable=reliable) as reader:
        read_loop(reader.words, reader.control, reader.state, reader.out, reader.index, 1)
        connection.send("ready")
        begin, frames = 0.0, 0
        while not connection.poll():
            frames += read_loop(reader.words, reader.control, reader.state, reader.out, reader.index, 64)
            begin = begin or (time.perf_counter() if frames else 0.0)
        connection.recv()
        connection.send((frames, time.perf_counter() - begin, reader.lost))


def one_to_one(seconds: float, copied: float) -> list[BenchResult]:
    """A writer flat out and a reader, each on a core of its own."""
    with ring() as writer, peer(read_beside, writer.name, 1) as reader, pinned(0):
        published = per_second(lambda: publish_turns(writer, seconds))
        reader.send("stop")
        frames, took_s, lost = reader.recv()
    share = lost / max(frames + lost, 1)
    return [
        BenchResult(
            name="ring.one_to_one.publish",
            value=published,
            unit="M frames/s",
            baseline_name="copy of 128 bytes",
            baseline_value=copied,
            ratio=published / copied,
            target=10.0,
            note="128-byte payload, pinned, one reader polling",
        ),
        BenchResult(
            name="ring.one_to_one.read",
            value=frames / took_s / MILLION,
            unit="M frames/s",
            baseline_name="copy of 128 bytes",
            baseline_value=copied,
            ratio=frames / took_s / MILLION / copied,
            target=8.0,
            note=f"behind a writer flat out; {share:.1%} lost to laps, each counted",
        ),
    ]


def lossless(seconds: float, copied: float) -> BenchResult:
    """A writer that waits for a reliable reader: the rate when nothing may be lost."""
    with ring() as writer, peer(read_beside, writer.name, 1, True) as reader, pinned(0):

        def step() -> int:
            return publish_when_room_loop(writer.words, writer.control, writer.state, PAYLOAD, TURNS)

        passed = per_second(lambda: repeat(seconds, step))
        reader.send("stop")
        _, _, lost = reader.recv()
    return BenchResult(
        name="ring.one_to_one.reliable",
        value=passed,
        unit="M frames/s",
        baseline_name="copy of 128 bytes",
        baseline_value=copied,
        ratio=passed / copied,
        target=8.0,
        note=f"the reader's place is kept; {lost} lost",
    )


def alone(seconds: float, copied: float) -> list[BenchResult]:
    """Each half by itself: what a frame costs without traffic between the cores."""
    with ring() as writer:
        quiet = per_second(lambda: publish_turns(writer, seconds))
    with ring(no_wake=False) as writer:
        waking = per_second(lambda: publish_turns(writer, seconds, publish_and_wake_loop))
    with ring() as writer, Reader.attach(writer.name) as reader:
        frames, took_s = 0, 0.0
        while took_s < seconds / 2:
            publish_loop(writer.words, writer.control, writer.state, PAYLOAD, CAPACITY // FRAME_BYTES // 2)
            begin = time.perf_counter()
            frames += read_loop(reader.words, reader.control, reader.state, reader.out, reader.index, TURNS // 256)
            took_s += time.perf_counter() - begin
        drained = frames / took_s / MILLION
    rows = (
        ("ring.alone.publish", quiet, None, "no reader, no wake-ups"),
        ("ring.alone.publish_and_wake", waking, None, "with the full fence that looks for sleepers"),
        ("ring.alone.read", drained, 8.0, "frames that are in the cache already"),
    )
    return [
        BenchResult(
            name=name,
            value=value,
            unit="M frames/s",
            baseline_name="copy of 128 bytes",
            baseline_value=copied,
            ratio=value / copied,
            target=target,
            note=note,
        )
        for name, value, target, note in rows
    ]


def answer(connection: Connection, name: str, back: str, place: int) -> None:
    """The other process of ping_pong, first over rings, then over pipes."""
    pin(place)
    with Reader.attach(name) as reader, Writer.open(back, no_wake=True) as writer:
        there = (reader.words, reader.control, reader.state, reader.out, reader.index[:, :1].copy())
        again = (writer.words, writer.control, writer.state, PAYLOAD)
        pong_loop(*there, *again, 1)
        connection.send("ready")
        while not connection.poll():
            pong_loop(*there, *again, TURNS)
    connection.recv()
    connection.send("pipe")
    while (message := connection.recv_bytes()) != b"":
        connection.send_bytes(message)


def ping_pong(seconds: float) -> BenchResult:
    """One frame there and one back, over two rings; half of that is one way."""
    back_name = f"bench.{os.getpid()}.{secrets.token_hex(4)}"
    Writer.create(back_name, capacity=1 << 16).close()
    times: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    with (
        ring(capacity=1 << 16) as writer,
        Reader.attach(back_name) as reader,
        peer(answer, writer.name, back_name, 1) as far,
        pinned(0),
    ):
        reader.poll()
        ping = partial(ping_loop, writer.words, writer.control, writer.state, PAYLOAD, reader.words, reader.control)
        ends = (reader.state, reader.out, reader.index[:, :1].copy())
        samples = np.zeros(PINGS, dtype=np.int64)
        ping(*ends, samples[:1])
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds / 2:
            answered = ping(*ends, samples)
            times.append(samples[:answered].copy())
        far.send("stop")
        far.recv()
        piped = [pipe_round_trip(far) for _ in range(PINGS)]
        far.send_bytes(b"")
    Writer.open(back_name).close(unlink=True)
    one_way = float(np.median(np.concatenate(times))) / 2
    over_pipe = float(np.median(piped)) / 2
    return BenchResult(
        name="ring.ping_pong.one_way_p50",
        value=one_way,
        unit="ns",
        baseline_name="multiprocessing.Pipe, same processes",
        baseline_value=over_pipe,
        ratio=over_pipe / one_way,
        target=1000.0,
        note="128-byte payload, pinned, both sides spin; clock calls included",
    )


def pipe_round_trip(connection: Connection) -> int:
    """Nanoseconds for the same payload there and back over a pipe."""
    begin = time.perf_counter_ns()
    connection.send_bytes(PAYLOAD.data)
    connection.recv_bytes()
    return time.perf_counter_ns() - begin


def one_to_three(seconds: float) -> BenchResult:
    """One writer and three readers: what the slowest of them gets."""
    with (
        ring() as writer,
        peer(read_beside, writer.name, 1) as first,
        peer(read_beside, writer.name, 2) as second,
        peer(read_beside, writer.name, 3) as third,
        pinned(0),
    ):
        published = per_second(lambda: publish_turns(writer, seconds))
        readers = (first, second, third)
        for reader in readers:
            reader.send("stop")
        slowest = min(frames / took_s / MILLION for frames, took_s, _ in (reader.recv() for reader in readers))
    return BenchResult(
        name="ring.one_to_three.slowest_read",
        value=slowest,
        unit="M frames/s",
        baseline_name="publish in the same moment",
        baseline_value=published,
        ratio=slowest / published,
        target=None,
        note=f"4 processes on {len(cores())} cores",
    )


# ---- the Python API


def python_face(seconds: float) -> list[BenchResult]:
    """`Writer.publish`, `Reader.poll` in batches, and iteration, against a queue and a pipe."""
    queued = per_second(lambda: queue_turns(seconds, PAYLOAD.tobytes()))
    polled = per_second(lambda: poll_turns(seconds, walk=False))
    walked = per_second(lambda: poll_turns(seconds, walk=True))
    each, batches = python.one_by_one(seconds), python.in_batches(seconds)
    rows = (
        ("ring.python.one_by_one", each.arrived, 5.0, f"Python to Python, publish and take; {shown(each)}"),
        ("ring.python.in_batches", batches.arrived, 20.0, f"publish_many and take_many of 256; {shown(batches)}"),
        ("ring.python.poll", polled, 1.5, "256 frames per call, read as arrays"),
        ("ring.python.iterate", walked, None, "the same, one Frame object each"),
    )
    return [
        *python_calls(seconds),
        *(
            BenchResult(
                name=name,
                value=value,
                unit="M frames/s",
                baseline_name="multiprocessing.Queue between two processes",
                baseline_value=queued,
                ratio=value / queued,
                target=target,
                note=note,
            )
            for name, value, target, note in rows
        ),
    ]


def shown(passed: python.Passed) -> str:
    """What stands beside the rate that arrived."""
    return f"published at {passed.published:.1f} M/s, {passed.lost_share:.0%} lost to laps, each counted"


def python_calls(seconds: float) -> list[BenchResult]:
    """What one call takes, and what a frame takes on its way, beside an empty call of a compiled function."""
    empty_ns = python.empty_call_ns(seconds / 4)
    rows = (
        ("ring.python.publish", python.publish_call_ns(seconds / 4), "one call per frame, sleepers looked for"),
        ("ring.python.take", python.take_call_ns(seconds / 4), "one call per frame, a memoryview each"),
        (
            "ring.python.one_way_p50",
            python.one_way_ns(seconds),
            "two pinned processes, both spin; clock calls included",
        ),
    )
    return [
        BenchResult(
            name=name,
            value=value,
            unit="ns",
            baseline_name="empty call of a compiled function",
            baseline_value=empty_ns,
            ratio=empty_ns / value,
            target=ONE_WAY_NS if "way" in name else CALLS * empty_ns,
            note=note,
        )
        for name, value, note in rows
    ]


def poll_turns(seconds: float, *, walk: bool) -> tuple[int, float]:
    """Read full rings in batches; filling them is not counted."""
    fill = CAPACITY // FRAME_BYTES // 2
    frames, took_s = 0, 0.0
    with ring() as writer, Reader.attach(writer.name) as reader:
        while took_s < seconds / 2:
            publish_loop(writer.words, writer.control, writer.state, PAYLOAD, fill)
            begin = time.perf_counter()
            while (poll := reader.poll()).status is Status.OK:
                frames += sum(1 for _ in poll) if walk else len(poll)
            took_s += time.perf_counter() - begin
    return frames, took_s


def take_all(connection: Connection, queue: multiprocessing.Queue[bytes]) -> None:
    """The other process of the queue: takes until it gets an empty payload."""
    pin(1)
    connection.send("ready")
    while queue.get():
        pass
    connection.send("done")


def queue_turns(seconds: float, payload: bytes) -> tuple[int, float]:
    """The baseline: the same payloads through a queue to another process, until the last has arrived."""
    queue: multiprocessing.Queue[bytes] = SPAWN.Queue(1000)
    with peer(take_all, queue) as far, pinned(0):
        begin = time.perf_counter()
        count = 0
        while time.perf_counter() - begin < seconds:
            queue.put(payload)
            count += 1
        queue.put(b"")
        far.recv()
        took_s = time.perf_counter() - begin
    queue.close()
    return count, took_s
