"""What goes into the ring, in order and numbered: records, decoded events, and copies of events that a reorg undoes.

Owns sequences and the batch decoder.  It must never know why something is published, nor the ring itself: `take` hands
out finished messages, and whoever has the writer puts them there.  Message n of all has the sequence that the ring will
give it, because nobody else writes to that ring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from producers.decode.batch import BatchDecoder, count_refusals, same_context
from producers.decode.cold import Refusal
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.kinds.events import EVENTS
from producers.node.rpc_types import Log
from producers.node.timers import Clock
from tlv.buffers import Bytes, Longs
from tlv.codes import Domain, Flag
from tlv.jit import kernel
from tlv.kernels import seal
from tlv.layout import HEADER, HEADER_SIZE
from tlv.message import build
from tlv.record import Record

NO_GARBLING = int(Flag.BACKFILL | Flag.UNPROVEN)
"""What was fetched is what the node says it is, and an emitter that is not proven may say anything."""
NOT_REFUSED = int(Refusal.NONE)
"""numpy asks a member of an Enum for what it is by name: 12 us of a log that comes alone."""


class Outbox:
    """Builds messages and keeps them until they are taken."""

    def __init__(self, source: int, clock: Clock, pools: PoolTable, next_sequence: int) -> None:
        self.next_sequence = next_sequence
        self.events_by_type: Counter[str] = Counter()
        self.refused: Counter[Refusal] = Counter()
        self._source, self._clock = source, clock
        self._decoder = BatchDecoder(pools, source)
        self._out: list[bytes | Segment] = []

    def take(self) -> list[bytes | Segment]:
        """Everything since the last call, in the order of its sequences."""
        out, self._out = self._out, []
        return out

    def put(self, domain: Domain, *records: Record, flags: int = 0) -> None:
        """One message with these records."""
        sequence, timestamp_ns = self.next_sequence, self._clock.wall_ns
        self._out.append(
            build(domain, self._source, records, sequence=sequence, timestamp_ns=timestamp_ns, flags=flags)
        )
        self.next_sequence += 1

    def put_events(
        self,
        logs: Sequence[Log],
        rows: Sequence[int],  # of each emitter in the pool table
        flags: Sequence[int] | int,
        block_timestamp: int,  # seconds
    ) -> tuple[Segment | None, int | None, list[int]]:
        """The events of `logs`, which are all of one block, None if there are none; and the places of those that are
        refused, which are counted.

        A log of a proven pool that was pushed and is refused ends it: nothing behind it is published, and its place in
        `logs` is the second that is returned.
        """
        wall_ns = self._clock.wall_ns
        context = same_context(rows, flags, block_timestamp, wall_ns)
        decoded = self._decoder.decode(logs, context, first_sequence=self.next_sequence, timestamp_ns=wall_ns)
        count, garbled, published = len(decoded.offsets), None, decoded.events
        refused: list[int] = []
        if count < len(logs):
            refusals = decoded.refusals
            pushed = np.flatnonzero((refusals != NOT_REFUSED) & (context["flags"] & NO_GARBLING == 0))
            if pushed.size:
                garbled = int(pushed[0])
                refusals = refusals[: garbled + 1]
                count = int(np.count_nonzero(refusals == NOT_REFUSED))
            self.refused.update(count_refusals(refusals))
            refused = [at for at in np.flatnonzero(refusals != NOT_REFUSED).tolist() if at != garbled]
            published = published[: refusals.size][refusals == NOT_REFUSED]
        if count == 0:
            return None, garbled, refused
        offsets, lengths = decoded.offsets[:count].copy(), decoded.lengths[:count].copy()
        segment = Segment(decoded.buffer[: offsets[-1] + lengths[-1]].copy(), offsets, lengths)
        names = published.tolist()
        for index in set(names):
            self.events_by_type[EVENTS[index].name] += names.count(index)
        self._out.append(segment)
        self.next_sequence += count
        return segment, garbled, refused

    def put_copies(self, segment: Segment, *, removed: bool) -> None:
        """The messages of `segment` again: REMOVED and newest first, or as they were."""
        buffer = segment.buffer.copy()
        offsets, lengths = (np.ascontiguousarray(array[::-1]) if removed else array for array in segment[1:])
        restamp(buffer, offsets, lengths, int(Flag.REMOVED) if removed else 0, self.next_sequence, self._clock.wall_ns)
        self._out.append(Segment(buffer, offsets, lengths))
        self.next_sequence += len(offsets)


@kernel
def restamp(buffer: Bytes, offsets: Longs, lengths: Longs, added_flags: int, sequence: int, now_ns: int) -> int:
    """Give finished messages new sequences, times and flags, and seal them again.  Returns the next sequence."""
    for at in range(offsets.size):
        start = offsets[at]
        header = buffer[start : start + HEADER_SIZE].view(HEADER)[0]
        header["flags"] = header["flags"] | added_flags
        header["sequence"] = sequence
        header["timestamp_ns"] = now_ns
        seal(buffer, start, start + lengths[at])
        sequence += 1
    return sequence
