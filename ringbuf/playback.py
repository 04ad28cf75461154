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
from tlv.buffers import Longs
from tlv.errors import UsageError
from tlv.units import NS

SLICE_S = 0.05
"""How long a request to stop may go unnoticed in a pause."""

LONGEST_PAUSE_S = 60.0
"""The longest pause of a playback unless it is told another: what lies between two boots is no pause of the market."""
LONGEST_S = 1e9
"""Longer than any recording, and still a number of nanoseconds."""

FRAME_OVERHEAD = 32 + 63
"""Bytes that a frame takes in a ring beyond its payload, at most: descriptor and alignment."""


def never() -> bool:
    """The default of `asked_to_stop`."""
    return False


class Pace:
    """Plays frames `speed` times as fast as they were published; None = as fast as possible.

    Publish times are compared by the monotonic clock only within one ring, which never outlives a boot; from one ring
    to the next by the wall clock.  Where a clock steps back the frames are due at once, and no pause is longer than
    `longest_pause_s` of the recording, whatever clocks say and however long nobody recorded.

    Raises:
        UsageError: `speed` or `longest_pause_s` is not above 0.
    """

    def __init__(self, speed: float | None, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise UsageError(f"speed {speed}: expected a number above 0, or none for as fast as possible")
        if not longest_pause_s > 0:
            raise UsageError(f"longest pause {longest_pause_s}: expected seconds above 0")
        self.speed = speed
        self._longest_ns = int(min(longest_pause_s, LONGEST_S) * NS)
        self._began_ns = 0
        self._played_ns = -1
        """How much of the recording was given out, its pauses bounded; -1: nothing yet."""
        self._last_ns = 0
        self._offset_ns: int | None = None
        self._ring = b""

    def parts(
        self,
        poll: Poll,
        asked_to_stop: Callable[[], bool] = never,
        *,
        ring: bytes = b"",
        clock_offset_ns: int | None = None,
    ) -> Iterator[Poll]:
        """The frames of `poll` in parts, each when it is due; ends early if asked to stop.

        `ring` is the uuid of the ring that they are of, `clock_offset_ns` what makes wall times of its publish times;
        unknown (None), the first frame behind another ring's is due at once.
        """
        if self.speed is None:
            yield poll
            return
        if len(poll) == 0:
            return
        due = self._due(poll.timestamps, ring, clock_offset_ns)
        at = 0
        while at < len(poll):
            reached = int((time.monotonic_ns() - self._began_ns) * self.speed)
            behind = int(np.searchsorted(due, reached, side="right"))
            if behind > at:
                yield poll.part(at, behind)
                at = behind
            elif asked_to_stop():
                return
            else:
                time.sleep(min((int(due[at]) - reached) / self.speed / NS, SLICE_S))

    def _due(self, published: Longs, ring: bytes, clock_offset_ns: int | None) -> Longs:
        """When each frame is due, in ns of the recording since the playback began."""
        first = 0
        if self._played_ns < 0:
            self._began_ns, self._played_ns = time.monotonic_ns(), 0
        elif ring == self._ring:
            first = int(published[0]) - self._last_ns
        elif clock_offset_ns is not None and self._offset_ns is not None:
            first = int(published[0]) + clock_offset_ns - (self._last_ns + self._offset_ns)
        steps = np.diff(published, prepend=published[0])
        steps[0] = first
        due: Longs = self._played_ns + np.cumsum(np.clip(steps, 0, self._longest_ns))
        self._played_ns, self._last_ns = int(due[-1]), int(published[-1])
        self._ring, self._offset_ns = ring, clock_offset_ns
        return due


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
