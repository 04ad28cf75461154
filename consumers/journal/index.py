"""The index of a segment: which sequences, times and blocks it holds, and at which offsets, so that a seek is cheap.

Owns the index as a value and as bytes.  An index is a cache of its segment: `indexing` makes it by a scan, it is stored
when the segment is sealed (beside a raw segment, in the trailer of a packed one), and verified when it is loaded.

Blocks of a feed are not in order (back-fills, reorgs).  So "where block N begins" is the first record that mentions a
block as high as N, and the highest block before each entry, which never decreases, is what is searched.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from consumers.journal.files import create_like
from consumers.journal.layout import HEADER_BYTES, INDEX_ENTRY, INDEX_MAGIC, VERSION, IndexEntry, IndexHeader
from tlv.buffers import Structs
from tlv.errors import FrameError


class RecordPlace(NamedTuple):
    """Where a record begins: its offset in the raw segment, its sequence, its publish time."""

    offset: int
    sequence: int
    publish_ns: int


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
        # Frames of one commit share a publish time, and the first record of block N stands behind the last entry < N.
        place = int(np.searchsorted(column, value, side="right" if field == "sequence" else "left")) - 1
        if place < 0:
            return HEADER_BYTES, self.header.first_sequence
        entry = self.entries[place]
        return int(entry["offset"]), int(entry["sequence"])

    def behind(self, offset: int) -> RecordPlace | None:
        """The first place beyond `offset` at which a record is known to begin, the END record's included."""
        at = int(np.searchsorted(self.entries["offset"], offset, side="right"))
        if at < self.entries.size:
            entry = self.entries[at]
            return RecordPlace(int(entry["offset"]), int(entry["sequence"]), int(entry["publish_ns"]))
        head = self.header
        end = RecordPlace(head.segment_bytes, head.next_sequence, head.last_publish_ns)
        return end if end.offset > offset else None


def index_checksum(header: IndexHeader, entries: bytes) -> int:
    """CRC-32 of the whole index with its own checksum as 0."""
    return zlib.crc32(entries, zlib.crc32(replace(header, checksum=0).pack()))


def pack_index(index: SegmentIndex) -> bytes:
    """The bytes of an index."""
    entries = index.entries.tobytes()
    return replace(index.header, checksum=index_checksum(index.header, entries)).pack() + entries


def unpack_index(data: bytes, ordinal: int) -> SegmentIndex | None:
    """The index of segment `ordinal`; None if the bytes are not exactly that."""
    try:
        header = IndexHeader.unpack(data)
    except FrameError:
        return None
    entries = data[IndexHeader.layout.size :]
    if (header.magic, header.version, header.ordinal) != (INDEX_MAGIC, VERSION, ordinal):
        return None
    if len(entries) != header.entries * IndexEntry.layout.size or index_checksum(header, entries) != header.checksum:
        return None
    return SegmentIndex(header, np.frombuffer(entries, INDEX_ENTRY))


def write_index(path: Path, index: SegmentIndex, like: os.stat_result) -> None:
    """Store an index, readable by whom `like` is; the file exists whole or not at all."""
    fresh = path.with_suffix(".index.new")
    with create_like(fresh, like) as file:
        file.write(pack_index(index))
    fresh.replace(path)


def load_index(path: Path, ordinal: int) -> SegmentIndex | None:
    """The stored index of raw segment `ordinal`, or None if it has to be rebuilt."""
    try:
        return unpack_index(path.read_bytes(), ordinal)
    except OSError:
        return None
