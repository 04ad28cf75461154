"""Ring to journal.

Owns the order between a reliable reader and a journal: no frame counts as read before it is written.  A loss becomes a
GAP record, so the journal accounts for every sequence.

A ring that was replaced is recorded to its last frame, from the map that is still held, before the one that follows;
the journal keeps that it had ended (`consumers.incarnations`).

Nothing that the disk refuses ends a recorder: no room, inodes, quota or descriptors, an I/O error, a disk that became
read-only.  It reports once and tries the same batch again; meanwhile the ring is the buffer.  A folder that was removed
is made anew, and has what the ring still holds.  The ring's writer waits a bounded time for a reliable reader and then
evicts it, so what the outage cost is recorded as a loss like any other, and the recorder becomes reliable again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from consumers.damage import seek_beyond
from consumers.held import HeldRing, HeldRings
from consumers.incarnations import Extent, Replaced, RingCursor, next_step
from consumers.journal import DiskRefused, JournalRemoved, JournalWriter
from consumers.journal.extents import RecordedRings
from consumers.report import LineWithFields
from consumers.waiting import when_there
from ringbuf import CorruptRing, Histogram, Level, Loss, NoFreeSlot, Poll, Reader, SharedCounters, Status
from ringbuf.counters import names_of
from ringbuf.layout import TIME_ROW
from ringbuf.playback import never
from tlv.arguments import check_seconds
from tlv.codes import Reason
from tlv.layout import LAYOUT_DIGEST

POLL_FRAMES = 4096
POLL_BYTES = 1 << 20
WAIT_SLICE_S = 0.1
RETRY_S = 0.1
RETRY_SLOT_S = 1.0

Report = Callable[[str], None]
Stop = Callable[[], bool]
T = TypeVar("T")


def at_once() -> bool:
    """The default of `stop` while a journal is opened: what the disk refuses is an error."""
    return True


@dataclass
class Recorded:
    """What a recorder did since it started."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    evictions: int = 0
    rings: int = 0
    unknown_ends: int = 0
    """Rings that were replaced while nobody recorded: how much of them is lost is not known."""
    disk_refusals: int = 0
    """Times the disk refused the journal, each until it took it again."""
    removals: int = 0
    """Times the segment that was being written was removed."""
    lag_bytes: Level = 0
    """Bytes of the ring that the journal lacks."""
    ring_bytes: Level = 0
    """Capacity of the ring."""
    refused_now: Level = 0
    """1 while the disk refuses the journal."""
    ring_to_journal: Histogram = field(default_factory=Histogram)
    """Of each frame published since this recorder began, from its publishing to its writing; the disk may have it
    later (`--fsync`)."""

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in names_of(Recorded, int)}


class Recorder:
    """Records ring `name` into `directory`.  `journal_options` are those of `JournalWriter`; what it counts is in
    `shared` too, if that is given: counters of `Recorded`.  A ring that is not there yet is waited for `wait_s`
    seconds, until `stop` says so.

    Raises:
        RingNotFound, RingNotReady: there is no such ring after `wait_s`.
        JournalInUse, JournalDamaged, UsageError: see `JournalWriter`.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        report: Report,
        stop: Stop = at_once,
        shared: SharedCounters | None = None,
        wait_s: float = 0.0,
        **journal_options: Any,
    ) -> None:
        check_seconds("wait_s", wait_s)
        self.name = name
        self.directory = directory
        self.recorded = Recorded()
        self._shared = shared
        if shared is not None:
            shared.bind(self.recorded)
        self._began_ns = time.monotonic_ns()
        self._report = report
        self._options = journal_options
        self._rings = HeldRings(self._attach)
        self._next_try = 0.0
        self._told_no_slot = False
        reader = self._reader = when_there(self._attach, wait_s, never if stop is at_once else stop)
        self._rings.adopt(reader)
        try:
            self._join(reader, stop)
        except BaseException:
            self._rings.close()
            raise

    def _attach(self) -> Reader:
        return Reader.attach(self.name, start="oldest", layout_digest=LAYOUT_DIGEST, buffer_bytes=POLL_BYTES)

    @property
    def next_sequence(self) -> int:
        """The sequence that the journal lacks next; 0 if it has nothing of this ring yet."""
        return self._journal.resume_at or 0

    def run(self, stop: Stop, *, until_closed: bool) -> Recorded:
        """Record until `stop` says so or, with `until_closed`, until the ring is closed and read to its end.

        Raises:
            CorruptRing: the ring holds what no writer writes, up to its end.
        """
        while not stop():
            self._count()
            self._rings.look(time.monotonic())
            poll = self._reader.poll(POLL_FRAMES, max(POLL_BYTES, self._reader.identity.max_payload))
            try:
                if poll.loss is not None:
                    self._keep_loss(poll.loss, Reason.LAPPED, stop)
                if len(poll):
                    self._keep(poll, stop)
                    continue
                if poll.status is Status.CORRUPT:
                    self._pass_damage(stop)
                    continue
            except JournalRemoved as error:
                self._begin_anew(error, stop)
                continue
            if poll.status is Status.CLOSED and until_closed:
                break
            if poll.status in (Status.EMPTY, Status.CLOSED):
                self._wait(poll.status, stop)
        return self.recorded

    def _count(self) -> None:
        """Show what was counted, once a second."""
        if self._shared is not None and self._shared.due:
            if not self._reader.closed:
                self.recorded.lag_bytes = self._reader.lag_bytes
                self.recorded.ring_bytes = self._reader.identity.capacity
            self._shared.put(self.recorded)

    def close(self) -> None:
        """Close the journal in order and leave the ring."""
        self._leave()
        self._rings.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _join(self, reader: Reader, stop: Stop) -> None:
        """Open the journal where it left off, and go there in the ring."""
        journal = self._insist(lambda: self._open_journal(reader.uuid), stop)
        self._reader, self._journal = reader, journal
        self.recorded.rings += 1
        with contextlib.suppress(CorruptRing):  # the next poll says so
            if journal.resume_at is not None:
                reader.seek(journal.resume_at)
            elif self._follows_another(reader.uuid):
                reader.seek(1)
        self._become_reliable()

    def _open_journal(self, ring_uuid: bytes) -> JournalWriter:
        return JournalWriter(self.directory, ring_name=self.name, ring_uuid=ring_uuid, **self._options)

    def _begin_anew(self, error: JournalRemoved, stop: Stop) -> None:
        """Open the journal again after its segment was removed, and record once more what the ring still holds."""
        self.recorded.removals += 1
        self._report(f"{error}; recording again what the ring still holds")
        self._journal.close()
        self._journal = self._insist(lambda: self._open_journal(self._reader.uuid), stop)
        self._reader.seek(self._journal.resume_at or "oldest")

    def _follows_another(self, uuid: bytes) -> bool:
        """Whether the journal has an earlier ring of this name; says what it lacks of that one."""
        recorded = RecordedRings(self.directory)
        before = recorded.extents()
        recorded.close()
        if not before:
            return False
        last = before[-1]
        step = next_step(RingCursor(last.uuid, last.behind), [Extent(uuid, 1, 1, ended=False)], before)
        if isinstance(step, Replaced) and step.loss is not None:
            self.recorded.unknown_ends += 1
            self._report(
                f"ring {self.name} was replaced while nothing was recorded: what the old one ({last.uuid.hex()}) "
                f"published behind {last.behind - 1} is lost, how much is not known"
            )
        return True

    def _become_reliable(self) -> None:
        """Let the ring's writer wait for us; while others hold all slots, try again now and then."""
        self._next_try = time.monotonic() + RETRY_SLOT_S
        try:
            self._reader.join()
        except NoFreeSlot as error:
            if not self._told_no_slot:
                self._report(f"recording without back-pressure until a slot is free: {error}")
            self._told_no_slot = True
        else:
            self._told_no_slot = False

    def _wait(self, status: Status, stop: Stop) -> None:
        if status is Status.CLOSED or self._reader.nameless:
            # A closed ring wakes nobody until its next writer comes.
            time.sleep(WAIT_SLICE_S)
        else:
            self._reader.wait(WAIT_SLICE_S)
        self._rings.look(time.monotonic())
        here = self._rings.get(self._reader.uuid)
        if here is not None and here.ended and not self._reader.lag_bytes:
            self._follow(here, stop)

    def _follow(self, old: HeldRing, stop: Stop) -> None:
        """Everything of `old` is recorded: go on with the ring behind it, when there is one, unless stopped."""
        self._report(f"ring {self.name} was replaced behind sequence {self._reader.sequence - 1}")
        self._leave()
        while not stop():
            later = self._rings.rings[self._rings.rings.index(old) + 1 :]
            if later and later[0].reader is not None:
                self._join(later[0].reader, stop)
                return
            self._rings.look(time.monotonic())
            self._count()
            time.sleep(RETRY_S)

    def _leave(self) -> None:
        """Close the journal and leave the ring; the journal keeps whether the ring has ended, if it has all of it."""
        if self._reader.closed:
            return
        ended = self._reader.nameless and self._reader.abandoned and not self._reader.lag_bytes
        here = self._rings.get(self._reader.uuid)
        if here is not None:
            ended = ended or (here.ended and not self._reader.lag_bytes)
            here.release()
        self._journal.close(ring_ended=ended and self._journal.resume_at == self._reader.sequence)

    def _keep(self, poll: Poll, stop: Stop) -> None:
        count = len(poll)
        try:
            self._insist(lambda: self._journal.append(poll.buffer, self._reader.index, count), stop)
        except DiskRefused:
            self._give_up(count)
        else:
            self.recorded.frames += count
            self.recorded.bytes += int(poll.lengths.sum())
            written = self._reader.index[TIME_ROW, :count]
            self.recorded.ring_to_journal.add_ages(written, time.monotonic_ns(), self._began_ns)
        if self._reader.evicted:
            self.recorded.evictions += 1
            self._become_reliable()
        elif not self._reader.reliable and time.monotonic() >= self._next_try:
            self._become_reliable()

    def _pass_damage(self, stop: Stop) -> None:
        """Go on at the next sound record; what lies before it is lost.

        Raises:
            CorruptRing: there is none.
        """
        reader, before = self._reader, self._reader.position
        expected = self._journal.resume_at or reader.sequence
        if not seek_beyond(reader, max(expected, reader.sequence)) or reader.position == before:
            raise CorruptRing(f"ring {self.name}: no frame at sequence {expected}, and none behind it")
        if reader.sequence > expected:
            self._keep_loss(Loss(reader.uuid, expected, reader.sequence - 1), Reason.DAMAGED, stop)

    def _keep_loss(self, loss: Loss, reason: Reason, stop: Stop) -> None:
        what = "damaged in the ring" if reason is Reason.DAMAGED else "overwritten"
        text = f"ring {self.name}: lost {loss.count} frames, {loss.first} to {loss.last}: {what}"
        self._report(LineWithFields(text, sequence=loss.first, last_sequence=loss.last))
        try:
            self._insist(lambda: self._journal.append_gap(loss.first, loss.last, reason), stop)
        except DiskRefused:
            self._give_up(loss.count)
        else:
            self.recorded.lost += loss.count

    def _give_up(self, count: int) -> None:
        self._report(f"stopped with {count} frames that the disk did not take")
        self.recorded.lost += count

    def _insist(self, write: Callable[[], T], stop: Stop) -> T:
        """Try `write` until the disk takes it.

        Raises:
            DiskRefused: we were asked to stop before it did.
        """
        refused = False
        while True:
            try:
                result = write()
            except DiskRefused as error:
                if not refused:
                    self._report(f"{error}; trying again until the disk takes it")
                    self.recorded.disk_refusals += 1
                refused = True
                self.recorded.refused_now = 1
                if stop():
                    raise
                self._count()
                time.sleep(RETRY_S)
            else:
                self.recorded.refused_now = 0
                if refused:
                    self._report(f"{self.directory}: the disk takes it again")
                return result
