"""Native publish and read beside C++: our kernels, the ring's twin and a bare broadcast queue, two pinned processes.

Owns these rows.  A reader that does nothing but read keeps up, and holds the writer to the rate at which cache lines
change hands; one that works after each frame is lapped, and the writer shows what it can do: hence two rows of
publishing.  Payloads are 128 bytes, ring and queue 4 MiB; a reader joins a writer that is at work already.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

from ringbuf import Reader
from tools.bench.limits import in_turns
from tools.bench.limits.in_turns import OURS
from tools.bench.limits.loops import read_and_work_loop
from tools.bench.limits.rounds import ONE_CORE, middle, no_second_core, pinning, take_turns
from tools.bench.limits.rows import (
    NATIVE_PUBLISH,
    NATIVE_PUBLISH_KEPT_UP,
    NATIVE_READ,
    PUBLISH_IN_TURNS,
    READ_IN_TURNS,
)
from tools.bench.limits.twin import QUEUE, TWIN, NoTwin, closed_ring, compile_twin, rates, shared_memory, started
from tools.bench.result import BenchResult, unmeasured
from tools.bench.ring.setting import cores, peer, pin, pinned, ring
from tools.bench.ring.topologies import publish_turns

MILLION = 1e6
WITH_WORK, WITHOUT = 8, 0
"""Pauses of the reader after each frame; 8 take some 100 ns."""
LEAD_S = 0.02
ROUNDS = 15
"""Many and short: a side falls into step with the other or does not, and stays so for a while."""
TWIN_PUBLISH, TWIN_READ = f"{TWIN}: publish, one reader that works", f"{TWIN}: read, one reader"


class Traffic(NamedTuple):
    """What a writer and its reader did at the same time, in million frames a second, and the share that was lost."""

    published: float
    read: float
    lost: float


def run(seconds: float) -> Iterator[BenchResult]:
    """The rows with a target, then what the twin does with the same layout."""
    with tempfile.TemporaryDirectory(prefix="bench-limits") as folder:
        try:
            if no_second_core():
                raise NoTwin(ONE_CORE)
            program = compile_twin(Path(folder))
            places = [-1, -1] if pinning() else cores()[:2]
            with peer(read_on_order, 1) as reader:
                rows = list(_rows(program, places, reader, seconds))
                rows += in_turns.rows(program, places, seconds)
        except NoTwin as reason:
            for row in (NATIVE_PUBLISH, NATIVE_PUBLISH_KEPT_UP, NATIVE_READ, PUBLISH_IN_TURNS, READ_IN_TURNS):
                yield row.missing(str(reason))
            for name in (TWIN_PUBLISH, TWIN_READ):
                yield unmeasured(name, "M/s", str(reason))
            return
        yield from rows


def _rows(program: Path, places: list[int], reader: Connection, seconds: float) -> Iterator[BenchResult]:
    works: dict[str, Callable[[int, float], Traffic]] = {
        OURS: partial(ours, reader),
        QUEUE: partial(queue, program, places),
        TWIN: partial(twin, program, places),
    }
    found: dict[tuple[str, int], list[Traffic]] = {}

    def turn(name: str, pauses: int, length: float) -> float:
        traffic = works[name](pauses, length)
        found.setdefault((name, pauses), []).append(traffic)
        return traffic.published

    sides = [(name, pauses) for pauses in (WITH_WORK, WITHOUT) for name in works]
    take_turns({f"{name}, {pauses}": partial(turn, name, pauses) for name, pauses in sides}, seconds, ROUNDS)
    share = middle([traffic.lost for traffic in found[OURS, WITHOUT]])
    rows = (
        (NATIVE_PUBLISH, WITH_WORK, 0, "the reader is lapped"),
        (NATIVE_PUBLISH_KEPT_UP, WITHOUT, 0, ""),
        (NATIVE_READ, WITHOUT, 1, f"{share:.1%} lost to laps, each counted"),
    )
    for row, pauses, side, note in rows:
        readings = tuple(traffic[side] for traffic in found[OURS, pauses])
        baseline = middle([traffic[side] for traffic in found[QUEUE, pauses]])
        said = "; ".join(filter(None, (note, pinning())))
        yield row.reading(middle(readings), QUEUE, baseline, said, readings)
    for name, pauses, side in ((TWIN_PUBLISH, WITH_WORK, 0), (TWIN_READ, WITHOUT, 1)):
        value, baseline = (middle([traffic[side] for traffic in found[who, pauses]]) for who in (TWIN, OURS))
        yield BenchResult(name, value, "M/s", OURS, baseline, value / baseline, None, pinning())


def ours(reader: Connection, pauses: int, seconds: float) -> Traffic:
    """The writer in this process, the reader in its own."""
    with ring() as writer, pinned(0):
        publish_turns(writer, LEAD_S)
        reader.send((writer.name, pauses))
        reader.recv()
        done, took_s = publish_turns(writer, seconds)
        reader.send("stop")
        frames, read_s, lost = reader.recv()
    return Traffic(done / took_s / MILLION, frames / read_s / MILLION, lost / max(frames + lost, 1))


def read_on_order(connection: Connection, place: int) -> None:
    """The reader's process: reads a ring it is told of until the next message; sends (frames, seconds, lost)."""
    pin(place)
    with ring() as writer, Reader.attach(writer.name) as reader:
        read_and_work_loop(reader.words, reader.control, reader.state, reader.out, reader.index, 1, 0)
    connection.send("ready")
    while True:
        try:
            name, pauses = connection.recv()
        except EOFError:  # the benchmark is over
            return
        # From a quarter of the ring ahead of the writer, as after any lap.
        with Reader.attach(name, start="oldest") as reader:
            connection.send("attached")
            begin, frames, before = time.perf_counter(), 0, reader.lost
            while not frames or not connection.poll():
                frames += read_and_work_loop(
                    reader.words, reader.control, reader.state, reader.out, reader.index, 64, pauses
                )
            took_s = time.perf_counter() - begin
            connection.recv()
            connection.send((frames, took_s, reader.lost - before))


def queue(program: Path, places: list[int], pauses: int, seconds: float) -> Traffic:
    """Both sides in C++, without the ring's promises."""
    with (
        shared_memory() as fd,
        started(program, "queue-publish", fd, places[0], fds=(fd,)) as writer,
        started(program, "queue-read", fd, places[1], pauses, fds=(fd,)) as reader,
    ):
        return _traffic(writer, reader, seconds)


def twin(program: Path, places: list[int], pauses: int, seconds: float) -> Traffic:
    """Both sides in C++, in a ring of ours."""
    with (
        closed_ring() as name,
        started(program, "ring-publish", name, places[0]) as writer,
        started(program, "ring-read", name, places[1], pauses) as reader,
    ):
        return _traffic(writer, reader, seconds)


def _traffic(writer: Popen[str], reader: Popen[str], seconds: float) -> Traffic:
    (done, took_s, _), (frames, read_s, lost) = rates(writer, reader, seconds)
    return Traffic(done / took_s / MILLION, frames / max(read_s, 1e-9) / MILLION, lost / max(frames + lost, 1))
