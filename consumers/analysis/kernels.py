"""The loops from a journal's bytes to columns: choose messages, list their records, copy fields.

Owns the compiled code of the package.  Knows framing and layouts; must never know a file or Arrow.

    C1  records are read only of a message that `check_message` found well-formed; other frames are counted
    C2  a column's place in a block was reserved before its field is copied: `room` says how many rows fit
"""

from __future__ import annotations

import numpy as np

from consumers.analysis.flipping import flip_word
from consumers.journal.kernels import block_number
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Bytes, Longs
from tlv.codes import Flag
from tlv.copying import copy_bytes
from tlv.filter import FilterTables, wants
from tlv.jit import kernel
from tlv.kernels import check_message, next_tlv
from tlv.layout import HEADER, HEADER_SIZE, EventOrigin
from tlv.status import OK

FIRST_SEQUENCE, LAST_SEQUENCE, FIRST_NS, LAST_NS, FIRST_BLOCK, LAST_BLOCK, ANY_BLOCK = range(7)
"""Bounds of a selection, both ends included.  ANY_BLOCK is 1 if the block does not matter."""
BOUNDS = 7

# Where a column's bytes come from.  The first three are rows of `list_rows`' table, too.
MESSAGE, VALUE, ORIGIN, FRAME, HAS_ORIGIN = range(5)
COLUMN_ROW, TYPE_ROW = 3, 4
LISTED_ROWS = 5

PART, OFFSET, SIZE, FLIPPED, BASE = range(5)
"""Rows of `RowBlock.facts`, which has a column for each column to be copied."""
COLUMN_FACTS = 5

ORIGIN_TYPE = EventOrigin.layout.type
REMOVED_FLAG = np.uint8(Flag.REMOVED)


@kernel
def is_sound(buf: Bytes, start: int, end: int, sizes: Longs) -> bool:
    """Whether it is a message whose records have the sizes of `sizes` (-1: any), those of registered types included."""
    if check_message(buf, start, end, False) != OK:
        return False
    pos = start + HEADER_SIZE
    while pos < end:
        _, tlv_type, _, length, pos = next_tlv(buf, pos, end)
        if sizes[tlv_type] not in (-1, length):
            return False
    return True


@kernel
def choose(
    buf: Bytes,
    table: Longs,
    first: int,
    last: int,
    clock_offset_ns: int,
    bounds: Longs,
    sizes: Longs,
    wanted: FilterTables,
    chosen: Longs,
) -> tuple[int, int]:
    """Write the columns from `first` to `last` - 1 of a scan's `table` that a selection wants to `chosen`.

    Returns (columns chosen, frames refused because they are no message).
    """
    count = refused = 0
    for i in range(first, last):
        sequence, published_ns = table[SEQUENCE_ROW, i], table[TIME_ROW, i] + clock_offset_ns
        if sequence < bounds[FIRST_SEQUENCE] or sequence > bounds[LAST_SEQUENCE]:
            continue
        if published_ns < bounds[FIRST_NS] or published_ns > bounds[LAST_NS]:
            continue
        start = table[OFFSET_ROW, i]
        end = start + table[LENGTH_ROW, i]
        if not is_sound(buf, start, end, sizes):
            refused += 1
            continue
        if not wants(buf, start, end, wanted):
            continue
        if bounds[ANY_BLOCK] == 0:
            number = block_number(buf, start, end)
            if number < bounds[FIRST_BLOCK] or number > bounds[LAST_BLOCK]:
                continue
        chosen[count] = i
        count += 1
    return count, refused


@kernel
def without_removed(buf: Bytes, table: Longs, chosen: Longs, count: int) -> int:
    """Take the messages with the flag REMOVED out of the first `count` chosen ones; returns how many are left."""
    left = 0
    for k in range(count):
        start = table[OFFSET_ROW, chosen[k]]
        if buf[start : start + HEADER_SIZE].view(HEADER)[0]["flags"] & REMOVED_FLAG == 0:
            chosen[left] = chosen[k]
            left += 1
    return left


@kernel
def list_rows(buf: Bytes, table: Longs, chosen: Longs, count: int, wanted: Bytes, listed: Longs) -> int:
    """List every record of a wanted type in the first `count` chosen messages; returns how many.

    A row of `listed` for each fact: where message, value and origin begin (-1: no origin), the column of `table`, the
    type.  An EventOrigin belongs to the records before it and is listed only where it stands first.
    """
    rows = 0
    for k in range(count):
        column = chosen[k]
        start = table[OFFSET_ROW, column]
        end = start + table[LENGTH_ROW, column]
        pos = start + HEADER_SIZE
        begin = rows
        origin = -1
        while pos < end:
            leads = pos == start + HEADER_SIZE
            _, tlv_type, value, _, pos = next_tlv(buf, pos, end)
            if tlv_type == ORIGIN_TYPE and not leads:
                origin = value
            elif wanted[tlv_type] != 0:
                listed[MESSAGE, rows] = start
                listed[VALUE, rows] = value
                listed[COLUMN_ROW, rows] = column
                listed[TYPE_ROW, rows] = tlv_type
                rows += 1
        for row in range(begin, rows):
            listed[ORIGIN, row] = origin
    return rows


@kernel
def copy_column(
    out: Bytes, at: int, buf: Bytes, starts: Longs, rows: int, offset: int, size: int, flipped: bool
) -> None:
    """Copy one field of `rows` structs; zeros where a struct is absent (start -1).

    `flipped` turns the little-endian limbs of wide integers into big-endian bytes.  The common sizes are constants, for
    which LLVM emits a move or two instead of a call to memcpy.
    """
    for k in range(rows):
        start = starts[k] + offset
        if starts[k] < 0:
            for i in range(size):
                out[at + i] = 0
        elif flipped:
            for i in range(0, size, 8):
                flip_word(out, at + i, buf, start + size - 8 - i)
        elif size == 8:
            copy_bytes(out, at, buf, start, 8)
        elif size == 20:
            copy_bytes(out, at, buf, start, 20)
        elif size == 32:
            copy_bytes(out, at, buf, start, 32)
        elif size == 4:
            copy_bytes(out, at, buf, start, 4)
        else:
            copy_bytes(out, at, buf, start, size)
        at += size


@kernel
def copy_rows(
    buf: Bytes,
    table: Longs,
    listed: Longs,
    begin: int,
    count: int,
    tlv_type: int,
    picked: Longs,
    columns: Longs,
    out: Bytes,
    filled: int,
    room: int,
) -> tuple[int, int]:
    """Copy listed records of one type into the columns of a block that has `filled` of `room` rows.

    Begins at listed row `begin` and stops at `count`, or when the block is full.  Returns (listed row to go on with,
    rows filled now).
    """
    rows = 0
    row = begin
    while row < count and rows < room - filled:
        if listed[TYPE_ROW, row] == tlv_type:
            for fact in range(TYPE_ROW):
                picked[fact, rows] = listed[fact, row]
            rows += 1
        row += 1
    for c in range(columns.shape[1]):
        part, offset, size = columns[PART, c], columns[OFFSET, c], columns[SIZE, c]
        at = columns[BASE, c] + filled * size
        if part == FRAME:
            for k in range(rows):
                out[at : at + 8].view(np.int64)[0] = table[offset, picked[COLUMN_ROW, k]]
                at += 8
        elif part == HAS_ORIGIN:
            for k in range(rows):
                out[at + k] = picked[ORIGIN, k] >= 0
        else:
            copy_column(out, at, buf, picked[part], rows, offset, size, columns[FLIPPED, c] != 0)
    return row, filled + rows
