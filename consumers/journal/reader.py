"""Reading a journal: the recorded frames of a ring, unchanged and in order, from any sequence, block or time on.

Owns the step from one segment to the next.  A poll of a journal is a poll of a ring, `ringbuf.Poll`, its losses
included, so whatever reads the one can read the other.  A journal may be read while it is written.

At the end `poll` says EMPTY while the recorder may still write, CLOSED after it ended in order, and EPOCH_CHANGED when
frames of another incarnation of the ring (another uuid) come next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from consumers.journal import kernels
from consumers.journal.errors import JournalError, SegmentGone
from consumers.journal.index import SegmentIndex, index_of
from consumers.journal.layout import GAP, MARK_ROW, SEQUENCE_ROW, TIME_ROW
from consumers.journal.scan import Scanner
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head
from ringbuf import Frame, Loss, Poll, Status
from tlv.buffers import Bytes, Longs
from tlv.layout import LAYOUT_DIGEST

FirstColumn = Callable[[Scanner, int], int]
"""Says which of the first `count` columns of a scanner's table is the first wanted one; `count` for none."""


class JournalReader:
    """Reads the journal in `directory`, from its oldest frame on unless `start` or a `seek` says otherwise.

    Raises:
        UsageError: no such directory.
        JournalError: it holds no segment, or one of another version or layout.
    """

    def __init__(
        self,
        directory: Path,
        *,
        start: Literal["oldest", "latest"] | int = "oldest",
        layout_digest: int = LAYOUT_DIGEST,
    ) -> None:
        self.directory = directory
        self.layout_digest = layout_digest
        self.lost = 0
        self.columns = (0, 0)
        segments = list_segments(directory)
        if not segments:
            raise JournalError(f"{directory}: expected segment files, found none; `alphapulse record` writes them")
        self._loss: Loss | None = None
        self._runs: Iterator[tuple[int, int, int]] = iter(())
        self._scanner = Scanner(segments[0], layout_digest)
        if start == "latest":
            self._open(segments[-1])
            while self._scanner.advance():
                pass
        elif isinstance(start, int):
            self.seek_sequence(start)

    @property
    def name(self) -> str:
        """The ring that was recorded."""
        return self._scanner.header.ring_name

    @property
    def uuid(self) -> bytes:
        """The incarnation of the ring whose frames are being read."""
        return self._scanner.header.ring_uuid

    @property
    def clock_offset_ns(self) -> int:
        """Add this to a frame's publish time to get wall-clock time."""
        return self._scanner.header.clock_offset_ns

    @property
    def buffer(self) -> Bytes:
        """For kernels: where the payloads of the last poll stand."""
        return self._scanner.buffer

    @property
    def index(self) -> Longs:
        """For kernels: the table in which `columns` (first, behind the last) are the frames of the last poll."""
        return self._scanner.table

    @property
    def sequence(self) -> int:
        """The sequence expected behind everything that was scanned so far."""
        return self._scanner.expected

    def poll(self) -> Poll:
        """The next frames, as many as one scan found.  Valid until the next call.  Never waits.

        Raises:
            JournalDamaged: the bytes here are neither a record nor an unfinished one.
        """
        while True:
            for mark, first, last in self._runs:
                if mark != GAP:
                    loss, self._loss = self._loss, None
                    return self._as_poll(Status.OK, loss, first, last)
                for column in range(first, last):
                    self._note_recorded_loss(column)
            count = self._scanner.advance()
            if count:
                self._last_column = count
                self._runs = self._scanner.runs(count)
                continue
            status = self._next_segment()
            if status is not Status.OK:
                loss, self._loss = self._loss, None
                return self._as_poll(Status.GAP if loss and status is Status.EMPTY else status, loss, 0, 0)

    def __iter__(self) -> Iterator[Frame | Loss]:
        """Yield frames and losses up to the present end."""
        while True:
            poll = self.poll()
            if poll.loss is not None:
                yield poll.loss
            yield from poll
            if poll.status in (Status.EMPTY, Status.CLOSED):
                return

    def seek_sequence(self, sequence: int, ring_uuid: bytes | None = None) -> None:
        """Go to the frame with `sequence` of `ring_uuid` (None: the latest incarnation), or to the first behind it."""
        heads = []
        for segment in list_segments(self.directory):
            # Retention may drop a segment after the directory was listed.
            with contextlib.suppress(SegmentGone):
                heads.append((parse_header(segment.path, read_head(segment), self.layout_digest), segment))
        wanted = ring_uuid or (heads[-1][0].ring_uuid if heads else b"")
        ours = [(head, segment) for head, segment in heads if head.ring_uuid == wanted]
        if not ours:
            raise JournalError(f"{self.directory}: expected frames of ring {wanted.hex()}, found none")
        before = sum(head.first_sequence <= sequence for head, _ in ours)
        self._open_present(segment for _, segment in ours[max(before - 1, 0) :])
        self._go("sequence", sequence, lambda scanner, count: search(scanner, SEQUENCE_ROW, sequence, count))

    def seek_block(self, number: int) -> None:
        """Go to the first record that mentions block `number` or a higher one."""
        self._open_first(lambda index: index.header.last_block >= number)
        self._go(
            "block", number, lambda scanner, count: kernels.find_block(scanner.buffer, scanner.table, count, number)
        )

    def seek_time(self, wall_ns: int) -> None:
        """Go to the first record that was published at `wall_ns` (ns since 1970) or later."""
        self._open_first(lambda index: index.header.last_publish_ns + self.clock_offset_ns >= wall_ns)
        published = wall_ns - self.clock_offset_ns
        self._go("publish_ns", published, lambda scanner, count: search(scanner, TIME_ROW, published, count))

    def close(self) -> None:
        """Close the files."""
        self._scanner.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, segment: SegmentFile) -> None:
        scanner = Scanner(segment, self.layout_digest)
        self._scanner.close()
        self._scanner = scanner
        self._runs = iter(())

    def _open_present(self, segments: Iterable[SegmentFile]) -> None:
        """Open the first that was not dropped meanwhile.

        Raises:
            SegmentGone: all of them were.
        """
        gone: SegmentGone | None = None
        for segment in segments:
            try:
                self._open(segment)
                return
            except SegmentGone as error:
                gone = error
        raise gone or SegmentGone(f"{self.directory}: no segment is left")

    def _open_first(self, holds: Callable[[SegmentIndex], bool]) -> None:
        """Open the first segment whose index says that what is sought is in it, or the last one."""
        for segment in list_segments(self.directory):
            self._open(segment)
            if holds(index_of(self._scanner)):
                return

    def _go(self, field: str, value: int, first_wanted: FirstColumn) -> None:
        """Within the open segment, jump to the index entry before `value` and scan to the first wanted column."""
        self._scanner.seek(*index_of(self._scanner).before(field, value))
        while count := self._scanner.advance():
            first = first_wanted(self._scanner, count)
            if first < count:
                self._last_column = count
                self._runs = self._scanner.runs(count, first)
                return

    def _next_segment(self) -> Status:
        """Open the next segment; OK, EPOCH_CHANGED if it is another ring's, or EMPTY or CLOSED if there is none."""
        here = self._scanner
        later = [segment for segment in list_segments(self.directory) if segment.ordinal > here.segment.ordinal]
        if not later:
            broken = here.status in (kernels.PARTIAL, kernels.DAMAGED, kernels.OUT_OF_ORDER)
            if broken and here.is_damage():
                raise here.damage()
            return Status.CLOSED if here.status == kernels.ENDED else Status.EMPTY
        if here.status != kernels.ENDED:
            # Its recorder may have written on and ended it after our scan and before the directory was listed.
            count = here.advance()
            if count:
                self._last_column = count
                self._runs = here.runs(count)
                return Status.OK
            if here.status != kernels.ENDED:
                raise here.damage()
        uuid, expected = here.header.ring_uuid, here.expected
        try:
            self._open(later[0])
        except SegmentGone:
            # Retention dropped it after the directory was listed: list again.
            return self._next_segment()
        header = self._scanner.header
        if header.ring_uuid != uuid:
            return Status.EPOCH_CHANGED
        if header.first_sequence > expected:
            # Segments in between were dropped by retention while we read, or removed.
            self._add_loss(Loss(uuid, expected, header.first_sequence - 1))
        return Status.OK

    def _note_recorded_loss(self, column: int) -> None:
        table = self._scanner.table
        known = column + 1 < self._last_column
        after = int(table[SEQUENCE_ROW, column + 1]) if known else self._scanner.expected
        self._add_loss(Loss(self.uuid, int(table[SEQUENCE_ROW, column]), after - 1))

    def _add_loss(self, loss: Loss) -> None:
        self.lost += loss.count
        self._loss = Loss(loss.ring, self._loss.first, loss.last) if self._loss else loss

    def _as_poll(self, status: Status, loss: Loss | None, first: int, last: int) -> Poll:
        scanner = self._scanner
        self.columns = (first, last)
        return Poll(status, loss, 0, scanner.buffer, scanner.buffer.data, scanner.table[:MARK_ROW, first:last])


def search(scanner: Scanner, row: int, value: int, count: int) -> int:
    """The first of `count` columns whose `row` is at least `value`; both sequences and publish times are in order."""
    return int(np.searchsorted(scanner.table[row, :count], value))
