"""The loops over a relay's stream: choose and pack messages on one side, split and check them on the other.

Owns the compiled code of relay and client.  Knows bytes; must never know a socket.

    R1  a frame that is no message (by its header) is left out and counted: its bytes would break the stream's framing
    R2  a filter never hides a loss: NEVER_HIDDEN passes every one (`tlv.filter.wants`)
    R3  a Batch record stands in front of its messages and covers every sequence since the Batch or Gap before it
"""

from __future__ import annotations

from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.buffers import Bytes, Longs
from tlv.codes import MAGIC, MAX_MESSAGE, Domain, Source
from tlv.copying import copy_bytes
from tlv.filter import FilterTables, wants
from tlv.jit import kernel
from tlv.kernels import check_header, check_message, put_header, put_tlv, seal
from tlv.layout import HEADER, HEADER_SIZE
from tlv.layout import Batch as BatchRecord
from tlv.status import OK, TOO_LONG, WRONG_MAGIC

BATCH = BatchRecord.layout.dtype
BATCH_TYPE, BATCH_SIZE = BatchRecord.layout.type, BatchRecord.layout.size
BATCH_BYTES = HEADER_SIZE + 2 + BATCH_SIZE
"""A Batch message: what stands in front of every run of messages."""
SYSTEM, RELAY = int(Domain.SYSTEM), int(Source.RELAY)

WHOLE = 0
PART = 1  # the buffer ends inside a message
BROKEN = 2


@kernel
def pack_batch(
    out: Bytes,
    source: Bytes,
    index: Longs,
    first: int,
    count: int,
    since: int,
    ring_index: int,
    timestamp_ns: int,
    wanted: FilterTables,
) -> tuple[int, int, int, int]:
    """Pack columns `first` to `count` of a poll behind one Batch record that covers the sequences from `since` on.

    Stops before the message that does not fit.  Returns (column behind the last one taken, messages packed, frames that
    were no message, bytes in `out`).
    """
    pos = BATCH_BYTES
    packed = malformed = 0
    column = first
    while column < count:
        start, length = index[OFFSET_ROW, column], index[LENGTH_ROW, column]
        if check_header(source, start, start + length) != OK:
            malformed += 1
        elif wants(source, start, start + length, wanted):
            if length > out.size - pos:
                break
            copy_bytes(out, pos, source, start, length)
            pos += length
            packed += 1
        column += 1
    if column > first:
        put_batch(out, since, index[SEQUENCE_ROW, column - 1], ring_index, packed, timestamp_ns)
    return column, packed, malformed, pos


@kernel
def put_batch(out: Bytes, first: int, last: int, ring_index: int, count: int, timestamp_ns: int) -> None:
    """Write a Batch message to the first BATCH_BYTES of `out`."""
    value = put_tlv(out, put_header(out, 0, SYSTEM, RELAY, 0, 0, timestamp_ns), BATCH_TYPE, BATCH_SIZE)
    batch = out[value : value + BATCH_SIZE].view(BATCH)
    batch[0]["first"] = first
    batch[0]["last"] = last
    batch[0]["ring_index"] = ring_index
    batch[0]["count"] = count
    seal(out, 0, BATCH_BYTES)


@kernel
def message_end(buf: Bytes, pos: int, target: int) -> int:
    """The end of the message that holds byte `target` - 1, walking whole messages from `pos`."""
    while pos < target:
        pos += HEADER_SIZE + int(buf[pos : pos + HEADER_SIZE].view(HEADER)[0]["payload_size"])
    return pos


@kernel
def split_messages(buf: Bytes, start: int, end: int, bounds: Longs) -> tuple[int, int, int]:
    """Find whole, sound messages in buf[start:end]: message i is buf[bounds[i] : bounds[i + 1]].

    Verifies every checksum.  Stops at the first byte that is no message, or when `bounds` is full.  Returns (WHOLE,
    PART or BROKEN; messages found; tlv status of the broken one).
    """
    pos = start
    bounds[0] = pos
    for i in range(bounds.size - 1):
        if end - pos < HEADER_SIZE:
            return PART, i, OK
        header = buf[pos : pos + HEADER_SIZE].view(HEADER)
        # Magic and size are checked first: a wrong size would make the client wait for bytes that never come.
        if header[0]["magic"] != MAGIC:
            return BROKEN, i, WRONG_MAGIC
        size = HEADER_SIZE + int(header[0]["payload_size"])
        if size > MAX_MESSAGE:
            return BROKEN, i, TOO_LONG
        if size > end - pos:
            return PART, i, OK
        status = check_message(buf, pos, pos + size, True)
        if status != OK:
            return BROKEN, i, status
        pos += size
        bounds[i + 1] = pos
    return WHOLE, bounds.size - 1, OK
