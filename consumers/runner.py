"""Runs a strategy on a live ring, or on a journal, and publishes its signals into a ring of its own.

Owns the loop: poll, select, deliver, publish, wait.  Knows no strategy.  `Driver` drives the strategy on both, so both
give the same signals.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from consumers.follower import RingFollower
from consumers.journal import JournalReader
from consumers.select_frames import select_frames
from consumers.strategy import Draft, Driver, filter_of
from ringbuf import CorruptRing, Reader, Status, Wait, Writer
from tlv.buffers import Longs
from tlv.codes import Domain
from tlv.message import build

log = logging.getLogger("alphapulse.strategy")

FRAMES_PER_POLL = 256
WAIT_S = 0.2
"""How long a stop request may go unnoticed in a quiet market."""
HEARTBEAT_S = 1.0
"""A signal ring may be silent for hours; by the heartbeat its readers know that the writer runs."""
KEPT_LATENCIES = 100_000
NEVER_NS = (1 << 63) - 1


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


class Runner:
    """One strategy between a ring, or a journal, and the ring of its signals."""

    def __init__(
        self,
        driver: Driver,
        reader: Reader | JournalReader,
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
        self._follower = RingFollower(reader) if isinstance(reader, Reader) else None
        self._writer = writer
        self._wait = wait
        self._clock_ns = clock_ns
        self._wanted = filter_of(driver.strategy).tables
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, dtype=np.int64)
        # No signal on a recorded frame is in time, and its clock may be that of another boot.
        self._began_ns = time.monotonic_ns() if isinstance(reader, Reader) else NEVER_NS

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False, follow: bool = True) -> None:
        """Until asked to stop; with `until_closed` also when the ring is closed, or the journal ended, and read to its
        end; a journal without `follow` at its present end.

        A writer that died is waited for: another may take over.  A ring that was replaced is read to its end, then the
        one that follows.

        Raises:
            StrategyStopped, CorruptRing, JournalError; RingOrphaned: the signals' ring has lost its name.
        """
        heartbeat_due = time.monotonic()
        while not asked_to_stop():
            if time.monotonic() >= heartbeat_due:
                self._writer.heartbeat()
                heartbeat_due = time.monotonic() + HEARTBEAT_S
            status = self.step()
            if status is Status.CLOSED and until_closed:
                return
            if isinstance(self._reader, Reader):
                if self._reader.evicted:
                    # It was too slow for its writer, and its next poll says what it lost.
                    self._reader.join()
                    log.warning("ring %s: its writer evicted this strategy, which joins again", self._reader.name)
                self._rest(status)
            elif status in {Status.EMPTY, Status.CLOSED}:
                if not follow:
                    return
                time.sleep(WAIT_S)

    def _rest(self, status: Status) -> None:
        """Wait after a poll that returned `status`, or go on with the next ring."""
        follower = self._follower
        if follower is None or status not in {Status.EMPTY, Status.CLOSED}:
            return
        follower.look()
        replaced = follower.next_ring()
        if replaced is None:
            follower.rest(status, WAIT_S, self._wait)
            return
        log.warning("ring %s was replaced behind sequence %d", follower.name, replaced.last_sequence)
        self._reader, self.driver.ring = follower.reader, replaced.new

    def close(self) -> None:
        """Leave the rings that followed the first."""
        if self._follower is not None:
            self._follower.close()

    def step(self) -> Status:
        """Deliver what can be read now.

        Raises:
            StrategyStopped, CorruptRing.
        """
        reader = self._reader
        poll = reader.poll(FRAMES_PER_POLL) if isinstance(reader, Reader) else reader.poll()
        if isinstance(reader, JournalReader):
            self.driver.ring = reader.uuid  # the next frames may be of another ring of this name
        if poll.loss is not None:
            self._publish(self.driver.lose(poll.loss.first, poll.loss.last), 0)
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {reader.name}: no frame where sequence {reader.sequence} should be")
        if len(poll) > len(self._chosen):
            self._chosen = np.zeros(len(poll), dtype=np.int64)
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
