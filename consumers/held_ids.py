"""What a strategy's ring, and its journal, already hold: the ids that must not be published again after a restart.

A strategy gives equal frames equal ids, so a process that reads once more what its predecessor had read knows by the id
alone what that one published before it died.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from consumers.journal import JournalError, JournalReader
from ringbuf import Poll, Reader, Status
from tlv.buffers import Bytes, Longs
from tlv.errors import UsageError
from tlv.jit import kernel
from tlv.kernels import find_tlv
from tlv.layout import LAYOUT_DIGEST, OrderRequest, SignalIdentity
from tlv.record import Record

ID = np.dtype("<u8")
SIGNAL, ORDER = SignalIdentity.layout.type, OrderRequest.layout.type
SIGNAL_ID_AT, ORDER_ID_AT = SignalIdentity.layout.offsets["signal_id"], OrderRequest.layout.offsets["order_id"]
ID_BYTES = ID.itemsize


@kernel
def read_ids(buffer: Bytes, offsets: Longs, lengths: Longs, ids: Longs) -> int:
    """Write the id of each message that has one to `ids` (as long as `offsets`); how many there are."""
    count = 0
    for i in range(len(offsets)):
        start, end = offsets[i], offsets[i] + lengths[i]
        at = find_tlv(buffer, start, end, SIGNAL)
        if at >= 0:
            at += SIGNAL_ID_AT
        else:
            at = find_tlv(buffer, start, end, ORDER)
            if at < 0:
                continue
            at += ORDER_ID_AT
        ids[count] = buffer[at : at + ID_BYTES].view(np.int64)[0]
        count += 1
    return count


def id_of(records: tuple[Record, ...]) -> int | None:
    """The id of a message that a strategy emitted."""
    first = records[0]
    if isinstance(first, SignalIdentity):
        return first.signal_id
    return first.order_id if isinstance(first, OrderRequest) else None


def ids_in_ring(name: str) -> tuple[set[int], int]:
    """The ids that are still in a ring, and how many messages it has overwritten.

    Raises:
        RingNotFound, BadSegment: see `Reader.attach`.
    """
    found: set[int] = set()
    with Reader.attach(name, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        overwritten = reader.sequence - 1
        while True:
            poll = reader.poll()
            if poll.loss is not None:
                overwritten += poll.loss.count
            found |= ids_of(poll)
            if not len(poll) and poll.status not in {Status.OK, Status.GAP, Status.EPOCH_CHANGED}:
                return found, overwritten


def ids_in_journal(directory: Path, ring: str) -> set[int]:
    """The ids that a journal of the ring `ring` holds; none, if nothing was recorded there yet.

    Raises:
        UsageError: it is another ring's journal.
        JournalError: a segment is damaged.
    """
    found: set[int] = set()
    try:
        reader = JournalReader(directory)
    except (UsageError, JournalError):
        if directory.is_dir() and any(directory.iterdir()):
            raise
        return found
    with reader:
        if reader.name != ring:
            raise UsageError(f"signals journal {directory}: expected one of ring {ring}, found one of {reader.name}")
        while True:
            poll = reader.poll()
            found |= ids_of(poll)
            if poll.status in {Status.EMPTY, Status.CLOSED} and not len(poll):
                return found


def ids_of(poll: Poll) -> set[int]:
    """The ids in the messages of a poll."""
    ids: Longs = np.zeros(len(poll), dtype=np.int64)
    count = read_ids(poll.buffer, poll.offsets, poll.lengths, ids)
    return set(ids[:count].view(ID).tolist())
