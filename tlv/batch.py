"""Many messages in one buffer: message i is `buf[offsets[i] : offsets[i] + lengths[i]]`, as a ring's poll returns them.

One call from Python for all of them, because a call costs as much as the work on ten messages.  `tlv.kernels` does
everything within a message.  A call returns -1 if its arrays do not agree in size; then nothing was done.  If an offset
and a length overflow, their sum is before the offset, and `tlv.kernels.holds` refuses that.
"""

from __future__ import annotations

from tlv.buffers import Bytes, Longs, Structs
from tlv.codes import MAX_MESSAGE
from tlv.jit import kernel
from tlv.kernels import (
    EXTENDED_FORM,
    LONGEST_SHORT,
    SHORT_FORM,
    check_header,
    check_message,
    checksum,
    put_header,
    put_tlv,
)
from tlv.layout import HEADER, HEADER_SIZE
from tlv.status import OK, WRONG_CHECKSUM


@kernel
def check_batch(buf: Bytes, offsets: Longs, lengths: Longs, verify: bool, statuses: Longs) -> int:
    """`check_message` on every message, its answer in `statuses`; returns how many were refused."""
    if lengths.size != offsets.size or statuses.size != offsets.size:
        return -1
    refused = 0
    for i in range(offsets.size):
        start, length = offsets[i], lengths[i]
        status = check_message(buf, start, start + length, verify)
        statuses[i] = status
        refused += status != OK
    return refused


@kernel
def read_headers(buf: Bytes, offsets: Longs, lengths: Longs, verify: bool, headers: Structs, statuses: Longs) -> int:
    """Copy every valid header, with `verify` only under a right checksum; returns how many messages were refused.

    Reads no TLV: for counting and routing.  Where a message is refused `headers` stays as it was.
    """
    if lengths.size != offsets.size or statuses.size != offsets.size or headers.size != offsets.size:
        return -1
    refused = 0
    for i in range(offsets.size):
        start, length = offsets[i], lengths[i]
        status = check_header(buf, start, start + length)
        if status == OK:
            header = buf[start : start + HEADER_SIZE].view(HEADER)[0]
            if verify and checksum(buf, start, start + length) != header["checksum"]:
                status = WRONG_CHECKSUM
            else:
                headers[i] = header
        statuses[i] = status
        refused += status != OK
    return refused


@kernel
def build_batch(
    buf: Bytes,
    offsets: Longs,
    lengths: Longs,
    domain: int,
    source: int,
    flags: int,
    first_sequence: int,
    timestamp_ns: int,
    tlv_type: int,
    values: Bytes,
    seal_it: bool,
) -> int:
    """One message per row of `values` (uint8[:, size of the type]), one after the other from the start of `buf`.

    Fills `offsets` and `lengths` and numbers the messages from `first_sequence`.  Without `seal_it` the checksum stays
    0, which only a reader that does not verify accepts.  Returns the bytes written, or -1 for no room in `buf` or in a
    message.
    """
    if offsets.size != values.shape[0] or lengths.size != values.shape[0]:
        return -1
    size = values.shape[1]
    form = SHORT_FORM if size <= LONGEST_SHORT else EXTENDED_FORM
    if HEADER_SIZE + form + size > MAX_MESSAGE:
        return -1
    start = 0
    for i in range(values.shape[0]):
        pos = put_header(buf, start, domain, source, flags, first_sequence + i, timestamp_ns)
        value_pos = -1 if pos == -1 else put_tlv(buf, pos, tlv_type, size)
        if value_pos == -1:
            return -1
        for k in range(size):
            buf[value_pos + k] = values[i, k]
        end = value_pos + size
        header = buf[start : start + HEADER_SIZE].view(HEADER)[0]
        header["payload_size"] = end - start - HEADER_SIZE
        if seal_it:
            header["checksum"] = checksum(buf, start, end)
        offsets[i] = start
        lengths[i] = end - start
        start = end
    return start


@kernel
def add_flags(buf: Bytes, offsets: Longs, lengths: Longs, flags: int) -> int:
    """Set header flags in every message and compute its checksum anew; returns how many were refused.

    A message whose checksum was wrong is refused too: a new checksum would hide the damage.
    """
    if lengths.size != offsets.size:
        return -1
    refused = 0
    for i in range(offsets.size):
        start, length = offsets[i], lengths[i]
        status = check_header(buf, start, start + length)
        if status == OK:
            header = buf[start : start + HEADER_SIZE].view(HEADER)[0]
            if checksum(buf, start, start + length) != header["checksum"]:
                status = WRONG_CHECKSUM
            else:
                header["flags"] = header["flags"] | flags
                header["checksum"] = checksum(buf, start, start + length)
        refused += status != OK
    return refused
