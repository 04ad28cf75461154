"""Row 11: reliable consumers, for which the writer waits: stopped, dead, joining while it runs.

Owns the campaigns about reliable mode.  It must never know how the gate is computed.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np

from ringbuf import Full, Reader, RingFull, RingInfo, Status, Writer
from tools.prove.ring.native import TALLY, Checker, SelfCheckingFrames, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, kill, reap, shared, spawn, wait_for

BOUND_S = 0.05
SMALL = 1 << 16


def consume(name: str, tally: np.ndarray, evicted: np.ndarray) -> None:
    """Read reliably until the ring is closed; note in `evicted` whether the reader reports an eviction."""
    checker = Checker(Reader.attach(name, reliable=True), tally)
    while (status := checker.read(4)) not in {Status.CLOSED, Status.CORRUPT}:
        if status == Status.EMPTY:
            checker.reader.wait(0.05)
        evicted[0] = evicted[0] or checker.reader.evicted


def publish_slowly(writer: Writer, frames: int) -> None:
    """Publish self-checking frames; where the ring is full through the Python API, which waits."""
    source = SelfCheckingFrames(writer)
    left = frames
    while left > 0:
        before = writer.next_sequence
        if source.publish(min(left, 500)) < 0:
            write_next(source)
        left -= writer.next_sequence - before


def write_next(source: SelfCheckingFrames) -> None:
    """Publish the frame that the compiled loop could not, waiting for room."""
    length = 8 + source.writer.next_sequence * 7 % 193
    source.writer.publish(source.buffer[:length])


@timed
def prove_reliable_consumers(frames: int = 300_000) -> Outcome:
    """Row 11: no loss while it reads; stopped, it is evicted after the bound and reports it; dead, freed at once."""
    warm_native()
    tally, evicted = shared(TALLY, 1), shared(np.int64, 1)
    with fresh_name("reliable") as name:
        with Writer.create(name, capacity=SMALL, full_timeout_s=5.0) as writer:
            SelfCheckingFrames(writer).publish(2000)  # the gate is cached when the consumer joins
            child = spawn(partial(consume, name, tally, evicted))
            wait_for(lambda: tally[0]["started_at"])
            publish_slowly(writer, frames)
            waits = RingInfo.read(name).counters["back_pressure"]
        code = reap(child)
        lossless = int(tally[0]["lost"]) == 0 and not evicted[0] and not tally[0]["torn"] and code == 0
        stopped = stop_dead_and_full(name)
    summary = f"{int(tally[0]['delivered'])} frames to a consumer that joined late, 0 lost, {waits} waits; {stopped[1]}"
    return Outcome(11, "reliable consumers", lossless and stopped[0], summary)


def stop_dead_and_full(name: str) -> tuple[bool, str]:
    """A consumer that stops, one that dies, and what the three policies do."""
    tally, evicted = shared(TALLY, 1), shared(np.int64, 1)
    with Writer.open(name, full_timeout_s=BOUND_S) as writer:
        child = spawn(partial(consume, name, tally, evicted))
        wait_for(lambda: tally[0]["started_at"])
        os.kill(child, signal.SIGSTOP)
        begin = time.monotonic()
        publish_slowly(writer, 5000)
        waited = time.monotonic() - begin
        slots = RingInfo.read(name).slots
        held = len(slots) == 1 and slots[0].alive and slots[0].evicted
        other = Reader.attach(name, reliable=True)
        apart = {slot.slot for slot in RingInfo.read(name).slots} == {0, 1}  # the evicted one's slot is not reused
        other.close()
        os.kill(child, signal.SIGCONT)
        wait_for(evicted.any)
        kill(child)
        tally[0]["started_at"] = 0
        dead = spawn(partial(consume, name, tally, shared(np.int64, 1)))
        wait_for(lambda: tally[0]["started_at"])
        kill(dead)
        before = RingInfo.read(name).counters["evictions"]
        publish_slowly(writer, 5000)
        freed = RingInfo.read(name).counters["evictions"] == before
    with Writer.open(name, full=Full.RAISE, full_timeout_s=0.001) as writer, Reader.attach(name, reliable=True):
        raised = False
        try:
            publish_slowly(writer, 5000)
        except RingFull:
            raised = True
    with Writer.open(name, full=Full.DROP_NEW, full_timeout_s=0.001) as writer, Reader.attach(name, reliable=True):
        while writer.publish(bytes(4000)):
            pass
        dropped = RingInfo.read(name).counters["dropped"]
    good = held and apart and freed and raised and dropped == 1 and waited >= BOUND_S
    told = "told" if evicted[0] else "NOT told"
    seen = f"stopped one evicted after {waited * 1e3:.0f} ms, {told}, its slot kept; dead one freed at once"
    return good, seen + "; RAISE raised; DROP_NEW counted"
