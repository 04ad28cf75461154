"""The pacing of a replay into a ring: when each recorded frame is due, and into which commits the frames go.

Owns the pace, and the publishing of a poll's frames into another ring.  Knows neither where polls come from nor what
frames carry.  `tools.replay` and `Store.replay` read a journal with it; `producers.output.replay` marks the messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from ringbuf.layout import MAX_BATCH_SHARE
from ringbuf.poll import Poll
from ringbuf.writer import Writer
from tlv.errors import UsageError
from tlv.units import NS

SLICE_S = 0.05
"""How long a request to stop may go unnoticed in a pause."""

FRAME_OVERHEAD = 32 + 63
"""Bytes that a frame takes in a ring beyond its payload, at most: descriptor and alignment."""


def never() -> bool:
    """The default of `asked_to_stop`."""
    return False


class Pace:
    """Plays frames `speed` times as fast as they were published; None = as fast as possible.

    Raises:
        UsageError: `speed` is not above 0.
    """

    def __init__(self, speed: float | None) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise UsageError(f"speed {speed}: expected a number above 0, or none for as fast as possible")
        self.speed = speed
        self._began_ns = 0
        self._first_ns = 0
        self._last_ns = -1

    def parts(self, poll: Poll, asked_to_stop: Callable[[], bool] = never) -> Iterator[Poll]:
        """The frames of `poll` in parts, each when it is due; ends early if asked to stop.

        Publish times that go back belong to another boot or writer: the first frame of these is due at once.
        """
        if self.speed is None:
            yield poll
            return
        at = 0
        while at < len(poll):
            due = self._reached(int(poll.timestamps[at]))
            behind = at + int(np.searchsorted(poll.timestamps[at:], due, side="right"))
            if behind > at:
                self._last_ns = int(poll.timestamps[behind - 1])
                yield poll.part(at, behind)
                at = behind
            elif asked_to_stop():
                return
            else:
                time.sleep(min((int(poll.timestamps[at]) - due) / self.speed / NS, SLICE_S))

    def _reached(self, next_ns: int) -> int:
        """The publish time that the playback has come to."""
        assert self.speed is not None
        now = time.monotonic_ns()
        if self._last_ns < 0 or next_ns < self._last_ns:
            self._began_ns, self._first_ns, self._last_ns = now, next_ns, next_ns
        return self._first_ns + int((now - self._began_ns) * self.speed)


def forward(writer: Writer, poll: Poll) -> None:
    """Publish the frames of `poll` with their kinds, in as few commits as the ring allows.

    Raises:
        What `Writer.publish_many` raises; frames before the one at fault are published then.
    """
    if len(poll) == 0:
        return
    taken = np.cumsum(poll.lengths + FRAME_OVERHEAD)
    # A pad at the ring's end takes up to one frame's room, which counts as the batch's.
    most = writer.identity.capacity // MAX_BATCH_SHARE - int(poll.lengths.max()) - FRAME_OVERHEAD
    changes = np.flatnonzero(np.diff(poll.kinds)) + 1
    ends = [*changes.tolist(), len(poll)]
    first = 0
    while first < len(poll):
        while ends[0] <= first:
            del ends[0]
        before = int(taken[first - 1]) if first else 0
        fits = int(np.searchsorted(taken, before + most, side="right"))
        last = max(first + 1, min(fits, ends[0]))
        offsets, lengths = (np.ascontiguousarray(row[first:last]) for row in (poll.offsets, poll.lengths))
        writer.publish_many(poll.buffer, offsets, lengths, int(poll.kinds[first]))
        first = last
