"""The structs of a journal's files.  The only file of the package that knows an offset.

Owns the layouts and limits; must never know how files are opened or what a payload means.

    directory   journal.lock   segment-00000001.journal.zst   segment-00000002.journal   segment-00000002.index ...

    segment     SegmentHeader | record | record | ... | END record      (then zeros, while it is being written)
    record      RecordHead (32 bytes) | payload | zeros up to a multiple of 8
    index       IndexHeader | IndexEntry | IndexEntry | ...             (a cache: rebuilt from its segment if missing)
    packed      zstd frame of the SegmentHeader | zstd frame of a block | ... | zstd frame of the END record | trailer
    block       the records from one IndexEntry to the next: at least INDEX_STRIDE bytes, the last one fewer
    trailer     SkippableHead | SegmentHeader | index | PackedFooter     (a skippable frame of zstd's format)

`zstd -d` makes the raw segment of a packed one.  Each block is a frame with a checksum of its own, so damaged bytes
cost one block, and a seek unpacks one.  The trailer is the index, and holds the header a second time; a damaged trailer
is rebuilt from the blocks.

A record's checksum covers everything of the record but itself.  Marks: FRAME carries a frame of the ring unchanged; GAP
stands for lost sequences, its payload is a message with a Gap record, its sequence the first lost one; END closes a
segment, its sequence is the next one, its kind RING_ENDED if the ring itself ended there.  From a segment's first
sequence on, every sequence is in a FRAME or covered by a GAP.  Segments of one directory may come from several
incarnations of one ring (another uuid begins another segment); `ordinal` orders them.
"""

from __future__ import annotations

from tlv.fields import I64, U8, U16, U32, U64, Text64, Uuid
from tlv.layout import Gap, Header
from tlv.record import Record, record

SEGMENT_MAGIC = 0x314C4E524A504C41
"""The bytes `ALPJRNL1`."""
INDEX_MAGIC = 0x315844494A504C41
"""The bytes `ALPJIDX1`."""
VERSION = 2

FRAME = 1
GAP = 2
END = 3
RING_ENDED = 1
"""The `kind` of the END record behind the last frame of a ring that was replaced: its recorder saw that it was the
last.  Without it nobody knows whether the ring went on."""

MAX_PAYLOAD = 1 << 30
"""Bytes of the largest frame a journal takes.  A longer length is damage, and is never used."""
DEFAULT_SEGMENT_BYTES = 1 << 26
"""64 MiB: some 250,000 swaps.  A frame that is longer than a segment makes a longer segment."""
GRANT_BYTES = 1 << 22
"""Disk space is allocated 4 MiB at a time, before it is needed, so a full disk is an error before a record is torn."""
SPARE_BYTES = 1 << 12
"""Never used by frames: room for the END record, with which a segment can still be closed on a full disk."""
INDEX_STRIDE = 1 << 17
"""One index entry, and one packed block, per 128 KiB of records: what a seek unpacks and scans (0.1 ms), and what
damage to a packed segment costs.  Larger blocks pack no better (14.1 MB of 56.6 MB of swaps; 14.6 MB with 1 MiB)."""
SKIPPABLE_MAGIC = 0x184D2A5E
"""Of a frame that every zstd decoder skips."""
FOOTER_MAGIC = 0x31525454_4A504C41
"""The bytes `ALPJTTR1`."""


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
    """What a segment holds, and how many entries follow.

    `first_block` and `last_block` are the lowest and the highest that any record mentions (-1: none does);
    `packed_bytes` is where the last packed block ends (0: the segment is raw).
    """

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
    packed_bytes: I64
    entries: I64
    ring_ended: I64


@record(type=0)
class IndexEntry(Record, frozen=True):
    """The record at `offset`.  `block` is the highest block number that any record before it mentions (-1: none).

    `packed` is where the packed block that begins with the record begins (0: the segment is raw).
    """

    sequence: I64
    offset: I64
    publish_ns: I64
    block: I64
    packed: I64


@record(type=0)
class SkippableHead(Record, frozen=True):
    """What the trailer of a packed segment begins with, as zstd's format has it."""

    magic: U32
    size: U32


@record(type=0)
class PackedFooter(Record, frozen=True):
    """The last bytes of a packed segment; `trailer_bytes` is the size of its trailer, this footer included."""

    trailer_bytes: I64
    magic: U64


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
