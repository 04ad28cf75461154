"""The index of a segment: which sequences, times and blocks it holds, and at which offsets, so that a seek is cheap.

Owns building, storing and searching an index.  An index is a cache of its segment: it is written when the segment is
sealed, verified when it is loaded, and rebuilt by a scan whenever it is missing, foreign or of another length.

Blocks of a feed are not in order (back-fills, reorgs).  So "where block N begins" is the first record that mentions a
block as high as N, and the highest block before each entry, which never decreases, is what is searched.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from consumers.journal import kernels
from consumers.journal.layout import (
    GAP,
    HEAD_BYTES,
    HEADER_BYTES,
    INDEX_ENTRY,
    INDEX_MAGIC,
    INDEX_STRIDE,
    OFFSET_ROW,
    SEQUENCE_ROW,
    TIME_ROW,
    VERSION,
    IndexEntry,
    IndexHeader,
)
from consumers.journal.scan import Scanner
from tlv.buffers import Structs
from tlv.errors import FrameError


@dataclass(frozen=True)
class SegmentIndex:
    """A segment's summary and its entries (a structured array of INDEX_ENTRY, by offset)."""

    header: IndexHeader
    entries: Structs

    def before(self, field: str, value: int) -> tuple[int, int]:
        """(offset, sequence) of the last entry from which a forward scan finds the first record with `field` >= value.

        `field` is "sequence", "publish_ns" or "block".
        """
        column = self.entries[field]
        # An entry's block is the highest before it: the first record of block N stands behind the last entry < N.
        place = int(np.searchsorted(column, value, side="left" if field == "block" else "right")) - 1
        if place < 0:
            return HEADER_BYTES, self.header.first_sequence
        entry = self.entries[place]
        return int(entry["offset"]), int(entry["sequence"])


def build_index(scanner: Scanner) -> SegmentIndex:
    """Scan the segment from its first record to its end, or to where it is still being written."""
    scanner.seek(HEADER_BYTES, scanner.header.first_sequence)
    parts: list[NDArray[Any]] = []
    frames = lost = 0
    first_block = highest = -1
    first_ns = last_ns = 0
    due = HEADER_BYTES
    room = np.zeros(scanner.buffer.size // INDEX_STRIDE + 2, INDEX_ENTRY)
    while count := scanner.advance():
        written, highest, due = kernels.index_records(
            scanner.buffer, scanner.base, scanner.table, count, highest, due, room
        )
        parts.append(room[:written].copy())
        if first_block < 0 <= highest:
            first_block = lowest_block(scanner, count)
        for mark, first, last in scanner.runs(count):
            if mark == GAP:
                lost += sum(missing(scanner, column, count) for column in range(first, last))
            else:
                frames += last - first
        first_ns = first_ns or int(scanner.table[TIME_ROW, 0])
        last_ns = int(scanner.table[TIME_ROW, count - 1])
    header = IndexHeader(
        magic=INDEX_MAGIC,
        version=VERSION,
        checksum=0,
        ordinal=scanner.header.ordinal,
        segment_bytes=scanner.offset,
        frames=frames,
        lost=lost,
        first_sequence=scanner.header.first_sequence,
        next_sequence=scanner.expected,
        first_publish_ns=first_ns,
        last_publish_ns=last_ns,
        first_block=first_block,
        last_block=highest,
        entries=sum(part.size for part in parts),
    )
    return SegmentIndex(header, np.concatenate(parts) if parts else np.zeros(0, INDEX_ENTRY))


def missing(scanner: Scanner, column: int, count: int) -> int:
    """How many sequences the GAP in `column` stands for."""
    after = int(scanner.table[SEQUENCE_ROW, column + 1]) if column + 1 < count else scanner.expected
    return after - int(scanner.table[SEQUENCE_ROW, column])


def lowest_block(scanner: Scanner, count: int) -> int:
    """The first block number that the current table's records mention."""
    for start, length in scanner.table[OFFSET_ROW : OFFSET_ROW + 2, :count].T.tolist():
        number = kernels.block_number(scanner.buffer, start, start + length)
        if number >= 0:
            return int(number)
    return -1


def index_checksum(header: IndexHeader, entries: bytes) -> int:
    """CRC-32 of the whole index with its own checksum as 0."""
    return zlib.crc32(entries, zlib.crc32(replace(header, checksum=0).pack()))


def write_index(path: Path, index: SegmentIndex) -> None:
    """Store an index; the file exists whole or not at all."""
    entries = index.entries.tobytes()
    header = replace(index.header, checksum=index_checksum(index.header, entries))
    fresh = path.with_suffix(".index.new")
    fresh.write_bytes(header.pack() + entries)
    fresh.replace(path)


def load_index(path: Path, ordinal: int) -> SegmentIndex | None:
    """The stored index of segment `ordinal`, or None if it has to be rebuilt."""
    try:
        data = path.read_bytes()
        header = IndexHeader.unpack(data)
    except (FileNotFoundError, FrameError):
        return None
    entries = data[IndexHeader.layout.size :]
    if (header.magic, header.version, header.ordinal) != (INDEX_MAGIC, VERSION, ordinal):
        return None
    if len(entries) != header.entries * IndexEntry.layout.size or index_checksum(header, entries) != header.checksum:
        return None
    return SegmentIndex(header, np.frombuffer(entries, INDEX_ENTRY))


def index_of(scanner: Scanner) -> SegmentIndex:
    """The segment's index: the stored one if it fits the segment, else a new one from a scan."""
    stored = load_index(scanner.segment.index_path, scanner.segment.ordinal)
    if stored and stored.header.segment_bytes + HEAD_BYTES == scanner.source.size:
        return stored
    return build_index(scanner)
