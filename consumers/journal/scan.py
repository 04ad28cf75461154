"""The walk through one segment.

Owns a buffer, a table and a position; each `advance` fills the table with the next whole records.  Bytes that were
damaged with something whole behind them stand in the table as one GAP record of exactly the sequences that they cost:
whoever reads a journal reads it as a loss.  Where nothing whole follows, the walk stops and its user decides what that
means: half a record is "not yet" to the reader of a live journal, and a torn end to a verifier.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from consumers.journal import kernels
from consumers.journal.errors import JournalDamaged
from consumers.journal.index import RecordPlace
from consumers.journal.layout import (
    END,
    GAP,
    GAP_PAYLOAD,
    HEAD_BYTES,
    HEADER_BYTES,
    MARK_ROW,
    MAX_PAYLOAD,
    RECORD_HEAD,
    RING_ENDED,
    SCAN_ROWS,
    RecordHead,
    SegmentHeader,
)
from consumers.journal.packed import PackedBytes
from consumers.journal.segment import SegmentFile, open_bytes, parse_header, read_head
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.layout import Gap
from tlv.message import build

log = logging.getLogger("alphapulse.journal")

CHUNK_BYTES = 1 << 20
"""Read at once: stays in the second-level cache between the copy and the checksum."""
COLUMNS = 1 << 12
BYTES_A_COLUMN = CHUNK_BYTES // COLUMNS
SMALLEST_CHUNK = 1 << 12
SEARCH_BYTES = 1 << 22
"""Searched at once for a whole record behind damage; one longer than half of it is not found there."""
CHAIN = 4
"""So many records in a row, or all that follow, are no image of records inside of a payload."""
FOUND = {
    kernels.PARTIAL: "the beginning of one",
    kernels.BLANK: "zeros",
    kernels.DAMAGED: "bytes whose length, mark or checksum is wrong",
    kernels.OUT_OF_ORDER: "one with another sequence",
}
BROKEN = (kernels.PARTIAL, kernels.DAMAGED, kernels.OUT_OF_ORDER)


class Damage(NamedTuple):
    """Damaged bytes with something whole behind them."""

    path: Path
    position: int
    """Where they begin in the file."""
    bytes: int
    found: str
    first: int
    """The first sequence that is lost, and the last one; none is if `last` lies before `first`."""
    last: int

    @property
    def lost(self) -> int:
        """How many sequences the damage costs."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        what = f"lost {self.first} to {self.last}" if self.lost else "nothing is lost"
        return f"{self.path}: at byte {self.position} {self.found}, {self.bytes} bytes; {what}"


class Scanner:
    """Walks `segment` from its first record.  What `advance` returned is valid until the next call.

    Args:
        chunk_bytes: read at once; a longer record is read all the same.  The scanner's memory is this much, a table of
            a fifth of it and, of a packed segment, one block.
    """

    def __init__(self, segment: SegmentFile, layout_digest: int = 0, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.segment = segment
        self.header: SegmentHeader = parse_header(segment.path, read_head(segment), layout_digest)
        self.source = open_bytes(segment)
        self._complete = isinstance(self.source, PackedBytes)
        self.damage: list[Damage] = []
        """What was passed over so far."""
        self._chunk_bytes = max(chunk_bytes, SMALLEST_CHUNK)
        self.buffer = np.zeros(self._chunk_bytes, np.uint8)
        self.table = np.zeros((SCAN_ROWS, max(self._chunk_bytes // BYTES_A_COLUMN, 64)), np.int64)
        self.status = kernels.SCANNED
        self.seek(HEADER_BYTES, self.header.first_sequence)

    def seek(self, offset: int, expected: int) -> None:
        """Go on at `offset`, where the record with sequence `expected` begins."""
        self.base = offset
        self.expected = expected
        self.stands_for_damage = False
        self._pos = 0
        self._end = 0

    @property
    def offset(self) -> int:
        """Raw offset behind the last whole record."""
        return self.base + self._pos

    @property
    def ring_ended(self) -> bool:
        """Whether the walk is at an END record that says so."""
        if self.status != kernels.ENDED:
            return False
        head = self.buffer[self._pos : self._pos + HEAD_BYTES].view(RECORD_HEAD)
        return int(head[0]["kind"]) == RING_ENDED

    def advance(self) -> int:
        """Fill the table with the next records and return how many; if 0, `status` is the reason.

        Bytes that did not parse are read once more first: their writer may have finished them meanwhile.
        """
        count = self._scan()
        if count == 0 and self.status not in (kernels.ENDED, kernels.TABLE_FULL):
            self._fill()
            count = self._scan()
            if self._grow():
                count = self._scan()
        if count == 0 and (self.status in BROKEN or self._complete):
            count = self.pass_damage()
        return count

    def pass_damage(self) -> int:
        """Put a GAP in the place of bytes that do not parse, if a whole record is known to follow; 1, or 0 if none is.

        `advance` does it for bytes that are broken.  Zeros may be space that is not written yet: whoever knows that the
        segment is complete calls this himself.
        """
        if self.status == kernels.ENDED:
            return 0
        begin, expected, status = self.offset, self.expected, self.status
        place = self._whole_record_behind(begin, expected)
        # A running writer may have finished the bytes between the two scans.
        self.seek(begin, expected)
        self._fill()
        count = self._scan()
        if count or self.status == kernels.ENDED:
            return count
        if place is None:
            self.seek(begin, expected)
            self.status = status
            return 0
        self._note_damage(begin, status, expected, place)
        if place.sequence == expected:
            self.seek(place.offset, expected)
            return self.advance()
        return self._stand_in(expected, place)

    def runs(self, count: int, begin: int = 0) -> Iterator[tuple[int, int, int]]:
        """Columns `begin` to `count` as (mark, first column, column behind the last), equal marks together."""
        marks = self.table[MARK_ROW, :count]
        edges = [begin, *(np.flatnonzero(np.diff(marks[begin:])) + begin + 1).tolist(), count]
        for first, last in itertools.pairwise(edges):
            yield int(marks[first]), first, last

    def unread(self) -> JournalDamaged:
        """The error for the place where the walk stopped."""
        return JournalDamaged(self.segment.path, self.offset, FOUND.get(self.status, "nothing"))

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def _scan(self) -> int:
        self.status, count, self._pos, self.expected = kernels.scan_records(
            self.buffer, self._pos, self._end, self.expected, self.table
        )
        if count:
            self.stands_for_damage = False
        return count

    def _fill(self) -> None:
        """Read on from the place behind the last whole record."""
        self.base, self._pos = self.offset, 0
        if self.buffer.size != self._chunk_bytes:
            self.buffer = np.zeros(self._chunk_bytes, np.uint8)
        self._end = self.source.read_at(self.base, self.buffer)
        if self._end == 0 and isinstance(self.source, PackedBytes):
            self._end = self._end_record(self.source) if self.base == self.source.records_end else 0

    def _end_record(self, packed: PackedBytes) -> int:
        """Make the END record of a packed segment, which is complete by the fact that it was packed."""
        nothing = self.buffer[:0]
        kind = RING_ENDED if packed.index and packed.index.header.ring_ended else 0
        return int(kernels.pack_record(self.buffer, 0, END, self.expected, 0, kind, nothing, 0, 0))

    def _grow(self) -> bool:
        """Read a record that is longer than the buffer into a larger one."""
        if self.status != kernels.PARTIAL or self._pos or self._end < self.buffer.size:
            return False
        need = HEAD_BYTES + (RecordHead.unpack(self.buffer[:HEAD_BYTES].tobytes()).length + 7 & -8)
        if not self.buffer.size < need <= min(HEAD_BYTES + MAX_PAYLOAD, self.source.size - self.base):
            return False
        self.buffer = np.zeros(need, np.uint8)
        self._end = self.source.read_at(self.base, self.buffer)
        return True

    def _whole_record_behind(self, begin: int, expected: int) -> RecordPlace | None:
        """The first record behind raw offset `begin` that continues the segment, by its own bytes or by the index."""
        known = self.source.boundary(begin)
        if known and known.sequence < expected:
            known = None
        end = known.offset if known else self.source.size
        offset = begin + 8
        room = np.zeros(min(SEARCH_BYTES, max(end - offset, 0)), np.uint8)
        table = np.zeros((SCAN_ROWS, CHAIN), np.int64)
        while offset < end:
            filled = min(self.source.read_at(offset, room), end - offset)
            at, sequence, publish_ns = kernels.find_chain(room, 0, filled, expected, table)
            if at >= 0:
                return RecordPlace(offset + at, sequence, publish_ns)
            if filled < room.size or offset + filled >= end:
                break
            # Windows overlap, so that no record is missed across two of them.
            offset += filled // 2
        return known

    def _note_damage(self, begin: int, status: int, expected: int, place: RecordPlace) -> None:
        block = self.source.block_at(begin) if isinstance(self.source, PackedBytes) else None
        noted = Damage(
            self.source.path,
            block.packed if block else begin,
            block.packed_end - block.packed if block else place.offset - begin,
            "a block that does not unpack" if block and status == kernels.SCANNED else FOUND.get(status, "nothing"),
            expected,
            place.sequence - 1,
        )
        if noted not in self.damage:
            self.damage.append(noted)
            log.warning(str(noted), extra={"segment": noted.path, "sequence": noted.first, "last_sequence": noted.last})

    def _stand_in(self, expected: int, place: RecordPlace) -> int:
        """Scan a GAP from `expected` up to `place` instead of the bytes before `place`."""
        gap = Gap(first=expected, last=place.sequence - 1, scope=GapScope.RING_SEQUENCES, reason=Reason.DAMAGED)
        message = build(Domain.SYSTEM, Source.SUPERVISOR, [gap])
        assert len(message) == GAP_PAYLOAD
        payload = np.frombuffer(message, np.uint8)
        self._end = int(
            kernels.pack_record(self.buffer, 0, GAP, expected, place.publish_ns, 0, payload, 0, len(message))
        )
        self.base, self._pos = place.offset - self._end, 0
        count = self._scan()
        self.stands_for_damage = True
        return count
