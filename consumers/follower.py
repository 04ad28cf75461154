"""Reading the rings of one name, one after the other, without a journal: for `Live`, strategies and `dump`.

A shell around `consumers.incarnations`: the reader of the ring that is being read, and the step to the one behind it
once everything of it was read.  What the next ring has overwritten before its first frame was read comes as a loss.
"""

from __future__ import annotations

import time
from functools import partial

from consumers.held import HeldRings
from consumers.incarnations import Replaced, RingCursor, next_step
from ringbuf import Poll, Reader, Status, Wait
from tlv.codes import Domain, Source
from tlv.layout import LAYOUT_DIGEST, RingReplaced
from tlv.message import build

PAUSE_S = 0.05
"""A closed ring wakes nobody."""


class RingFollower:
    """Reads the ring of `reader`, then those that follow it under its name."""

    def __init__(self, reader: Reader) -> None:
        self.name = reader.name
        self.reader = reader
        self._rings = HeldRings(partial(Reader.attach, reader.name, start="oldest", layout_digest=LAYOUT_DIGEST))
        self._rings.adopt(reader)

    def poll(self, max_frames: int = 256) -> Poll:
        """The next frames of the ring that is being read; also looks, now and then, whether another has its name.

        Raises:
            SegmentError: what has the name is no ring of ours.
        """
        self.look()
        return self.reader.poll(max_frames)

    def look(self) -> None:
        """Look, now and then, whether another ring has the name.

        Raises:
            SegmentError: what has the name is no ring of ours.
        """
        self._rings.look(time.monotonic())

    def rest(self, status: Status, timeout_s: float, mode: Wait = Wait.BACKOFF) -> None:
        """Wait after a poll that returned `status` and nothing to read, for at most `timeout_s`."""
        if status is Status.CLOSED or (status is Status.EMPTY and self.reader.nameless):
            time.sleep(min(PAUSE_S, timeout_s))
        elif status is Status.EMPTY:
            self.reader.wait(timeout_s, mode)

    def next_ring(self) -> Replaced | None:
        """Go on with the next ring of the name, if the one that was read has ended and everything of it was read."""
        here = self._rings.get(self.reader.uuid)
        if here is None or not here.ended or self.reader.lag_bytes:
            return None
        step = next_step(RingCursor(here.uuid, self.reader.sequence), self._rings.extents(), [])
        fresh = self._rings.get(step.new) if isinstance(step, Replaced) else None
        if not isinstance(step, Replaced) or fresh is None or fresh.reader is None:
            return None
        reliable = self.reader.reliable
        here.release()
        self.reader = fresh.reader
        if reliable:
            self.reader.join()
        self.reader.seek(1)
        return step

    def close(self) -> None:
        """Leave the ring."""
        self._rings.close()


def replaced_message(step: Replaced) -> bytes:
    """The message that stands between two rings, as a relay would send it."""
    return build(Domain.SYSTEM, Source.RELAY, [RingReplaced(step.last_sequence, step.old, step.new)])
