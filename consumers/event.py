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
from tlv.objects import WORD
from tlv.record import Record
from tlv.record_kernels import frames_reader
from tlv.record_table import words

EVENTS_AT_ONCE = 64
"""Some 80 KiB of objects.  8 take a fifth longer; from 32 on an event takes 0.97 us, of which 0.32 are the scan."""


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
    make = frames_reader()
    rows = [np.ascontiguousarray(row) for row in (poll.sequences, poll.offsets, poll.lengths)]
    place = poll.buffer.ctypes.data, poll.buffer.size
    # ctypes takes 1 us to say where an array is, so each is asked once.
    first, second, third = (row.ctypes.data for row in rows)
    done, count = 0, len(poll)
    while done < count:
        asked = min(count - done, EVENTS_AT_ONCE)
        made: list[Event] = []
        if make is not None:
            at = WORD * done
            made = make(Event, ring, words(*place, first + at, second + at, third + at, asked))
        if made:
            yield made
        done += len(made)
        if len(made) < asked:
            frame = poll[done]
            done += 1
            yield [read_event(ring, frame.sequence, frame.payload)]
