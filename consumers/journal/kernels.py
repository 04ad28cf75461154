"""The loops over a journal's records: pack, scan, search, index.

Owns the compiled code of the package.  Knows bytes and positions; must never know a file.

    J1  a record is used only if its whole length lies in the buffer and its checksum is right
    J2  a length is used only after it was found to be at most MAX_PAYLOAD
    J3  sequences are dense: a FRAME has the expected one, a GAP begins at it and moves it behind its last
    J4  a head of zeros is not damage: space that was allocated and not yet written
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.journal.layout import (
    CHECKSUM_BYTES,
    END,
    FRAME,
    GAP,
    GAP_PAYLOAD,
    GAP_VALUE,
    HEAD_BYTES,
    INDEX_STRIDE,
    KIND_ROW,
    LENGTH_ROW,
    MARK_ROW,
    MAX_PAYLOAD,
    OFFSET_ROW,
    RECORD_HEAD,
    SEQUENCE_ROW,
    TIME_ROW,
)
from tlv.buffers import Bytes, Flags, Longs
from tlv.copying import copy_bytes
from tlv.crc import crc32
from tlv.jit import kernel
from tlv.kernels import find_tlv
from tlv.layout import BLOCK, BLOCK_END, EVENT_ORIGIN, Block, BlockEnd, EventOrigin, Gap
from tlv.layout import GAP as GAP_RECORD

SCANNED = 0  # the buffer ends exactly behind a record
TABLE_FULL = 1
PARTIAL = 2  # the buffer ends inside a record
BLANK = 3
ENDED = 4  # at an END record
DAMAGED = 5
OUT_OF_ORDER = 6

GAP_SIZE = Gap.layout.size
BLOCK_TYPE, BLOCK_SIZE = Block.layout.type, Block.layout.size
BLOCK_END_TYPE, BLOCK_END_SIZE = BlockEnd.layout.type, BlockEnd.layout.size
ORIGIN_TYPE, ORIGIN_SIZE = EventOrigin.layout.type, EventOrigin.layout.size


@kernel
def padded(length: int) -> int:
    """`length` rounded up to a multiple of 8."""
    return (length + 7) & -8


@kernel
def pack_record(
    out: Bytes,
    pos: int,
    mark: int,
    sequence: int,
    publish_ns: int,
    kind: int,
    payload: Bytes,
    start: int,
    length: int,
) -> int:
    """Write one record at `pos`, whose room was checked, and return the position behind it."""
    end = pos + HEAD_BYTES + length
    after = pos + HEAD_BYTES + padded(length)
    words = out[pos : pos + HEAD_BYTES].view(np.int64)
    for i in range(HEAD_BYTES // 8):
        words[i] = 0
    head = out[pos : pos + HEAD_BYTES].view(RECORD_HEAD)
    head[0]["length"] = length
    head[0]["sequence"] = sequence
    head[0]["publish_ns"] = publish_ns
    head[0]["kind"] = kind
    head[0]["mark"] = mark
    copy_bytes(out, pos + HEAD_BYTES, payload, start, length)
    for i in range(end, after):
        out[i] = 0
    head[0]["checksum"] = crc32(out, pos + CHECKSUM_BYTES, after)
    return after


@kernel
def pack_frames(out: Bytes, pos: int, payload: Bytes, table: Longs, first: int, count: int) -> tuple[int, int]:
    """Write columns `first` to `count` of a poll as FRAME records; stop before the one that does not fit.

    Returns (columns taken so far, position behind the last record).
    """
    for i in range(first, count):
        length = table[LENGTH_ROW, i]
        if padded(length) > out.shape[0] - pos - HEAD_BYTES:
            return i, pos
        pos = pack_record(
            out,
            pos,
            FRAME,
            table[SEQUENCE_ROW, i],
            table[TIME_ROW, i],
            table[KIND_ROW, i],
            payload,
            table[OFFSET_ROW, i],
            length,
        )
    return count, pos


@kernel
def check_record(buf: Bytes, pos: int, end: int) -> int:
    """Judge the bytes at `pos`: SCANNED for a whole record, else PARTIAL, BLANK or DAMAGED."""
    if end - pos < HEAD_BYTES:
        return PARTIAL
    head = buf[pos : pos + HEAD_BYTES].view(RECORD_HEAD)
    length = int(head[0]["length"])
    mark = head[0]["mark"]
    if mark == 0 and length == 0 and head[0]["checksum"] == 0:
        return BLANK
    if length > MAX_PAYLOAD or mark < FRAME or mark > END:
        return DAMAGED
    if padded(length) > end - pos - HEAD_BYTES:
        return PARTIAL
    if crc32(buf, pos + CHECKSUM_BYTES, pos + HEAD_BYTES + padded(length)) != head[0]["checksum"]:
        return DAMAGED
    if mark == GAP and length != GAP_PAYLOAD:
        return DAMAGED
    return SCANNED


@kernel
def scan_records(buf: Bytes, pos: int, end: int, expected: int, table: Longs) -> tuple[int, int, int, int]:
    """Fill a column of `table` for each whole FRAME and GAP in buf[pos:end].  `expected` is the next sequence.

    Returns (status, columns filled, position behind the last whole record, next expected sequence).
    """
    count = 0
    while True:
        if pos == end:
            return SCANNED, count, pos, expected
        if count == table.shape[1]:
            return TABLE_FULL, count, pos, expected
        status = check_record(buf, pos, end)
        if status != SCANNED:
            return status, count, pos, expected
        head = buf[pos : pos + HEAD_BYTES].view(RECORD_HEAD)
        mark = int(head[0]["mark"])
        if head[0]["sequence"] != expected:
            return OUT_OF_ORDER, count, pos, expected
        if mark == END:
            return ENDED, count, pos, expected
        length = int(head[0]["length"])
        start = pos + HEAD_BYTES
        table[SEQUENCE_ROW, count] = expected
        table[OFFSET_ROW, count] = start
        table[LENGTH_ROW, count] = length
        table[TIME_ROW, count] = head[0]["publish_ns"]
        table[KIND_ROW, count] = head[0]["kind"]
        table[MARK_ROW, count] = mark
        if mark == GAP:
            value = start + GAP_VALUE
            last = int(buf[value : value + GAP_SIZE].view(GAP_RECORD)[0]["last"])
            if last < expected:
                return OUT_OF_ORDER, count, pos, expected
            expected = last + 1
        else:
            expected += 1
        count += 1
        pos = start + padded(length)


@kernel
def find_chain(buf: Bytes, pos: int, end: int, expected: int, table: Longs) -> tuple[int, int, int]:
    """The first record in buf[pos:end], in steps of 8, that can follow damage: (position, sequence, publish time).

    Its sequence is `expected` or higher, and the records behind it continue it: as many as `table` has columns, or all
    that follow, or up to other damage if the bytes passed over can have held the sequences between.  So an image of a
    record inside of a payload does not pass.  Position -1: there is none.
    """
    begin = pos
    while end - pos >= HEAD_BYTES:
        if check_record(buf, pos, end) == SCANNED:
            head = buf[pos : pos + HEAD_BYTES].view(RECORD_HEAD)
            sequence = int(head[0]["sequence"])
            if sequence >= expected:
                status, count, _, _ = scan_records(buf, pos, end, sequence, table)
                near = sequence - expected <= (pos - begin) // HEAD_BYTES + 1
                if status == ENDED or (count > 0 and status != OUT_OF_ORDER and (near or status != DAMAGED)):
                    return pos, sequence, int(head[0]["publish_ns"])
        pos += 8
    return -1, 0, 0


@kernel
def is_blank(buf: Bytes, pos: int, end: int) -> bool:
    """True if buf[pos:end] holds only zeros."""
    while pos < end and buf[pos] == 0:
        pos += 1
    return pos == end


@kernel
def block_number(buf: Bytes, start: int, end: int) -> int:
    """The block number of a message's EventOrigin, BlockEnd or Block record, in that order; -1 if it has none."""
    value = find_tlv(buf, start, end, ORIGIN_TYPE)
    if value >= 0:
        return int(buf[value : value + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]["block_number"])
    value = find_tlv(buf, start, end, BLOCK_END_TYPE)
    if value >= 0:
        return int(buf[value : value + BLOCK_END_SIZE].view(BLOCK_END)[0]["number"])
    value = find_tlv(buf, start, end, BLOCK_TYPE)
    if value >= 0:
        return int(buf[value : value + BLOCK_SIZE].view(BLOCK)[0]["number"])
    return -1


@kernel
def find_block(buf: Bytes, table: Longs, count: int, number: int) -> int:
    """The first of `count` columns whose message has block number `number` or a higher one; `count` if none has."""
    for i in range(count):
        start = table[OFFSET_ROW, i]
        if block_number(buf, start, start + table[LENGTH_ROW, i]) >= number:
            return i
    return count


@kernel
def index_records(
    buf: Bytes, base: int, table: Longs, count: int, lowest: int, highest: int, next_entry: int, entries: Any
) -> tuple[int, int, int, int]:
    """Write an index entry for the first record that begins INDEX_STRIDE or more behind the one of the last entry.

    `base` is the raw offset of buf[0], `lowest` and `highest` the block numbers so far (-1: none), `next_entry` the raw
    offset from which on the next entry is due.  Returns (entries written, lowest, highest, next due offset).
    """
    written = 0
    for i in range(count):
        start = table[OFFSET_ROW, i]
        offset = base + start - HEAD_BYTES
        if offset >= next_entry and written < entries.shape[0]:
            entry = entries[written]
            entry["sequence"] = table[SEQUENCE_ROW, i]
            entry["offset"] = offset
            entry["publish_ns"] = table[TIME_ROW, i]
            entry["block"] = highest
            written += 1
            next_entry = offset + INDEX_STRIDE
        number = block_number(buf, start, start + table[LENGTH_ROW, i])
        if number >= 0:
            highest = max(highest, number)
            lowest = number if lowest < 0 else min(lowest, number)
    return written, lowest, highest, next_entry


@kernel
def drop_other_blocks(buf: Bytes, table: Longs, count: int, lowest: int, highest: int, wanted: Flags) -> None:
    """Set `wanted` to False for each of `count` columns whose message is of a block below `lowest` or above `highest`.

    A message of no block stays.
    """
    for i in range(count):
        if wanted[i]:
            start = table[OFFSET_ROW, i]
            number = block_number(buf, start, start + table[LENGTH_ROW, i])
            if number >= 0 and (number < lowest or number > highest):
                wanted[i] = False


@kernel
def last_of_blocks(buf: Bytes, table: Longs, first: int, behind: int, lowest: int, highest: int) -> int:
    """The last of the columns `first` to `behind` - 1 whose message is of these blocks; -1 if none is."""
    for i in range(behind - 1, first - 1, -1):
        start = table[OFFSET_ROW, i]
        if lowest <= block_number(buf, start, start + table[LENGTH_ROW, i]) <= highest:
            return i
    return -1
