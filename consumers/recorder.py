"""Ring to journal.

Owns the order between a reliable reader and a journal: no frame counts as read before it is written.  A loss becomes a
GAP record, so the journal accounts for every sequence.

A full disk does not end a recorder.  It reports once and tries the same batch again; meanwhile the ring is the buffer.
The ring's writer waits a bounded time for a reliable reader and then evicts it, so what the outage cost is recorded as
a loss like any other, and the recorder becomes reliable again once there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.journal import JournalFull, JournalWriter
from ringbuf import CorruptRing, Loss, NoFreeSlot, Poll, Reader, RingNotFound, RingNotReady, Status
from tlv.codes import Reason
from tlv.layout import LAYOUT_DIGEST

POLL_FRAMES = 4096
POLL_BYTES = 1 << 20
WAIT_SLICE_S = 0.1
RETRY_S = 0.1

Report = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass
class Recorded:
    """What a recorder did since it started."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    evictions: int = 0
    rings: int = 0
    disk_full: int = 0


class Recorder:
    """Records ring `name` into `directory`.  `journal_options` are those of `JournalWriter`.

    Raises:
        RingNotFound: there is no such ring.
        JournalInUse, JournalDamaged, UsageError: see `JournalWriter`.
    """

    def __init__(self, name: str, directory: Path, *, report: Report, **journal_options: Any) -> None:
        self.name = name
        self.directory = directory
        self.recorded = Recorded()
        self._report = report
        self._options = journal_options
        self._attach()

    @property
    def next_sequence(self) -> int:
        """The sequence that the journal lacks next; 0 if it has nothing of this ring yet."""
        return self._journal.resume_at or 0

    def run(self, stop: Stop, *, until_closed: bool) -> Recorded:
        """Record until `stop` says so or, with `until_closed`, until the ring is closed and read to its end.

        Raises:
            CorruptRing: the ring holds what no writer writes.
        """
        while not stop():
            poll = self._reader.poll(POLL_FRAMES, POLL_BYTES)
            if poll.loss is not None:
                self._keep_loss(poll.loss, stop)
            if len(poll):
                self._keep(poll, stop)
            elif poll.status is Status.CORRUPT:
                raise CorruptRing(f"ring {self.name}: no frame at sequence {self._reader.sequence}")
            elif poll.status is Status.CLOSED and until_closed:
                break
            elif poll.status in (Status.EMPTY, Status.CLOSED):
                self._wait(poll.status, stop)
        return self.recorded

    def close(self) -> None:
        """Close the journal in order and leave the ring."""
        self._reader.close()
        self._journal.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attach(self) -> None:
        """Join the ring and open the journal where it left off."""
        reader = Reader.attach(self.name, start="oldest", layout_digest=LAYOUT_DIGEST, buffer_bytes=POLL_BYTES)
        try:
            journal = JournalWriter(self.directory, ring_name=self.name, ring_uuid=reader.uuid, **self._options)
        except BaseException:
            reader.close()
            raise
        self._reader, self._journal = reader, journal
        self.recorded.rings += 1
        if journal.resume_at is not None:
            reader.seek(journal.resume_at)
        self._become_reliable()

    def _become_reliable(self) -> None:
        try:
            self._reader.join()
        except NoFreeSlot as error:
            self._report(f"recording without back-pressure: {error}")

    def _wait(self, status: Status, stop: Stop) -> None:
        if status is Status.CLOSED:
            # A closed ring wakes nobody until its next writer comes.
            time.sleep(WAIT_SLICE_S)
            status = self._reader.check()
        else:
            status = self._reader.wait(WAIT_SLICE_S)
        if status is Status.ORPHANED:
            self._follow_new_ring(stop)

    def _follow_new_ring(self, stop: Stop) -> None:
        """The ring's name means another ring, or none yet: continue the journal with the next one, unless stopped."""
        self.close()
        self._report(f"ring {self.name} was replaced")
        while not stop():
            try:
                self._attach()
                return
            except (RingNotFound, RingNotReady):
                time.sleep(RETRY_S)

    def _keep(self, poll: Poll, stop: Stop) -> None:
        count = len(poll)
        if self._insist(lambda: self._journal.append(poll.buffer, self._reader.index, count), count, stop):
            self.recorded.frames += count
            self.recorded.bytes += int(poll.lengths.sum())
        if self._reader.evicted:
            self.recorded.evictions += 1
            self._become_reliable()

    def _keep_loss(self, loss: Loss, stop: Stop) -> None:
        self._report(f"ring {self.name}: lost {loss.count} frames, {loss.first} to {loss.last}")
        if self._insist(lambda: self._journal.append_gap(loss.first, loss.last, Reason.LAPPED), loss.count, stop):
            self.recorded.lost += loss.count

    def _insist(self, write: Callable[[], None], count: int, stop: Stop) -> bool:
        """Try `write` until there is room for it or we are stopped; `count` frames are lost then."""
        refused = False
        while True:
            try:
                write()
            except JournalFull as error:
                if not refused:
                    self._report(f"{error}; trying again until there is room")
                    self.recorded.disk_full += 1
                refused = True
                if stop():
                    self._report(f"stopped with {count} frames that found no room")
                    self.recorded.lost += count
                    return False
                time.sleep(RETRY_S)
            else:
                if refused:
                    self._report(f"{self.directory}: there is room again")
                return True
