"""The loops over a relay's stream: wait for, choose and pack messages on one side, split and check them on the other.

Owns the compiled code of relay and client.  Knows bytes and a ring's words; must never know a socket.

    R1  a frame that is no message (by its header) is left out and counted: its bytes would break the stream's framing
    R2  a filter never hides a loss: NEVER_HIDDEN passes every one (`tlv.filter.wants`)
    R3  a Batch record stands in front of its messages and covers every sequence since the Batch or Gap before it
"""

from __future__ import annotations

import numpy as np

from ringbuf.atomics import monotonic_ns
from ringbuf.kernels import get_word, poll_into, sleep_on, spin, spin_yielding
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TAIL
from ringbuf.status import EMPTY
from tlv.buffers import Bytes, Longs, State, Words
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

COUNT = 0  # cells of `found`, which `read_run` fills: frames that were polled
LOST_LAST = 1  # the last sequence that is lost before them; 0: none
POSITION = 2  # behind them
SEQUENCE = 3
LEFT = 4  # bytes of the ring behind them
MESSAGES = 5  # that were packed
MALFORMED = 6  # frames that are none
SIZE = 7  # bytes that were packed
FOUND_CELLS = 8


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
def read_run(
    words: Words,
    control: Words,
    reader: State,
    polled: Words,
    table: Longs,
    out: Bytes,
    found: Longs,
    position: int,
    sequence: int,
    since: int,  # the first sequence that no Batch covers yet
    ring_index: int,
    timestamp_ns: int,
    types: Bytes,
    venues: Bytes,
    pools: Bytes,
    tokens: Bytes,
) -> int:
    """Poll the ring from a place on and pack what came: all of it or, behind a loss, nothing.  The poll's status.

    The tables of a filter come one by one: as a tuple they took 1.0 of the 1.7 us of a call.
    """
    me = reader[0]
    me["position"] = position
    me["sequence"] = sequence
    status = poll_into(words, control, reader, polled, table, table.shape[1])
    found[COUNT] = me["count"]
    found[LOST_LAST] = me["lost_last"]
    found[POSITION] = me["position"]
    found[SEQUENCE] = me["sequence"]
    found[LEFT] = get_word(words, TAIL) - me["position"]
    found[MESSAGES] = 0
    found[MALFORMED] = 0
    found[SIZE] = 0
    if me["count"] > 0 and me["lost_last"] == 0:
        wanted = FilterTables(types, venues, pools, tokens)
        _, found[MESSAGES], found[MALFORMED], found[SIZE] = pack_batch(
            out, polled.view(np.uint8), table, 0, found[COUNT], since, ring_index, timestamp_ns, wanted
        )
    return status


@kernel
def await_run(
    words: Words,
    control: Words,
    reader: State,
    polled: Words,
    table: Longs,
    out: Bytes,
    found: Longs,
    position: int,
    sequence: int,
    since: int,
    ring_index: int,
    timestamp_ns: int,
    spin_ns: int,
    yield_ns: int,  # from the beginning as well
    sleep_ns: int,
    types: Bytes,
    venues: Bytes,
    pools: Bytes,
    tokens: Bytes,
) -> int:
    """`read_run` once the ring's end is not `position`; EMPTY, and nothing read, if the time is over before."""
    now = monotonic_ns()
    reader[0]["position"] = position
    if (
        spin(words, reader, now + spin_ns) == 0
        and spin_yielding(words, reader, now + yield_ns) == 0
        and sleep_on(words, control, reader, sleep_ns) == 0
    ):
        return EMPTY
    return read_run(
        words,
        control,
        reader,
        polled,
        table,
        out,
        found,
        position,
        sequence,
        since,
        ring_index,
        timestamp_ns + monotonic_ns() - now,
        types,
        venues,
        pools,
        tokens,
    )


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
