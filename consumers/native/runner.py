"""A native strategy between a ring, or a journal, and the ring of its signals, with no Python per frame.

Owns the Python shell of `loop.drive_native`: waiting, what the ring of signals does not take at once, the order hash,
and what is told.

A message that the ring does not take at once is handed to `Writer.publish`, which waits, frees and evicts as for every
writer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from consumers.follower import RingFollower
from consumers.held_ids import HeldMessages, id_in
from consumers.journal import JournalReader
from consumers.native.driver import NativeDriver
from consumers.native.hashing import NativeOrderHash
from consumers.native.loop import BOOK, LOST, PENDING, POISONED, note_published
from consumers.native.strategy import NativeStrategy
from consumers.runner import HEARTBEAT_S, NEVER_NS, WAIT_S, StrategyCounts
from ringbuf import CorruptRing, FrameTooLong, Reader, RingFull, SharedCounters, Status, Wait, Writer
from ringbuf.layout import TIME_ROW
from tlv.buffers import Structs
from tlv.kernels import seal
from tlv.layout import HEADER, HEADER_SIZE
from tlv.units import MS, NS

log = logging.getLogger("alphapulse.native")

SLICE_NS = 10 * MS
"""No compiled loop runs longer: signals of the operating system are served between slices.  What stands between two
takes 16 us, which of slices of 1 ms one frame in sixty met (bench `strategy`)."""
SHARED_SLICE_NS = MS
"""Of a strategy that shares its thread: the others wait meanwhile, so it does not watch an empty ring either."""
SPIN_NS = {Wait.SPIN: SLICE_NS, Wait.BACKOFF: MS, Wait.YIELD: 0, Wait.FUTEX: 0}
"""How long an empty ring is watched before it is waited for as `Reader.wait` does, which takes longer to notice: on
BACKOFF about as long as a busy chain's events are apart."""
TELL_EVERY_NS = NS


class NativeRunner:
    """A native strategy at work.  What it counts is in `shared` too, if given: counters of `StrategyCounts`.

    `held` has what the ring of its signals holds already.  Until it has read what the market's ring holds, its
    messages come one by one, and those that are held are not published again; then the compiled loop takes over.

    Raises:
        UsageError: the strategy's handler is none that can be compiled.
    """

    def __init__(
        self,
        strategy: NativeStrategy,
        reader: Reader | JournalReader,
        writer: Writer,
        *,
        wait: Wait = Wait.BACKOFF,
        shared: SharedCounters | None = None,
        inline: bool | None = None,
        held: HeldMessages | None = None,
    ) -> None:
        self.driver = NativeDriver(strategy, reader.uuid, inline=inline)
        self.order_hash = NativeOrderHash()
        """Over all that it published."""
        self._held = held
        self._heartbeat_due = 0.0
        self._refused = 0
        self._told = 0
        self._tell_at = 0
        self._counts = StrategyCounts()
        # No signal on a recorded frame is in time, and its clock may be that of another boot.
        self._began_ns = time.monotonic_ns() if isinstance(reader, Reader) else NEVER_NS
        self._shared = shared
        if shared is not None:
            shared.bind(self._counts)
        self._follower = RingFollower(reader) if isinstance(reader, Reader) else None
        self._reader = reader
        self._writer = writer
        self._wait = wait

    @property
    def tally(self) -> Structs:
        """What the loops count (`loop.TALLY`)."""
        return self.driver.tally

    @property
    def counts(self) -> StrategyCounts:
        """What it counted, up to date."""
        counts, tally = self._counts, self.tally[0]
        counts.frames, counts.lost, counts.poisoned = int(tally["frames"]), int(tally["lost"]), self.driver.poisoned
        counts.signals, counts.late_signals = int(tally["published"]) - counts.again, int(tally["late"])
        counts.refused_signals = self._refused
        return counts

    def close(self) -> None:
        """Leave the rings that followed the first."""
        if self._follower is not None:
            self._follower.close()

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False, follow: bool = True) -> None:
        """As `Runner.run`; with `Wait.SPIN` it never sleeps while the ring is quiet, and takes a core.

        Raises:
            StrategyStopped, CorruptRing, JournalError: as `step`.
            RingOrphaned: the signals' ring has lost its name.
        """
        try:
            while not asked_to_stop():
                status = self.turn()
                if self.has_ended(status, until_closed=until_closed, follow=follow):
                    return
                if not self.goes_on(status):
                    self.rest(status)
        finally:
            self.finish()

    def turn(self, *, alone: bool = True) -> Status:
        """As `Runner.turn`."""
        if time.monotonic() >= self._heartbeat_due:
            self._writer.heartbeat()
            self._heartbeat_due = time.monotonic() + HEARTBEAT_S
        if self._shared is not None and self._shared.due:
            self._shared.put(self.counts)
        status = self.step(SLICE_NS, SPIN_NS[self._wait]) if alone else self.step(SHARED_SLICE_NS, 0)
        if isinstance(self._reader, Reader) and self._reader.evicted:
            self._reader.join()  # it was too slow for its writer, and its next poll says what it lost
            log.warning(
                "ring %(ring)s: its writer evicted this strategy, which joins again", {"ring": self._reader.name}
            )
        return status

    def has_ended(self, status: Status, *, until_closed: bool, follow: bool) -> bool:
        """As `Runner.has_ended`."""
        if status is Status.CLOSED and until_closed:
            return True
        return not follow and self._follower is None and status in {Status.EMPTY, Status.CLOSED}

    def goes_on(self, status: Status) -> bool:
        """As `Runner.goes_on`."""
        if status not in {Status.EMPTY, Status.CLOSED}:
            return True
        if self._follower is None:
            return False
        self._follower.look()
        replaced = self._follower.next_ring()
        if replaced is None:
            return False
        place = {"ring": self._follower.name, "sequence": replaced.last_sequence}
        log.warning("ring %(ring)s was replaced behind sequence %(sequence)d", place)
        self._reader, self.driver.ring = self._follower.reader, replaced.new
        return True

    def rest(self, status: Status) -> None:
        """As `Runner.rest`."""
        if self._follower is None:
            time.sleep(WAIT_S)
        elif not (self._wait is Wait.SPIN and status is Status.EMPTY):
            self._follower.rest(status, WAIT_S, self._wait)

    def finish(self) -> None:
        """Count and tell what is left over at the end."""
        self._tell_at = 0
        self._tell()

    def step(self, slice_ns: int = SHARED_SLICE_NS, spin_ns: int = 0) -> Status:
        """Deliver what can be read now: of a ring one slice of the compiled loop, at least one poll or the rest of the
        last one; of a journal one poll.  For `spin_ns` of the slice it watches an empty ring.

        Raises:
            RingFull: a reliable consumer of the signals holds their ring, and its writer's policy is RAISE; the message
            is counted as refused.  RingClosed, NotOwner: nothing can be published any more.  StrategyStopped.
            CorruptRing: there is no frame where one should be.
        """
        reader, driver = self._reader, self.driver
        if not isinstance(reader, Reader):
            return self._step_of_polls(reader, reader.clock_offset_ns)
        if self._held:
            found = self._step_of_polls(reader)
            if found in {Status.EMPTY, Status.CLOSED}:
                self._held.forget()
            return found
        status = driver.built.drive(*self._arguments(reader), slice_ns, spin_ns)
        if status == PENDING:
            self._publish_pending(reader)
        elif status == LOST:
            assert driver.book is not None
            driver.book.lose()
        elif status in (BOOK, POISONED):
            count = driver.tally[0]
            poisoned = driver.poisoned
            try:
                count["next"] += driver.attend(status, reader.out.view(np.uint8), reader.index, int(count["next"]))
            finally:
                self._report_poison(driver.poisoned - poisoned)
        self._tell()
        if status < 0:
            return Status.OK
        if status == Status.CORRUPT:
            raise CorruptRing(f"ring {reader.name}: no frame at position {reader.position}")
        return Status(status)

    def _step_of_polls(self, reader: Reader | JournalReader, clock_offset_ns: int = 0) -> Status:
        driver, poll = self.driver, reader.poll()
        driver.ring = reader.uuid  # the next frames may be of another ring of this name
        poisoned = driver.poisoned
        try:
            for message in driver.take_poll(poll, clock_offset_ns):
                self._publish_recorded(message.payload)
        finally:
            self._report_poison(driver.poisoned - poisoned)
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {reader.name}: no frame where sequence {reader.sequence} should be")
        return poll.status

    def _arguments(self, reader: Reader) -> tuple[Any, ...]:
        driver, writer = self.driver, self._writer
        wall_offset_ns = time.time_ns() - time.monotonic_ns()
        histogram = self._counts.ring_to_signal
        return (
            *(driver.built.handler, driver.memory, driver.view_of_book, driver.drafts),
            *(reader.words, reader.control, reader.state, reader.out, reader.index),
            *(writer.words, writer.control, writer.state, driver.wanted, self.order_hash.orders, wall_offset_ns),
            *(driver.tally, histogram.words, histogram.at, self._began_ns),
        )

    def _publish_recorded(self, payload: memoryview) -> None:
        """Publish a message on a recorded frame, with the sequence and the time at which it is published."""
        data = np.frombuffer(bytearray(payload), np.uint8)
        header = data[:HEADER_SIZE].view(HEADER)[0]
        header["sequence"], header["timestamp_ns"] = self._writer.next_sequence, time.time_ns()
        seal(data, 0, data.size)
        self.order_hash.add(data)
        if self._held and (number := id_in(data)) in self._held:
            self._held.take(number, data.data)
            self._counts.again += 1
            return
        self._writer.publish(data.data)
        self.tally[0]["late"] += 1

    def _publish_pending(self, reader: Reader) -> None:
        """Publish the message that the ring did not take at once as every writer does: wait for a bounded time."""
        count, drafts = self.tally[0], self.driver.drafts
        starts = drafts.state[0]["starts"]
        number, frame_ns = int(count["message"]), int(reader.index[TIME_ROW, count["next"]])
        count["message"] += 1
        if count["message"] == drafts.state[0]["messages"]:
            count["message"], count["next"] = -1, count["next"] + 1
        message = drafts.buffer[starts[number] : starts[number + 1]]
        try:
            taken = self._writer.publish(message.data) > 0
        except FrameTooLong:
            taken = False
        except RingFull:
            self._refused += 1
            raise
        if not taken:
            self._refused += 1
            return
        histogram = self._counts.ring_to_signal
        note_published(self.tally, frame_ns, self._began_ns, histogram.words, histogram.at)
        self.order_hash.add(message)

    def _report_poison(self, count: int) -> None:
        """Log the last `count` poison frames, as far as they are kept."""
        for poison in list(self.driver.poison)[-count:] if count else ():
            found = {"ring": self._reader.name, "sequence": poison.sequence, "error": poison.reason}
            log.warning("poison frame (ring %(ring)s, sequence %(sequence)d): %(error)s", found)

    def _tell(self) -> None:
        """Log what was refused since the last time, at most once a second."""
        if self._refused == self._told or time.monotonic_ns() < self._tell_at:
            return
        self._tell_at = time.monotonic_ns() + TELL_EVERY_NS
        self._told = self._refused
        log.warning("ring %(ring)s refused %(refused)d signals", {"ring": self._writer.name, "refused": self._told})
