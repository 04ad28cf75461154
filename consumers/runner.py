"""Runs a strategy on a live ring, or on a journal, and publishes its signals into a ring of its own.

Owns the loop: poll, select, deliver, publish, wait.  Knows no strategy.  `Driver` drives the strategy on both, so both
give the same signals.  Who publishes nothing takes `PolledFrames` alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from consumers.follower import RingFollower
from consumers.journal import JournalReader
from consumers.select_frames import select_frames
from consumers.strategy import Draft, Driver, filter_of
from ringbuf import CorruptRing, Histogram, Poll, Reader, SharedCounters, Status, Wait, Writer
from tlv.buffers import Longs
from tlv.message import build

log = logging.getLogger("alphapulse.strategy")

FRAMES_PER_POLL = 256
WAIT_S = 0.2
"""How long a stop request may go unnoticed in a quiet market."""
HEARTBEAT_S = 1.0
"""A signal ring may be silent for hours; by the heartbeat its readers know that the writer runs."""
NEVER_NS = (1 << 63) - 1


@dataclass
class StrategyCounts:
    """What a strategy's process did since it began."""

    frames: int = 0
    lost: int = 0
    """Frames that it could not read any more."""
    poisoned: int = 0
    """Frames at which the strategy raised an error, or wrote a message that is none."""
    signals: int = 0
    late_signals: int = 0
    """Signals on frames that were in the ring before it began; they count for no latency."""
    refused_signals: int = 0
    """Signals that their ring did not take."""
    ring_to_signal: Histogram = field(default_factory=Histogram)
    """Of each signal, from the publishing of the frame that it is about to its own."""
    receive_to_signal: Histogram = field(default_factory=Histogram)
    """The same from the arrival of the log at the collector, by the wall clock."""

    def latencies(self) -> dict[str, dict[str, int] | None]:
        """Number, median, 99th percentile and maximum in ns of each; None without any."""
        both = {"ring_to_signal": self.ring_to_signal, "receive_to_signal": self.receive_to_signal}
        return {
            name: {"samples": count, **found.to_dict()} if (count := found.count) else None
            for name, found in both.items()
        }


class PolledFrames:
    """Hands to a driver what its strategy wants of the polls of a ring or a journal."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._wanted = filter_of(driver.strategy).tables
        self._chosen: Longs = np.zeros(FRAMES_PER_POLL, dtype=np.int64)

    def deliver(self, poll: Poll) -> Iterator[tuple[list[Draft], int]]:
        """The drafts on each frame that gave some, with its publish time; on a loss, which comes first, with 0.

        Raises:
            StrategyStopped.
        """
        driver = self._driver
        if poll.loss is not None and (drafts := driver.lose(poll.loss.first, poll.loss.last)):
            yield drafts, 0
        if len(poll) > len(self._chosen):
            self._chosen = np.zeros(len(poll), dtype=np.int64)
        count = select_frames(poll.buffer, poll.offsets, poll.lengths, self._wanted, self._chosen)
        driver.skip(len(poll) - count)
        for index in self._chosen[:count].tolist():
            frame = poll[index]
            if drafts := driver.deliver(frame.sequence, frame.publish_time_ns, frame.payload):
                yield drafts, frame.publish_time_ns


class Runner:
    """One strategy between a ring, or a journal, and the ring of its signals.

    What it counts is in `shared` too, if that is given: counters of `StrategyCounts`.  `tell` gets what was published.
    """

    def __init__(
        self,
        driver: Driver,
        reader: Reader | JournalReader,
        writer: Writer,
        *,
        wait: Wait = Wait.BACKOFF,
        clock_ns: Callable[[], int] = time.time_ns,
        shared: SharedCounters | None = None,
        tell: Callable[[Draft], object] | None = None,
    ) -> None:
        self.driver = driver
        self._counts = StrategyCounts()
        self._shared = shared
        if shared is not None:
            shared.bind(self._counts)
        self._reader = reader
        self._follower = RingFollower(reader) if isinstance(reader, Reader) else None
        self._writer = writer
        self._wait = wait
        self._tell = tell
        self._clock_ns = clock_ns
        self._frames = PolledFrames(driver)
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
                if self._shared is not None:
                    self._shared.put(self.counts)
                heartbeat_due = time.monotonic() + HEARTBEAT_S
            status = self.step()
            if status is Status.CLOSED and until_closed:
                return
            if isinstance(self._reader, Reader):
                if self._reader.evicted:
                    # It was too slow for its writer, and its next poll says what it lost.
                    self._reader.join()
                    text = "ring %(ring)s: its writer evicted this strategy, which joins again"
                    log.warning(text, {"ring": self._reader.name})
                self._rest(status)
            elif status in {Status.EMPTY, Status.CLOSED}:
                if not follow:
                    return
                time.sleep(WAIT_S)

    @property
    def counts(self) -> StrategyCounts:
        """What it counted, up to date."""
        counts, driver = self._counts, self.driver
        counts.frames, counts.lost, counts.poisoned = driver.frames, driver.lost, driver.poisoned
        return counts

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
        place = {"ring": follower.name, "sequence": replaced.last_sequence}
        log.warning("ring %(ring)s was replaced behind sequence %(sequence)d", place)
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
        poisoned = self.driver.poisoned
        for drafts, published_ns in self._frames.deliver(poll):
            self._publish(drafts, published_ns)
        self._report_poison(self.driver.poisoned - poisoned)
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {reader.name}: no frame where sequence {reader.sequence} should be")
        return poll.status

    def _report_poison(self, count: int) -> None:
        """Log the last `count` poison frames, as far as they are kept."""
        for poison in list(self.driver.poison)[-count:] if count else ():
            found = {"ring": self._reader.name, "sequence": poison.sequence, "error": poison.reason}
            log.warning("poison frame (ring %(ring)s, sequence %(sequence)d): %(error)s", found)

    def _publish(self, drafts: list[Draft], published_ns: int) -> None:
        for draft in drafts:
            now_ns = self._clock_ns()
            sequence = self._writer.next_sequence
            data = build(draft.domain, draft.source, draft.records, sequence=sequence, timestamp_ns=now_ns)
            self._writer.publish(data)
            self._counts.signals += 1
            if self._tell is not None:
                self._tell(draft)
            if published_ns < self._began_ns:
                self._counts.late_signals += 1
                continue
            self._counts.ring_to_signal.add(time.monotonic_ns() - published_ns)
            if draft.receive_time_ns:
                self._counts.receive_to_signal.add(time.time_ns() - draft.receive_time_ns)
