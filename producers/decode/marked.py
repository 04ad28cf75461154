"""Events among the messages of a segment: those that are flagged UNPROVEN, and those of given logs.

Owns how they are told from others, and how a segment is taken apart.  It reads headers and records, one message after
the other: emitters that nobody can prove for 15 s are few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from producers.decode.segment import Segment
from tlv.codes import Flag
from tlv.layout import EventOrigin, Header, PoolRecord
from tlv.message import parse

ADDRESS_BYTES = 20
Mask = np.ndarray[Any, np.dtype[np.bool_]]
FLAGS_AT = Header.layout.offsets["flags"]


class Marked(NamedTuple):
    """One event that is flagged."""

    at: int
    """Its place in the segment."""
    emitter: str
    identity: str
    """As `producers.blocks.block.identify` has it."""
    record: PoolRecord


def marked_in(segment: Segment) -> Iterator[Marked]:
    """The events of a segment that are flagged, in order."""
    flags = segment.buffer[segment.offsets + FLAGS_AT]
    for at in np.flatnonzero(flags & int(Flag.UNPROVEN)).tolist():
        start, length = segment.offsets[at], segment.lengths[at]
        message = parse(segment.buffer[start : start + length].tobytes(), verify=False)
        record, origin = message.records[0], message.first(EventOrigin)
        if isinstance(record, PoolRecord) and origin is not None:
            yield Marked(at, f"0x{record.pool[:ADDRESS_BYTES].hex()}", _identity(origin), record)


def count_marked(segment: Segment) -> Counter[str]:
    """How many events of each emitter are flagged."""
    return Counter(marked.emitter for marked in marked_in(segment))


def split_marked(segment: Segment, emitter: str) -> tuple[Segment, Segment, set[str]]:
    """What is not flagged of this emitter, what is, and the identities of the latter."""
    found = [marked for marked in marked_in(segment) if marked.emitter == emitter]
    taken = np.zeros(len(segment.offsets), dtype=bool)
    taken[[marked.at for marked in found]] = True
    kept, out = _split(segment, taken)
    return kept, out, {marked.identity for marked in found}


def split_events(segment: Segment, identities: set[str]) -> tuple[Segment, Segment]:
    """What is not of these logs, and what is."""
    found = np.zeros(len(segment.offsets), dtype=bool)
    for at, payload in enumerate(segment.messages()):
        origin = parse(payload, verify=False).first(EventOrigin)
        found[at] = origin is not None and _identity(origin) in identities
    return _split(segment, found)


def _split(segment: Segment, taken: Mask) -> tuple[Segment, Segment]:
    kept, out = (Segment(segment.buffer, segment.offsets[which], segment.lengths[which]) for which in (~taken, taken))
    return kept, out


def _identity(origin: EventOrigin) -> str:
    return f"0x{origin.transaction_hash.hex()}{origin.log_index:#x}"
