"""Making the index of a segment by a scan of it.

Owns what an index says of damaged bytes: they are a loss, and no entry points into them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.journal import kernels
from consumers.journal.index import SegmentIndex
from consumers.journal.layout import (
    FRAME,
    HEADER_BYTES,
    INDEX_ENTRY,
    INDEX_MAGIC,
    INDEX_STRIDE,
    SEQUENCE_ROW,
    TIME_ROW,
    VERSION,
    IndexHeader,
    SegmentHeader,
)
from consumers.journal.scan import Scanner


class IndexBuilder:
    """The index of the segment that a scanner walks, as far as it was walked; goes on where it stopped."""

    def __init__(self, header: SegmentHeader) -> None:
        self._header = header
        self._offset, self._expected = HEADER_BYTES, header.first_sequence
        self._parts: list[NDArray[Any]] = [np.zeros(0, INDEX_ENTRY)]
        self._frames = self._lost = 0
        self._lowest = self._highest = -1
        self._first_ns = self._last_ns = 0
        self._due = HEADER_BYTES

    def extend(self, scanner: Scanner, *, to_the_end: bool) -> SegmentIndex:
        """Walk on to where the segment is still being written; with `to_the_end` also past zeros that are damage."""
        scanner.seek(self._offset, self._expected)
        while count := scanner.advance() or (scanner.pass_damage() if to_the_end else 0):
            self._take(scanner, count)
        self._offset, self._expected = scanner.offset, scanner.expected
        return self._index(scanner)

    def _take(self, scanner: Scanner, count: int) -> None:
        for mark, first, last in scanner.runs(count):
            if mark == FRAME:
                self._frames += last - first
            else:
                self._lost += sum(missing(scanner, column, count) for column in range(first, last))
        self._first_ns = self._first_ns or int(scanner.table[TIME_ROW, 0])
        self._last_ns = int(scanner.table[TIME_ROW, count - 1])
        if scanner.stands_for_damage:
            return
        room = np.zeros(min(scanner.buffer.size // INDEX_STRIDE + 2, count), INDEX_ENTRY)
        written, self._lowest, self._highest, self._due = kernels.index_records(
            scanner.buffer, scanner.base, scanner.table, count, self._lowest, self._highest, self._due, room
        )
        self._parts.append(room[:written])

    def _index(self, scanner: Scanner) -> SegmentIndex:
        entries = np.concatenate(self._parts)
        header = IndexHeader(
            magic=INDEX_MAGIC,
            version=VERSION,
            checksum=0,
            ordinal=self._header.ordinal,
            segment_bytes=self._offset,
            frames=self._frames,
            lost=self._lost,
            first_sequence=self._header.first_sequence,
            next_sequence=self._expected,
            first_publish_ns=self._first_ns,
            last_publish_ns=self._last_ns,
            first_block=self._lowest,
            last_block=self._highest,
            packed_bytes=0,
            entries=entries.size,
            ring_ended=int(scanner.ring_ended),
        )
        return SegmentIndex(header, entries)


def build_index(scanner: Scanner) -> SegmentIndex:
    """Scan the segment from its first record to its end, or to where it is still being written."""
    return IndexBuilder(scanner.header).extend(scanner, to_the_end=True)


def missing(scanner: Scanner, column: int, count: int) -> int:
    """How many sequences the GAP in `column` stands for."""
    after = int(scanner.table[SEQUENCE_ROW, column + 1]) if column + 1 < count else scanner.expected
    return after - int(scanner.table[SEQUENCE_ROW, column])


MOST_BUILDERS = 8
BUILDERS: OrderedDict[tuple[int, int, int], IndexBuilder] = OrderedDict()
"""Of segments that are still written, by inode and the time they were begun.  A relay seeks in its ring's last segment
for each client that comes back: the first seek scans it (30 ms for 64 MiB), later ones what was appended since."""
BUILDERS_LOCK = threading.Lock()


def index_of(scanner: Scanner) -> SegmentIndex:
    """The segment's index: the stored one if it fits the segment, else one from a scan."""
    stored = scanner.source.index
    if stored is not None:
        return stored
    key = (*scanner.source.inode, scanner.header.created_ns)
    with BUILDERS_LOCK:
        builder = BUILDERS.pop(key, None) or IndexBuilder(scanner.header)
        index = builder.extend(scanner, to_the_end=False)
        BUILDERS[key] = builder
        if len(BUILDERS) > MOST_BUILDERS:
            BUILDERS.popitem(last=False)
    return index
