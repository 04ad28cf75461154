"""Which frames of a poll a consumer wants: one kernel call instead of a parse each."""

from __future__ import annotations

from tlv.buffers import Bytes, Longs
from tlv.filter import FilterTables, wants
from tlv.jit import kernel
from tlv.kernels import next_tlv
from tlv.layout import HEADER_SIZE
from tlv.status import OK


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
