"""Recorded frames into a ring again: the producer behind `alphapulse replay`.

Owns the mark that a message is a copy: the flag REPLAY, and the checksum it then has.  The header's sequence stays that
of the recorded ring, so that a copy can be told from another; the frame's sequence is the new ring's own.  Where the
frames come from it must not know: anything that gives polls will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ringbuf import Poll, Writer
from ringbuf.playback import Pace, forward, never
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


class Replay:
    """Plays polls into the ring of `writer`, `speed` times as fast as recorded; None = as fast as possible.

    Raises:
        UsageError: `speed` is not above 0.
    """

    def __init__(self, writer: Writer, speed: float | None = None) -> None:
        self.done = Replayed(0, 0, 0, 0)
        self._writer = writer
        self._pace = Pace(speed)

    def play(
        self,
        polls: Iterable[Poll],
        asked_to_stop: Callable[[], bool] = never,
        progress: Callable[[int], object] = abs,
    ) -> Replayed:
        """Publish everything, or what comes before a request to stop; `progress` is told the frames of each part.

        Raises:
            FrameTooLong: the ring takes no frames as long as the recorded one did.
        """

        def pause() -> bool:
            # In a quiet stretch of the recording readers would take us for stuck.
            self._writer.heartbeat()
            return asked_to_stop()

        for poll in polls:
            if poll.loss is not None:
                self._count(lost=poll.loss.count)
            self._count(unmarked=add_flags(poll.buffer, poll.offsets, poll.lengths, int(Flag.REPLAY)))
            for part in self._pace.parts(poll, pause):
                forward(self._writer, part)
                self._count(frames=len(part), size=int(part.lengths.sum()))
                progress(len(part))
            if asked_to_stop():
                break
        return self.done

    def _count(self, frames: int = 0, size: int = 0, lost: int = 0, unmarked: int = 0) -> None:
        done = self.done
        self.done = Replayed(done.frames + frames, done.bytes + size, done.lost + lost, done.unmarked + unmarked)
