"""What the sending side of a bridge reads in a world: the simulated rings and journal, as polls.

Owns what stands for `ringbuf.Reader` and `consumers.journal.reader.JournalReader` in `consumers.bridge.outward`.
"""

from __future__ import annotations

from typing import Self

from consumers.journal.errors import JournalError
from ringbuf import Loss, Poll, Status
from ringbuf.layout import TIME_ROW
from tools.prove.delivery.world.journal import WorldJournal
from tools.prove.delivery.world.rings import AttachedRing, message_of, place_frames


def poll_of(status: Status, number: int, frames: list[int], *, loss: Loss | None = None, need: int = 0) -> Poll:
    """A poll that brings these frames of ring `number`."""
    buffer, index = place_frames([(frame, message_of(number, frame)) for frame in frames])
    index[TIME_ROW] = 1
    return Poll(status, loss, need, buffer, buffer.data, index)


class BridgedRing(AttachedRing):
    """A ring that is polled."""

    def poll(self, max_frames: int = 256, max_bytes: int | None = None) -> Poll:
        """As a `Reader` does."""
        begin = max(self.sequence, self.ring.first)
        length = len(message_of(self.ring.number, begin))
        if max_bytes is not None and length > max_bytes and begin < self.ring.behind:
            return poll_of(Status.NEED, self.ring.number, [], need=length)
        return super().poll(max_frames if max_bytes is None else min(max_frames, max_bytes // length))

    def wait(self, *_: object) -> None:
        """The process's loop lets time pass."""


class JournalPolls:
    """The journal, from a sequence of a ring on."""

    def __init__(self, journal: WorldJournal, _: object) -> None:
        if not journal.segments:
            raise JournalError("no segment")
        self._journal = journal
        self.uuid = b""
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def seek_sequence(self, sequence: int, uuid: bytes) -> None:
        """Go there, or to the first frame behind it."""
        if not self._journal.of(uuid):
            raise JournalError("no frames of that ring")
        self.uuid, self._next = uuid, sequence

    def poll(self) -> Poll:
        """The next frames, with what was lost before them."""
        journal, uuid, begin = self._journal, self.uuid, self._next
        number = int.from_bytes(uuid, "big")
        segments, found = journal.of(uuid), journal.next_frames(uuid, begin)
        if found:
            self._next = found[-1] + 1
            loss = Loss(uuid, begin, found[0] - 1) if found[0] > begin else None
            return poll_of(Status.OK, number, found, loss=loss)
        # What is damaged at the end is followed by nothing; a loss that was recorded there is told.
        behind = segments[-1].behind if segments and not segments[-1].damaged else begin
        self._next = max(begin, behind)
        loss = Loss(uuid, begin, behind - 1) if behind > begin else None
        last = not segments or segments[-1] is journal.segments[-1]
        if not last:
            self.uuid = journal.segments[journal.segments.index(segments[-1]) + 1].uuid
        return poll_of(Status.EMPTY if last else Status.EPOCH_CHANGED, number, [], loss=loss)
