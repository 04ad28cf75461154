"""One message of a ring as Python sees it, wherever it was read: in the ring, through a relay, or from a journal.

`consumers.live` and `consumers.store` both give `Event`, and `ringbuf.Loss` for what is missing.  Equal messages give
equal events, so what was written against the one runs on the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from ringbuf import Poll
from tlv.codes import Flag
from tlv.errors import FrameError
from tlv.layout import EventOrigin, Header
from tlv.message import parse
from tlv.record import Record
from tlv.record_kernels import frames_reader
from tlv.record_table import words

EVENTS_AT_ONCE = 128
"""Some 150 KiB of objects."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A message.  (`ring`, `sequence`) is its identity; the header's sequence differs in a copy that was replayed."""

    ring: bytes
    """uuid of the ring it was read from, or recorded from."""
    sequence: int
    header: Header
    records: tuple[Record, ...]

    @property
    def record(self) -> Record | None:
        """The first record, which is the message's subject.  None if no layout is known for any of its types."""
        return self.records[0] if self.records else None

    @property
    def origin(self) -> EventOrigin | None:
        """Where on the chain a pool event stands."""
        return next((record for record in self.records if isinstance(record, EventOrigin)), None)

    @property
    def flags(self) -> Flag:
        """The header's flags by name, as in `event.flags & Flag.REMOVED`."""
        return Flag(self.header.flags)


def read_event(ring: bytes, sequence: int, payload: bytes | memoryview) -> Event:
    """The event of one frame.

    The checksum is not verified: a ring delivers no torn frames, and a journal and a relay's client verify theirs.

    Raises:
        FrameError: the payload is no message.
    """
    try:
        message = parse(payload, verify=False)
    except FrameError:
        message = parse(payload, verify=False, where=f"ring {ring.hex()}, sequence {sequence}")
    return Event(ring, sequence, message.header, message.records)


def read_events(ring: bytes, poll: Poll) -> Iterator[list[Event]]:
    """The events of a poll's frames, some at a time.

    One call of machine code makes up to `EVENTS_AT_ONCE` of them, so a consumer that stops early has paid for few, and
    what was made is still in the cache when it is looked at.

    Raises:
        FrameError: a frame is no message; the events of the frames before it were yielded.
    """
    sequences, offsets, lengths = (np.ascontiguousarray(row) for row in (poll.sequences, poll.offsets, poll.lengths))
    done, buffer = 0, poll.buffer
    while done < len(poll):
        made: list[Event] = []
        if (make := frames_reader()) is not None:
            rows = (row[done:].ctypes.data for row in (sequences, offsets, lengths))
            count = min(len(poll) - done, EVENTS_AT_ONCE)
            made = make(Event, ring, words(buffer.ctypes.data, buffer.size, *rows, count))
            done += len(made)
        if made:
            yield made
        if done < len(poll) and len(made) < EVENTS_AT_ONCE:
            frame = poll[done]
            done += 1
            yield [read_event(ring, frame.sequence, frame.payload)]
