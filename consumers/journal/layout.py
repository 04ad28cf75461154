"""The structs of a journal's files.  The only file of the package that knows an offset.

Owns the layouts and limits; must never know how files are opened or what a payload means.

    directory   journal.lock   segment-00000001.journal.zst   segment-00000001.index   segment-00000002.journal ...

    segment     SegmentHeader | record | record | ... | END record      (then zeros, while it is being written)
    record      RecordHead (32 bytes) | payload | zeros up to a multiple of 8
    index       IndexHeader | IndexEntry | IndexEntry | ...             (a cache: rebuilt from its segment if missing)

A record's checksum covers everything of the record but itself.  Marks: FRAME carries a frame of the ring unchanged; GAP
stands for lost sequences, its payload is a message with a Gap record, its sequence the first lost one; END closes a
segment, its sequence is the next one.  From a segment's first sequence on, every sequence is in a FRAME or covered by a
GAP.  Segments of one directory may come from several incarnations of one ring (another uuid begins another segment);
`ordinal` orders them.
"""

from __future__ import annotations

from tlv.fields import I64, U8, U16, U32, U64, Text64, Uuid
from tlv.layout import Gap, Header
from tlv.record import Record, record

SEGMENT_MAGIC = 0x314C4E524A504C41
"""The bytes `ALPJRNL1`."""
INDEX_MAGIC = 0x315844494A504C41
"""The bytes `ALPJIDX1`."""
VERSION = 1

FRAME = 1
GAP = 2
END = 3

MAX_PAYLOAD = 1 << 17
"""Bytes of the largest frame a ring takes by default.  A longer length is damage, and is never used."""
DEFAULT_SEGMENT_BYTES = 1 << 26
"""64 MiB: some 250,000 swaps; a sealed one is unpacked into memory as a whole when it is read."""
GRANT_BYTES = 1 << 22
"""Disk space is allocated 4 MiB at a time, before it is needed, so a full disk is an error before a record is torn."""
SPARE_BYTES = 1 << 12
"""Never used by frames: room for the END record, with which a segment can still be closed on a full disk."""
INDEX_STRIDE = 1 << 18
"""One index entry per 256 KiB of records: a seek scans at most that much, about 0.2 ms."""


@record(type=0)
class SegmentHeader(Record, frozen=True):
    """What a segment begins with.  A wall-clock time is a record's `publish_ns` + `clock_offset_ns`."""

    magic: U64
    version: U32
    checksum: U32
    layout_digest: U64
    ordinal: I64
    first_sequence: I64
    created_ns: I64
    clock_offset_ns: I64
    ring_uuid: Uuid
    ring_name: Text64


@record(type=0)
class RecordHead(Record, frozen=True):
    """What a record begins with.  `publish_ns` (CLOCK_MONOTONIC) and `kind` are the ring frame's."""

    checksum: U32
    length: U32
    sequence: I64
    publish_ns: I64
    kind: U16
    mark: U8


@record(type=0)
class IndexHeader(Record, frozen=True):
    """What a segment holds, and how many entries follow.  A segment without a block has `last_block` -1."""

    magic: U64
    version: U32
    checksum: U32
    ordinal: I64
    segment_bytes: I64
    frames: I64
    lost: I64
    first_sequence: I64
    next_sequence: I64
    first_publish_ns: I64
    last_publish_ns: I64
    first_block: I64
    last_block: I64
    entries: I64


@record(type=0)
class IndexEntry(Record, frozen=True):
    """The record at `offset`.  `block` is the highest block number that any record before it mentions (-1: none)."""

    sequence: I64
    offset: I64
    publish_ns: I64
    block: I64


RECORD_HEAD = RecordHead.layout.dtype
INDEX_ENTRY = IndexEntry.layout.dtype
HEAD_BYTES = RecordHead.layout.size
HEADER_BYTES = SegmentHeader.layout.size
CHECKSUM_BYTES = 4
"""A record's checksum stands first and covers what follows it."""
GAP_VALUE = Header.layout.size + 2
"""Where the Gap record stands in the message that is a GAP's payload."""
GAP_PAYLOAD = GAP_VALUE + Gap.layout.size

SEQUENCE_ROW, OFFSET_ROW, LENGTH_ROW, TIME_ROW, KIND_ROW, MARK_ROW = range(6)
SCAN_ROWS = 6
"""Rows of the table that a scan fills; the first five are those of a ring's poll (`ringbuf.layout`)."""

assert HEAD_BYTES == 32
assert HEADER_BYTES % 8 == 0
