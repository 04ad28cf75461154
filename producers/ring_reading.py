"""What a ring tells whoever goes on with it, read in one go or along with its writer.

Owns the reading; `producers.blocks.recovery` understands it.  A message takes some 9 us, so a full ring of 16 MiB holds
up whoever has not read along by 0.4 s.
"""

from __future__ import annotations

from collections.abc import Iterator

from producers.blocks.recovery import RingStory
from ringbuf import Reader, Status
from tlv.layout import LAYOUT_DIGEST

MOST_READ = 2
"""Rings full: one that reads along for longer is begun anew, since it keeps what the ring has lost by then."""


class RingReading:
    """The messages of the ring that has this name now.

    Raises:
        SegmentError: there is none, or none that this build can read.
    """

    def __init__(self, ring: str) -> None:
        self._reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
        self._bytes_left = MOST_READ * self._reader.identity.capacity
        self.lapped = False
        """Whether the ring overwrote what it had not read yet."""
        self.story = RingStory()
        """What `advance` has read."""

    @property
    def ring_uuid(self) -> bytes:
        """Of the ring, whatever has its name by now."""
        return self._reader.uuid

    @property
    def worn_out(self) -> bool:
        """Whether a new one is to read along: this one is closed, too large, too slow, or its ring has no name."""
        return self._reader.closed or self._bytes_left < 0 or self.lapped or self._reader.nameless

    def rest(self) -> Iterator[memoryview]:
        """Everything that is in the ring and was not read yet, oldest first."""
        while True:
            poll = self._reader.poll()
            if poll.status not in (Status.OK, Status.EPOCH_CHANGED, Status.GAP):
                return
            self.lapped |= poll.loss is not None
            for frame in poll:
                self._bytes_left -= len(frame.payload)
                yield frame.payload

    def advance(self) -> None:
        """Read what is there by now."""
        for payload in self.rest():
            self.story.read(payload)

    def close(self) -> None:
        """Leave the ring."""
        self._reader.close()
