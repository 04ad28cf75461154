"""Runs a strategy on a live ring and publishes its signals into a ring of its own.

Owns the loop: poll, select, deliver, publish, wait.  Knows no strategy.  `Driver` drives the strategy here and on a
journal, so both give the same signals.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from consumers.select_frames import select_frames
from consumers.strategy import Draft, Driver, filter_of
from ringbuf import CorruptRing, Reader, RingOrphaned, Status, Wait, Writer
from tlv.buffers import Longs
from tlv.codes import Domain
from tlv.message import build

FRAMES_PER_POLL = 256
WAIT_S = 0.2
"""How long a stop request may go unnoticed in a quiet market."""
HEARTBEAT_S = 1.0
"""A signal ring may be silent for hours; by the heartbeat its readers know that the writer runs."""
KEPT_LATENCIES = 100_000


class Latency(NamedTuple):
    """Quantiles of a list of latencies, in ns.  Signed: a block may come before its own timestamp."""

    samples: int
    p50: int
    p99: int
    max: int


def summarise(samples: deque[int]) -> Latency | None:
    """Median, 99th percentile (nearest rank) and maximum; None without samples."""
    if not samples:
        return None
    ordered = sorted(samples)
    count = len(ordered)
    return Latency(count, ordered[(count + 1) // 2 - 1], ordered[(99 * count + 99) // 100 - 1], ordered[-1])


def rest(reader: Reader, status: Status, mode: Wait = Wait.BACKOFF) -> None:
    """Wait after a poll that returned `status`, for at most `WAIT_S`.

    Raises:
        RingOrphaned: nothing will ever be published in this ring again.
    """
    if status is Status.CLOSED:
        time.sleep(WAIT_S)
        status = reader.check()
    elif status is Status.EMPTY:
        status = reader.wait(WAIT_S, mode)
    if status is Status.ORPHANED:
        raise RingOrphaned(f"ring {reader.name}: its name is gone or means another ring; start again")


class Runner:
    """One strategy between two rings."""

    def __init__(
        self,
        driver: Driver,
        reader: Reader,
        writer: Writer,
        *,
        wait: Wait = Wait.BACKOFF,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.driver = driver
        self.published = 0
        self.published_late = 0
        """Signals on frames that were in the ring before this runner started; they count for no latency."""
        self.ring_to_signal: deque[int] = deque(maxlen=KEPT_LATENCIES)
        self.receive_to_signal: deque[int] = deque(maxlen=KEPT_LATENCIES)
        self._reader = reader
        self._writer = writer
        self._wait = wait
        self._clock_ns = clock_ns
        self._wanted = filter_of(driver.strategy).tables
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, dtype=np.int64)
        self._began_ns = time.monotonic_ns()

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False) -> None:
        """Until asked to stop; with `until_closed` also when the ring is closed and read to its end.

        A writer that died is waited for: another may take over.

        Raises:
            StrategyStopped, RingOrphaned, CorruptRing.
        """
        heartbeat_due = time.monotonic()
        while not asked_to_stop():
            if time.monotonic() >= heartbeat_due:
                self._writer.heartbeat()
                heartbeat_due = time.monotonic() + HEARTBEAT_S
            status = self.step()
            if status is Status.CLOSED and until_closed:
                return
            rest(self._reader, status, self._wait)

    def step(self) -> Status:
        """Deliver what can be read now.

        Raises:
            StrategyStopped, CorruptRing.
        """
        poll = self._reader.poll(FRAMES_PER_POLL)
        if poll.loss is not None:
            self._publish(self.driver.lose(poll.loss.first, poll.loss.last), 0)
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {self._reader.name}: no frame at position {self._reader.position}")
        count = select_frames(poll.buffer, poll.offsets, poll.lengths, self._wanted, self._chosen)
        self.driver.skip(len(poll) - count)
        for index in self._chosen[:count].tolist():
            frame = poll[index]
            drafts = self.driver.deliver(frame.sequence, frame.publish_time_ns, frame.payload)
            if drafts:
                self._publish(drafts, frame.publish_time_ns)
        return poll.status

    def _publish(self, drafts: list[Draft], published_ns: int) -> None:
        for draft in drafts:
            now_ns = self._clock_ns()
            sequence = self._writer.next_sequence
            data = build(Domain.SIGNAL, draft.source, draft.records, sequence=sequence, timestamp_ns=now_ns)
            self._writer.publish(data)
            self.published += 1
            if published_ns < self._began_ns:
                self.published_late += 1
                continue
            self.ring_to_signal.append(time.monotonic_ns() - published_ns)
            if draft.receive_time_ns:
                self.receive_to_signal.append(time.time_ns() - draft.receive_time_ns)
