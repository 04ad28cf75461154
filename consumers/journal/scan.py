"""The walk through one segment.

Owns a buffer, a table and a position; each `advance` fills the table with the next whole records.  It reports how it
stopped, and its user decides what that means: half a record is "not yet" to the reader of a live journal, and a torn
end to a verifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from consumers.journal import kernels
from consumers.journal.errors import JournalDamaged
from consumers.journal.layout import HEADER_BYTES, MARK_ROW, SCAN_ROWS, SegmentHeader
from consumers.journal.segment import SegmentBytes, SegmentFile, parse_header, read_head

CHUNK_BYTES = 1 << 20
"""Read at once: stays in the second-level cache between the copy and the checksum."""
COLUMNS = 1 << 12
FOUND = {
    kernels.PARTIAL: "the beginning of one",
    kernels.BLANK: "zeros",
    kernels.DAMAGED: "bytes whose length, mark or checksum is wrong",
    kernels.OUT_OF_ORDER: "one with another sequence",
}


class Scanner:
    """Walks `segment` from its first record.  What `advance` returned is valid until the next call."""

    def __init__(self, segment: SegmentFile, layout_digest: int = 0) -> None:
        self.segment = segment
        self.source = SegmentBytes(segment)
        try:
            self.header: SegmentHeader = parse_header(segment.path, read_head(segment), layout_digest)
        except BaseException:
            self.source.close()
            raise
        self.buffer = np.zeros(CHUNK_BYTES, np.uint8)
        self.table = np.zeros((SCAN_ROWS, COLUMNS), np.int64)
        self.status = kernels.SCANNED
        self.seek(HEADER_BYTES, self.header.first_sequence)

    def seek(self, offset: int, expected: int) -> None:
        """Go on at `offset`, where the record with sequence `expected` begins."""
        self.base = offset
        self.expected = expected
        self._pos = 0
        self._end = 0

    @property
    def offset(self) -> int:
        """File offset behind the last whole record."""
        return self.base + self._pos

    def advance(self) -> int:
        """Fill the table with the next records and return how many; if 0, `status` is the reason.

        Bytes that did not parse are read once more first: their writer may have finished them meanwhile.
        """
        count = self._scan()
        if count == 0 and self.status not in (kernels.ENDED, kernels.TABLE_FULL):
            offset = self.offset
            self._end = self.source.read_at(offset, self.buffer)
            self.base, self._pos = offset, 0
            count = self._scan()
        return count

    def _scan(self) -> int:
        self.status, count, self._pos, self.expected = kernels.scan_records(
            self.buffer, self._pos, self._end, self.expected, self.table
        )
        return count

    def runs(self, count: int, begin: int = 0) -> Iterator[tuple[int, int, int]]:
        """Columns `begin` to `count` as (mark, first column, column behind the last), equal marks together."""
        marks = self.table[MARK_ROW, :count]
        edges = [begin, *(np.flatnonzero(np.diff(marks[begin:])) + begin + 1).tolist(), count]
        for first, last in itertools.pairwise(edges):
            yield int(marks[first]), first, last

    def is_damage(self) -> bool:
        """Whether the bytes that did not parse are damage: out of order, or a whole record stands behind them.

        They are scanned once more at the end: a running writer may have finished them between the two scans.
        """
        offset, expected, status = self.offset, self.expected, self.status
        if status != kernels.OUT_OF_ORDER and not self.whole_record_follows():
            return False
        self.seek(offset, expected)
        parses = self.advance() > 0
        self.seek(offset, expected)
        self.status = status
        return not parses

    def whole_record_follows(self) -> bool:
        """True if a whole record stands anywhere behind the bytes that did not parse: then they are damage."""
        offset = self.offset + 8
        while True:
            filled = self.source.read_at(offset, self.buffer)
            self._pos = self._end = 0
            if kernels.find_record(self.buffer, 0, filled) >= 0:
                return True
            if filled < self.buffer.size:
                return False
            # Chunks overlap by more than the longest record, so that none is missed across two chunks.
            offset += filled // 2

    def damage(self) -> JournalDamaged:
        """The error for the place where the walk stopped."""
        return JournalDamaged(self.segment.path, self.offset, FOUND.get(self.status, "nothing"))

    def close(self) -> None:
        """Close the file."""
        self.source.close()
