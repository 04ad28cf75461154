"""Which frames of a poll a consumer wants, and where their records are: one kernel call instead of a parse each."""

from __future__ import annotations

from tlv.buffers import Bytes, Longs
from tlv.codes import VENDOR_TYPES
from tlv.filter import FilterTables, wants
from tlv.jit import kernel
from tlv.kernels import check_message, next_tlv
from tlv.layout import HEADER, HEADER_SIZE, EventOrigin
from tlv.status import OK

ORIGIN = EventOrigin.layout.type
FIRST_VENDOR = VENDOR_TYPES[0]
COLUMNS = 7
"""Of `index_frames`: which frame, type and position of its first record, position of its EventOrigin, flags and
sequence of its header, and the position behind it."""
OTHERWISE = -1
"""In the place of a type: the message has another form, and must be parsed."""


@kernel
def select_frames(buffer: Bytes, offsets: Longs, lengths: Longs, wanted: FilterTables, chosen: Longs) -> int:
    """Write the indices of wanted frames to `chosen` (as long as `offsets`); how many there are.

    A frame without a readable first record is wanted too: its consumer raises the error that names the fault.
    """
    count = 0
    for i in range(len(offsets)):
        start, end = offsets[i], offsets[i] + lengths[i]
        status, _, _, _, _ = next_tlv(buffer, start + HEADER_SIZE, end)
        if status != OK or wants(buffer, start, end, wanted):
            chosen[count] = i
            count += 1
    return count


@kernel
def index_frames(buffer: Bytes, offsets: Longs, lengths: Longs, wanted: FilterTables, table: Longs) -> int:
    """Write a row of `table` (int64[as long as `offsets`, COLUMNS]) for each wanted frame; how many there are.

    A well-formed message of one record, or of a pool's record and its EventOrigin, can be read where the row says; one
    of another form has `OTHERWISE` for its type.  Records of a user's own, whose sizes no kernel knows, are of those.
    """
    count = 0
    for i in range(len(offsets)):
        start, end = offsets[i], offsets[i] + lengths[i]
        status, tlv_type, first, _, pos = next_tlv(buffer, start + HEADER_SIZE, end)
        if status == OK and not wants(buffer, start, end, wanted):
            continue
        row = table[count]
        count += 1
        row[0] = i
        row[1] = OTHERWISE
        row[6] = end
        if status != OK or tlv_type >= FIRST_VENDOR or check_message(buffer, start, end, False) != OK:
            continue
        second = 0
        if pos < end:
            _, origin_type, second, _, pos = next_tlv(buffer, pos, end)
            if origin_type != ORIGIN or pos < end:
                continue
        header = buffer[start : start + HEADER_SIZE].view(HEADER)[0]
        row[1], row[2], row[3] = tlv_type, first, second
        row[4], row[5] = header["flags"], header["sequence"]
    return count
