"""One message of a ring as Python sees it, wherever it was read: in the ring, through a relay, or from a journal.

Owns the two types that `consumers.live` and `consumers.store` share.  Equal messages give equal events, so what was
written against the one runs on the other.
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
        """What the message is about: its first record.  None if no layout is known for any of its types."""
        return self.records[0] if self.records else None

    @property
    def origin(self) -> EventOrigin | None:
        """Where on the chain a pool event stands."""
        return next((record for record in self.records if isinstance(record, EventOrigin)), None)

    @property
    def flags(self) -> Flag:
        """The header's flags by name, as in `event.flags & Flag.REMOVED`."""
        return Flag(self.header.flags)


class Loss(msgspec.Struct, frozen=True):
    """Messages of a ring that cannot be had: `first` to `last`.  Comes where they would have come."""

    ring: bytes
    first: int
    last: int
    reason: int = 0
    """A `tlv.codes.Reason` if a relay gave one."""

    @property
    def count(self) -> int:
        """How many messages that is."""
        return self.last - self.first + 1


def read_event(ring: bytes, sequence: int, payload: bytes | memoryview) -> Event:
    """The event of one frame.

    The checksum is not looked at: a ring excludes torn frames, a journal and a relay's client have checked theirs.

    Raises:
        FrameError: the payload is no message.
    """
    message = parse(payload, verify=False, where=f"ring {ring.hex()}, sequence {sequence}")
    return Event(ring, sequence, message.header, message.records)
