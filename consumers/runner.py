"""Runs strategies on a live ring, a relay or a journal, each publishing its signals and orders into a ring of its own.

Owns the loop: poll, select, deliver, publish, wait.  Knows no strategy.  `Driver` drives the strategy on all of them,
so all give the same messages.  Who publishes nothing takes `PolledFrames` alone.

The messages of one frame are built before the first of them is published: what cannot be built is the strategy's fault
on that frame, and nothing of the frame is published.  What the ring already holds is not published again (`held`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from consumers.follower import RingFollower
from consumers.held_ids import HeldMessages, id_of
from consumers.order_hash import OrderHash
from consumers.polled_frames import FRAMES_PER_POLL, PolledFrames
from consumers.relay_frames import RelayFrames
from consumers.strategy import Draft, Driver
from consumers.symbols import SymbolFilter
from ringbuf import CorruptRing, Histogram, Poll, Reader, SharedCounters, Status, Wait, Writer
from tlv.codes import Domain
from tlv.errors import AlphaPulseError
from tlv.filter import MessageFilter
from tlv.layout import SignalWithdrawn
from tlv.message import build

log = logging.getLogger("alphapulse.strategy")

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
    """Messages that it published, orders and withdrawals among them."""
    orders: int = 0
    withdrawn: int = 0
    """Earlier signals that it withdrew."""
    again: int = 0
    """Messages that its ring held already, and that were not published a second time."""
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


class FrameSource(Protocol):
    """Where frames come from other than from a ring: a journal, or a relay."""

    @property
    def name(self) -> str: ...
    @property
    def uuid(self) -> bytes:
        """The ring whose frames the last poll has."""

    @property
    def sequence(self) -> int: ...
    def poll(self) -> Poll: ...


class Runner:
    """One strategy between a ring, a relay or a journal, and the ring of its signals.

    What it counts is in `shared` too, if that is given: counters of `StrategyCounts`.  `tell` gets what was published.
    `held` has what its ring holds already.  `wanted` is its filter in place of
    the strategy's own.
    """

    def __init__(
        self,
        driver: Driver,
        reader: Reader | FrameSource,
        writer: Writer,
        *,
        wait: Wait = Wait.BACKOFF,
        clock_ns: Callable[[], int] = time.time_ns,
        shared: SharedCounters | None = None,
        tell: Callable[[Draft], object] | None = None,
        held: HeldMessages | None = None,
        wanted: MessageFilter | SymbolFilter | None = None,
    ) -> None:
        self.driver = driver
        self.order_hash = OrderHash()
        """Of everything that the strategy emitted, published now or before."""
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
        self._held = held
        self._frames = PolledFrames(driver, wanted)
        self._heartbeat_due = 0.0
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
        while not asked_to_stop():
            status = self.turn()
            if self.has_ended(status, until_closed=until_closed, follow=follow):
                return
            if not self.goes_on(status):
                self.rest(status)

    def turn(self, *, alone: bool = True) -> Status:
        """Deliver what can be read now, and say once a second that this process lives.

        Raises:
            As `run`.
        """
        if time.monotonic() >= self._heartbeat_due:
            self._writer.heartbeat()
            if self._shared is not None:
                self._shared.put(self.counts)
            self._heartbeat_due = time.monotonic() + HEARTBEAT_S
        status = self.step()
        reader = self._reader
        if isinstance(reader, Reader) and reader.evicted:
            # It was too slow for its writer, and its next poll says what it lost.
            reader.join()
            log.warning("ring %(ring)s: its writer evicted this strategy, which joins again", {"ring": reader.name})
        return status

    def has_ended(self, status: Status, *, until_closed: bool, follow: bool) -> bool:
        """Whether a turn that ended with `status` was the last one; see `run`."""
        if status is Status.CLOSED and until_closed:
            return True
        return not follow and not isinstance(self._reader, Reader) and status in {Status.EMPTY, Status.CLOSED}

    def goes_on(self, status: Status) -> bool:
        """Whether there is more to read at once; goes on with the next ring, if this one has ended."""
        follower = self._follower
        if status not in {Status.EMPTY, Status.CLOSED}:
            return True
        if follower is None:
            return False
        follower.look()
        replaced = follower.next_ring()
        if replaced is None:
            return False
        place = {"ring": follower.name, "sequence": replaced.last_sequence}
        log.warning("ring %(ring)s was replaced behind sequence %(sequence)d", place)
        self._reader, self.driver.ring = follower.reader, replaced.new
        return True

    def rest(self, status: Status) -> None:
        """Wait, after a turn that ended with `status`, until there may be more, for a moment at most."""
        if self._follower is not None:
            self._follower.rest(status, WAIT_S, self._wait)
        elif isinstance(self._reader, RelayFrames):
            self._reader.wait(WAIT_S)
        else:
            time.sleep(WAIT_S)

    @property
    def counts(self) -> StrategyCounts:
        """What it counted, up to date."""
        counts, driver = self._counts, self.driver
        counts.frames, counts.lost, counts.poisoned = driver.frames, driver.lost, driver.poisoned
        return counts

    def finish(self) -> None:
        """Count what is left over at the end."""
        if self._shared is not None:
            self._shared.put(self.counts)

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
        if not isinstance(reader, Reader):
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
        """Build all messages of a frame, then publish them, but for those that the ring holds."""
        try:
            ids = [id_of(draft.records) for draft in drafts]
            again = [self._held is not None and number in self._held for number in ids]
            now_ns, sequence = self._clock_ns(), self._writer.next_sequence
            built = []
            for draft, is_held in zip(drafts, again, strict=True):
                found = build(draft.domain, draft.source, draft.records, sequence=sequence, timestamp_ns=now_ns)
                built.append(found)
                sequence += not is_held
        except Exception as error:  # noqa: BLE001 - whatever the strategy's messages hold is about this frame alone
            left = self.driver.contain(error, self.driver.strategy.trigger.sequence, published_ns, b"")
            if left:
                self._publish(left, published_ns)
            return
        for draft, data, number, is_held in zip(drafts, built, ids, again, strict=True):
            self.order_hash.add(data)
            if is_held and self._held is not None:
                self._counts.again += 1
                self._held.take(number, data)
                continue
            self._writer.publish(data)
            self._count(draft, published_ns)

    def _count(self, draft: Draft, published_ns: int) -> None:
        counts = self._counts
        counts.signals += 1
        counts.orders += draft.domain is Domain.EXECUTION
        counts.withdrawn += any(isinstance(record, SignalWithdrawn) for record in draft.records)
        if self._tell is not None:
            self._tell(draft)
        if published_ns < self._began_ns:
            counts.late_signals += 1
            return
        counts.ring_to_signal.add(time.monotonic_ns() - published_ns)
        if draft.receive_time_ns:
            counts.receive_to_signal.add(time.time_ns() - draft.receive_time_ns)


class Turning(Protocol):
    """What runs strategies in turn: a `Runner`, or a `NativeRunner`, which has the same methods."""

    def turn(self, *, alone: bool = True) -> Status: ...  # else others of this thread wait meanwhile
    def has_ended(self, status: Status, *, until_closed: bool, follow: bool) -> bool: ...
    def goes_on(self, status: Status) -> bool: ...
    def rest(self, status: Status) -> None: ...
    def finish(self) -> None: ...


T = TypeVar("T", bound=Turning)


def run_together(
    runners: Sequence[T],
    asked_to_stop: Callable[[], bool],
    ended: Callable[[T, AlphaPulseError | None], object],
    *,
    until_closed: bool = False,
    follow: bool = True,
) -> None:
    """`Runner.run` of several, in turn, in this thread.  One that fails or ends is reported to `ended`, with its error
    or None, and left alone; the others go on."""
    going = list(runners)
    while going and not asked_to_stop():
        statuses = {}
        news = False
        for runner in [*going]:
            try:
                status = statuses[runner] = runner.turn(alone=len(going) == 1)
                if not runner.has_ended(status, until_closed=until_closed, follow=follow):
                    news = runner.goes_on(status) or news
                    continue
            except AlphaPulseError as error:
                ended(runner, error)
            else:
                ended(runner, None)
            going.remove(runner)
        if going and not news:
            going[0].rest(statuses[going[0]])
    for runner in runners:
        runner.finish()
