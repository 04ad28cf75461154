"""One message of a ring as Python sees it, wherever it was read: in the ring, through a relay, or from a journal.

`consumers.live` and `consumers.store` both give `Event`, and `ringbuf.Loss` for what is missing.  Equal messages give
equal events, so what was written against the one runs on the other.
"""

from __future__ import annotations

import msgspec

from tlv.codes import Flag
from tlv.layout import EventOrigin, Header
from tlv.message import parse
from tlv.record import Record


class Event(msgspec.Struct, frozen=True):
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
    message = parse(payload, verify=False, where=f"ring {ring.hex()}, sequence {sequence}")
    return Event(ring, sequence, message.header, message.records)
