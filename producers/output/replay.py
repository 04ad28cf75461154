"""Recorded frames into a ring again: the producer behind `alphapulse replay`.

Owns the mark that a message is a copy: the flag REPLAY, and the checksum it then has.  The header's sequence stays that
of the recorded ring, so that a copy can be told from another; the frame's sequence is the new ring's own.  Where the
frames come from it must not know: anything that gives polls will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ringbuf import Poll, Writer
from ringbuf.playback import LONGEST_PAUSE_S, Pace, forward, never
from tlv.batch import add_flags
from tlv.codes import Flag


class Replayed(NamedTuple):
    """What became of the recorded frames."""

    frames: int
    bytes: int
    lost: int
    """Frames that the recording lacks."""
    unmarked: int
    """Frames that are no message: they were published as they are."""


class RingClock(NamedTuple):
    """A recorded ring, and what makes wall times of its publish times; None if that is not known."""

    ring: bytes
    offset_ns: int | None


def unknown_clock() -> RingClock:
    """All polls are of one ring."""
    return RingClock(b"", None)


class Replay:
    """Plays polls into the ring of `writer`, `speed` times as fast as recorded; None = as fast as possible.

    No pause is longer than `longest_pause_s` of the recording.

    Raises:
        UsageError: `speed` or `longest_pause_s` is not above 0.
    """

    def __init__(self, writer: Writer, speed: float | None = None, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        self.done = Replayed(0, 0, 0, 0)
        self._writer = writer
        self._pace = Pace(speed, longest_pause_s)

    def play(
        self,
        polls: Iterable[Poll],
        asked_to_stop: Callable[[], bool] = never,
        progress: Callable[[int], object] = abs,
        clock: Callable[[], RingClock] = unknown_clock,
    ) -> Replayed:
        """Publish everything, or what comes before a request to stop; `progress` is told the frames of each part.

        `clock` says of which ring the poll at hand is, and how its publish times become wall times.

        Raises:
            FrameTooLong: the ring takes no frames as long as the recorded one did.
            RingOrphaned: the ring has lost its name.
        """

        def pause() -> bool:
            # In a quiet stretch of the recording readers would take us for stuck.
            self._writer.heartbeat()
            return asked_to_stop()

        for poll in polls:
            self._writer.heartbeat()
            if poll.loss is not None:
                self._count(lost=poll.loss.count)
            self._count(unmarked=add_flags(poll.buffer, poll.offsets, poll.lengths, int(Flag.REPLAY)))
            ring, clock_offset_ns = clock()
            for part in self._pace.parts(poll, pause, ring=ring, clock_offset_ns=clock_offset_ns):
                forward(self._writer, part)
                self._count(frames=len(part), size=int(part.lengths.sum()))
                progress(len(part))
            if asked_to_stop():
                break
        return self.done

    def _count(self, frames: int = 0, size: int = 0, lost: int = 0, unmarked: int = 0) -> None:
        done = self.done
        self.done = Replayed(done.frames + frames, done.bytes + size, done.lost + lost, done.unmarked + unmarked)
