"""The selected frames of a journal as polls of a ring, and the losses between them.

Owns the walk from segment to segment where order and losses matter; where only rows do, `scan` is faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from consumers.analysis import kernels
from consumers.analysis.canonical import LeftOut
from consumers.analysis.segments import open_segment, scans, sift_segments
from consumers.analysis.selection import Selection
from consumers.incarnations import RingCursor
from consumers.journal.layout import FRAME, MARK_ROW, SEQUENCE_ROW
from consumers.journal.reader import join_losses
from consumers.journal.scan import COLUMNS, Scanner
from consumers.journal.segment import list_segments
from ringbuf import Frame, Loss, Poll, Status
from tlv.codes import Reason
from tlv.layout import Gap
from tlv.message import parse


class FrameWalk:
    """One pass over the journal in `directory`."""

    def __init__(self, directory: Path, selection: Selection, left_out: LeftOut) -> None:
        self.refused = 0
        """Frames that were left out because they are no message."""
        self._directory = directory
        self._selection = selection
        self._left_out = left_out
        self._loss: Loss | None = None
        self._chosen = np.zeros(COLUMNS, np.int64)

    def polls(self) -> Iterator[tuple[bytes, Poll]]:
        """Yield (uuid of the ring, poll); a poll is valid until the next one.

        Raises:
            JournalError: a segment is damaged, foreign or gone.
        """
        last = list_segments(self._directory)[-1].ordinal
        ordinal, before = 0, RingCursor(bytes(16), 0)
        sifted = sift_segments(self._directory, self._selection)
        for segment in sifted.wanted:
            if self._left_out.begins_at(segment.ordinal):
                return
            scanner = open_segment(segment)
            try:
                header = scanner.header
                skipped = [one for one in sifted.excluded if ordinal < one < header.ordinal]
                if skipped:
                    ordinal, before = skipped[-1], sifted.excluded[skipped[-1]]
                if header.ring_uuid == before.uuid:
                    is_damaged = not sifted.damaged.isdisjoint(range(ordinal + 1, header.ordinal))
                    reason = Reason.DAMAGED if is_damaged else Reason.NOT_RETAINED
                    self._note_loss(before.uuid, before.sequence, header.first_sequence - 1, reason)
                yield from self._polls_of(scanner, segment.ordinal == last)
                ordinal, before = header.ordinal, RingCursor(header.ring_uuid, scanner.expected)
            finally:
                scanner.close()

    def _polls_of(self, scanner: Scanner, is_last: bool) -> Iterator[tuple[bytes, Poll]]:
        buffer, table, header = scanner.buffer, scanner.table, scanner.header
        for count in scans(scanner, is_last):
            for mark, first, behind in scanner.runs(count):
                if mark != FRAME:
                    for frame in Poll(Status.OK, None, 0, buffer, buffer.data, table[:MARK_ROW, first:behind]):
                        self._note_recorded_loss(header.ring_uuid, frame, header.clock_offset_ns)
                    continue
                taken, refused = kernels.choose(
                    buffer,
                    table,
                    first,
                    behind,
                    header.clock_offset_ns,
                    self._selection.bounds,
                    self._selection.sizes,
                    self._selection.filter.tables,
                    self._chosen,
                )
                self.refused += refused
                if self._selection.canonical:
                    taken = kernels.without_removed(buffer, table, self._chosen, taken)
                if self._selection.is_judged:
                    kept = self._left_out.keeps(header.ordinal, table[SEQUENCE_ROW, self._chosen[:taken]])
                    taken = int(np.count_nonzero(kept))
                    self._chosen[:taken] = self._chosen[: kept.size][kept]
                if taken or self._loss:
                    columns = np.take(table[:MARK_ROW], self._chosen[:taken], axis=1)
                    yield header.ring_uuid, Poll(Status.OK, self._take_loss(), 0, buffer, buffer.data, columns)
        if self._loss:
            yield header.ring_uuid, Poll(Status.GAP, self._take_loss(), 0, buffer, buffer.data, table[:MARK_ROW, :0])

    def _note_recorded_loss(self, ring: bytes, frame: Frame, clock_offset_ns: int) -> None:
        """What the recorder wrote where it had lost frames: a message with a Gap."""
        gap = parse(frame.payload, verify=False).first(Gap)
        published = frame.publish_time_ns + clock_offset_ns
        if gap is not None and self._selection.times.touches(published, published):
            self._note_loss(ring, gap.first, gap.last, gap.reason)

    def _note_loss(self, ring: bytes, first: int, last: int, reason: int) -> None:
        if first <= last and self._selection.sequences.touches(first, last):
            self._loss = join_losses(self._loss, Loss(ring, first, last, reason))

    def _take_loss(self) -> Loss | None:
        loss, self._loss = self._loss, None
        return loss
