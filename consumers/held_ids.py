"""What a strategy's ring, and its journal, already hold: the ids that must not be published again after a restart.

A strategy gives equal frames equal ids, so a process that reads once more what its predecessor had read knows by the id
alone what that one published before it died.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from consumers.journal import JournalError, JournalReader
from ringbuf import Poll, Reader, Status
from tlv.buffers import Bytes, Longs
from tlv.errors import UsageError
from tlv.jit import kernel
from tlv.kernels import find_tlv
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, OrderRequest, SignalIdentity
from tlv.record import Record

log = logging.getLogger("alphapulse.strategy")

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


def id_in(message: Bytes) -> int | None:
    """The id in one message's bytes, uint8[n]; None if it has none."""
    ids: Longs = np.zeros(1, np.int64)
    found = read_ids(message, np.zeros(1, np.int64), np.full(1, message.size, np.int64), ids)
    return int(ids.view(ID)[0]) if found else None


class HeldMessages:
    """The messages of a strategy's ring, by id: those that must not be published again.

    Parameters that were changed, or a market's ring that has overwritten what the first process had seen, give another
    message under the same id.  It is not published either, since whoever acts on ids would have acted already, and told
    once.
    """

    def __init__(self, ring: str) -> None:
        self.ring = ring
        self.differing = 0
        """Messages that came again, and not the same."""
        self._found: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, number: int | None) -> bool:
        return number in self._found

    def note(self, poll: Poll) -> None:
        """Take in the messages of a poll of the ring, or of its journal."""
        ids: Longs = np.zeros(1, dtype=np.int64)
        one: Longs = np.zeros(1, dtype=np.int64)
        for at, length in zip(poll.offsets.tolist(), poll.lengths.tolist(), strict=True):
            message = poll.buffer[at : at + length]
            if read_ids(message, one, one + length, ids):
                self._found[int(ids.view(ID)[0])] = hash(message[HEADER_SIZE:].tobytes())

    def note_ring(self) -> int:
        """Take in what is still in the ring; how many messages it has overwritten.

        Raises:
            RingNotFound, BadSegment: see `Reader.attach`.
        """
        with Reader.attach(self.ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
            overwritten = reader.sequence - 1
            while True:
                poll = reader.poll()
                if poll.loss is not None:
                    overwritten += poll.loss.count
                self.note(poll)
                if not len(poll) and poll.status not in {Status.OK, Status.GAP, Status.EPOCH_CHANGED}:
                    return overwritten

    def note_journal(self, directory: Path) -> None:
        """Take in a journal of the ring; nothing, if nothing was recorded there yet.

        Raises:
            UsageError: it is another ring's journal.
            JournalError: a segment is damaged.
        """
        try:
            reader = JournalReader(directory)
        except (UsageError, JournalError):
            if directory.is_dir() and any(directory.iterdir()):
                raise
            return
        with reader:
            if reader.name != self.ring:
                raise UsageError(
                    f"signals journal {directory}: expected one of ring {self.ring}, found one of {reader.name}"
                )
            while True:
                poll = reader.poll()
                self.note(poll)
                if poll.status in {Status.EMPTY, Status.CLOSED} and not len(poll):
                    return

    def take(self, number: int | None, message: bytes | memoryview) -> None:
        """A message with an id that is held came again."""
        if self._found.pop(number or 0) != hash(bytes(message[HEADER_SIZE:])):
            self.differing += 1
            if self.differing == 1:
                text = (
                    "ring %(ring)s holds another message under id %(id)016x: were parameters changed? a ring of another"
                )
                log.warning(text + " name keeps the two apart", {"ring": self.ring, "id": number})

    def forget(self) -> None:
        """Nothing that comes from now on can have been published before."""
        self._found.clear()
