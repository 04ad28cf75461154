"""Reading a journal: the recorded frames of a ring, unchanged and in order, from any sequence, block or time on.

Owns the step from one segment to the next.  A poll of a journal is a poll of a ring, `ringbuf.Poll`, its losses
included, so whatever reads the one can read the other.  A journal may be read while it is written.

At the end `poll` says EMPTY while the recorder may still write, CLOSED after it ended in order, and EPOCH_CHANGED when
frames of another incarnation of the ring (another uuid) come next.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from consumers.journal import kernels
from consumers.journal.errors import ForeignFileError, JournalDamaged, JournalError, SegmentGone
from consumers.journal.index import SegmentIndex
from consumers.journal.indexing import index_of
from consumers.journal.layout import GAP, GAP_VALUE, MARK_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW, SegmentHeader
from consumers.journal.scan import CHUNK_BYTES, Scanner
from consumers.journal.segment import SegmentFile, list_segments, parse_header, read_head, stored_index
from ringbuf import Frame, Loss, Poll, Status
from tlv.arguments import check_start
from tlv.buffers import Bytes, Longs
from tlv.codes import Reason
from tlv.layout import LAYOUT_DIGEST, Gap

log = logging.getLogger("alphapulse.journal")

UNREADABLE = (JournalDamaged, ForeignFileError)
"""Headers that a search goes past: whoever comes to such a segment is told then."""
T = TypeVar("T")
FirstColumn = Callable[[Scanner, int], int]
"""Says which of the first `count` columns of a scanner's table is the first wanted one; `count` for none."""


class JournalReader:
    """Reads the journal in `directory`, from its oldest frame on unless `start` or a `seek` says otherwise.

    Args:
        chunk_bytes: of records in one poll at most, unless one record is longer.  A reader takes this much memory, a
            fifth of it for its table and 150 KiB for a packed block, however long segments are; below 128 KiB the same
            block is unpacked once for several polls.

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
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        place = check_start("start", start)
        self.directory = directory
        self.layout_digest = layout_digest
        self.chunk_bytes = chunk_bytes
        self.lost = 0
        self.columns = (0, 0)
        self._loss: Loss | None = None
        self._sought = 0
        """Of this ring nothing before this sequence is wanted, nor told as lost."""
        self._runs: Iterator[tuple[int, int, int]] = iter(())
        self._scanner = while_dropped(directory, self._first_scanner)
        if place == "latest":
            while_dropped(directory, lambda segments: self._open(segments[-1]))
            while self._scanner.advance():
                pass
        elif isinstance(place, int):
            self.seek_sequence(place)

    @property
    def name(self) -> str:
        """The ring that was recorded."""
        return self._scanner.header.ring_name

    @property
    def uuid(self) -> bytes:
        """The incarnation of the ring whose frames are being read."""
        return self._scanner.header.ring_uuid

    @property
    def ordinal(self) -> int:
        """Which segment is being read."""
        return self._scanner.segment.ordinal

    @property
    def segment_header(self) -> SegmentHeader:
        """The header of the segment that is being read."""
        return self._scanner.header

    @property
    def latest_uuid(self) -> bytes:
        """The latest incarnation of the ring of which the journal has anything."""
        return self._uuid_of_last(list_segments(self.directory))

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
            JournalError: a segment cannot be read.
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

    def header_of(self, segment: SegmentFile) -> SegmentHeader:
        """The header of one of the journal's segments.

        Raises:
            SegmentGone, JournalDamaged, ForeignFileError: it has none that can be read.
        """
        return parse_header(segment.path, read_head(segment), self.layout_digest)

    def seek_sequence(self, sequence: int, ring_uuid: bytes | None = None) -> None:
        """Go to the frame with `sequence` of `ring_uuid` (None: the latest incarnation), or to the first behind it.

        If it stands in a recorded loss, or in a segment with a damaged header, the rest of that comes first, as a loss.
        """
        self._loss = None

        def open_with(segments: list[SegmentFile]) -> None:
            wanted = ring_uuid or self._uuid_of_last(segments)
            ours = self._segments_of(segments, wanted)
            if not ours:
                raise SegmentGone(f"{self.directory}: expected frames of ring {wanted.hex()}, found none")
            self._sought = sequence
            before = self._first_where(ours, lambda header: header.first_sequence > sequence)
            if self._open_present(ours[max(before - 1, 0) :]) and self._scanner.header.first_sequence > sequence:
                self._add_loss(Loss(wanted, sequence, self._scanner.header.first_sequence - 1, Reason.DAMAGED))

        while_dropped(self.directory, open_with)
        self._go("sequence", sequence, lambda scanner, count: search(scanner, SEQUENCE_ROW, sequence, count))

    def seek_block(self, number: int) -> None:
        """Go to the first record that mentions block `number` or a higher one."""
        self._loss, self._sought = None, 0
        self._open_first(lambda segment, index: index.header.last_block >= number)
        self._go(
            "block", number, lambda scanner, count: kernels.find_block(scanner.buffer, scanner.table, count, number)
        )

    def seek_time(self, wall_ns: int) -> None:
        """Go to the first record that was published at `wall_ns` (ns since 1970) or later."""
        self._loss, self._sought = None, 0
        self._open_first(lambda segment, index: self._last_time(segment, index) >= wall_ns)
        published = wall_ns - self.clock_offset_ns
        self._go("publish_ns", published, lambda scanner, count: search(scanner, TIME_ROW, published, count))

    def close(self) -> None:
        """Close the files."""
        self._scanner.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_scanner(self, segments: list[SegmentFile]) -> Scanner:
        """A scanner of the first segment that can be read.

        Raises:
            JournalError: none of them can.
        """
        refused: JournalError | None = None
        for segment in segments:
            try:
                return Scanner(segment, self.layout_digest, chunk_bytes=self.chunk_bytes)
            except (SegmentGone, JournalDamaged) as error:
                refused = refused or error
        assert refused is not None  # there was at least one
        raise refused

    def _uuid_of_last(self, segments: list[SegmentFile]) -> bytes:
        """The incarnation of the last segment that can be read; empty if none can."""
        for segment in reversed(segments):
            with passed_over(UNREADABLE):
                return self.header_of(segment).ring_uuid
        return b""

    def _segments_of(self, segments: list[SegmentFile], uuid: bytes) -> list[SegmentFile]:
        """The segments of one incarnation; those of the latest one are the last."""
        if self._uuid_of_last(segments) == uuid:
            return segments[self._first_where(segments, lambda header: header.ring_uuid == uuid) :]
        found = []
        for segment in segments:
            with passed_over(UNREADABLE):
                if self.header_of(segment).ring_uuid == uuid:
                    found.append(segment)
        return found

    def _first_where(self, segments: list[SegmentFile], holds: Callable[[SegmentHeader], bool]) -> int:
        """How many segments come before the first whose header `holds`, as those of all after it do.

        For one that cannot be read the next one behind it answers.
        """
        low, high = 0, len(segments)
        while low < high:
            middle = (low + high) // 2
            held = True
            for segment in segments[middle:high]:
                with passed_over(UNREADABLE):
                    held = holds(self.header_of(segment))
                    break
            low, high = (low, middle) if held else (middle + 1, high)
        return low

    def _last_time(self, segment: SegmentFile, index: SegmentIndex) -> int:
        """When the segment's last record was published, by the wall clock."""
        return index.header.last_publish_ns + self.header_of(segment).clock_offset_ns

    def _open(self, segment: SegmentFile) -> None:
        scanner = Scanner(segment, self.layout_digest, chunk_bytes=self.chunk_bytes)
        self._scanner.close()
        self._scanner = scanner
        self._runs = iter(())

    def _open_present(self, segments: Iterable[SegmentFile]) -> bool:
        """Open the first that was not dropped meanwhile; whether a damaged header made us leave one out before it.

        Raises:
            SegmentGone: none is left.
        """
        damaged = False
        for segment in segments:
            try:
                self._open(segment)
            except SegmentGone:
                continue
            except JournalDamaged as error:
                log.warning(str(error), extra=error.place)
                damaged = True
            else:
                return damaged
        raise SegmentGone(f"{self.directory}: no segment is left")

    def _open_first(self, holds: Callable[[SegmentFile, SegmentIndex], bool]) -> None:
        """Open the first segment whose index says that what is sought is in it, or the last one."""

        def open_in(segments: list[SegmentFile]) -> None:
            for segment in segments:
                with passed_over():
                    index = stored_index(segment)
                    if index is None:
                        self._open(segment)
                        index = index_of(self._scanner)
                    if holds(segment, index):
                        self._open(segment)
                        return
            self._open_present(reversed(segments))

        while_dropped(self.directory, open_in)

    def _go(self, field: str, value: int, first_wanted: FirstColumn) -> None:
        """Within the open segment, jump to the index entry before `value` and scan to the first wanted column."""
        self._scanner.seek(*index_of(self._scanner).before(field, value))
        while count := self._scanner.advance():
            first = first_wanted(self._scanner, count)
            self._last_column = count
            if field == "sequence" and first and self._scanner.table[MARK_ROW, first - 1] == GAP:
                self._note_recorded_loss(first - 1, value)
            if first < count:
                self._runs = self._scanner.runs(count, first)
                return

    def _next_segment(self) -> Status:
        """Open the next segment; OK, EPOCH_CHANGED if it is another ring's, or EMPTY or CLOSED if there is none."""
        here = self._scanner
        later = [segment for segment in list_segments(self.directory) if segment.ordinal > here.segment.ordinal]
        if not later:
            return Status.CLOSED if here.status == kernels.ENDED else Status.EMPTY
        # Its recorder may have written on and ended it after our scan and before the directory was listed.
        count = 0 if here.status == kernels.ENDED else here.advance() or here.pass_damage()
        if count:
            self._last_column = count
            self._runs = here.runs(count)
            return Status.OK
        uuid, expected = here.header.ring_uuid, here.expected
        try:
            damaged = self._open_present(later)
        except SegmentGone:
            return Status.EMPTY  # list again later
        return self._continue(uuid, expected, Reason.DAMAGED if damaged else Reason.NOT_RETAINED)

    def _continue(self, uuid: bytes, expected: int, reason: Reason) -> Status:
        """The step into a segment that was just opened: OK, or EPOCH_CHANGED if it is of another ring than `uuid`.

        `reason` is why what stood between the two is missing."""
        header = self._scanner.header
        if header.ring_uuid != uuid:
            self._sought = 0
            return Status.EPOCH_CHANGED
        if header.first_sequence > max(expected, self._sought):
            # Segments in between were dropped by retention while we read, or removed, or are damaged.
            self._add_loss(Loss(uuid, max(expected, self._sought), header.first_sequence - 1, reason))
        elif header.first_sequence < expected:
            # The recorder could not end the segment before: the disk refused a batch that is partly in it.
            self._go("sequence", expected, lambda scanner, count: search(scanner, SEQUENCE_ROW, expected, count))
        return Status.OK

    def _note_recorded_loss(self, column: int, begin: int = 0) -> None:
        """Note the loss that the GAP in `column` tells of, from sequence `begin` on."""
        table = self._scanner.table
        known = column + 1 < self._last_column
        after = int(table[SEQUENCE_ROW, column + 1]) if known else self._scanner.expected
        first = max(int(table[SEQUENCE_ROW, column]), begin)
        if first < after:
            value = int(table[OFFSET_ROW, column]) + GAP_VALUE
            self._add_loss(Loss(self.uuid, first, after - 1, Gap.unpack(self._scanner.buffer.data, value).reason))

    def _add_loss(self, loss: Loss) -> None:
        self.lost += loss.count
        self._loss = join_losses(self._loss, loss)

    def _as_poll(self, status: Status, loss: Loss | None, first: int, last: int) -> Poll:
        scanner = self._scanner
        self.columns = (first, last)
        return Poll(status, loss, 0, scanner.buffer, scanner.buffer.data, scanner.table[:MARK_ROW, first:last])


def join_losses(before: Loss | None, loss: Loss) -> Loss:
    """Both as one loss; if they have different reasons, DAMAGED if one of them is, else the later one's."""
    if before is None:
        return loss
    damaged = Reason.DAMAGED in (before.reason, loss.reason)
    return Loss(loss.ring, before.first, loss.last, Reason.DAMAGED if damaged else loss.reason)


def while_dropped(directory: Path, look: Callable[[list[SegmentFile]], T]) -> T:
    """What `look` makes of the journal's segments; listed again where retention dropped all that it needed meanwhile.

    Raises:
        JournalError: there are none.
    """
    segments = list_segments(directory)
    while segments:
        try:
            return look(segments)
        except SegmentGone:
            before, segments = segments, list_segments(directory)
            if segments == before:
                raise
    raise JournalError(f"{directory}: expected segment files, found none; `alphapulse record` writes them")


@contextlib.contextmanager
def passed_over(errors: tuple[type[JournalError], ...] = (JournalDamaged,)) -> Iterator[None]:
    """Leave out a segment that retention dropped since it was listed, or whose header raises one of `errors`."""
    try:
        yield
    except SegmentGone:
        pass
    except errors as error:
        log.warning(str(error), extra=error.place)


def search(scanner: Scanner, row: int, value: int, count: int) -> int:
    """The first of `count` columns whose `row` is at least `value`; both sequences and publish times are in order."""
    return int(np.searchsorted(scanner.table[row, :count], value))
